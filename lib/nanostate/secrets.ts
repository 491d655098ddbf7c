/**
 * Secrets in a plan: by name only. The runner puts the values in when it sends a step, and nothing else has them.
 *
 * S1. A function that asks for a secret gets a marker, not the value: no condition can depend on it, no error, plan,
 *     log or hash can show it.
 * S2. The characters that make a marker are refused in states, facts and parameters, so no host can forge one; and
 *     only secrets that `secret()` was asked for in this compilation count.
 */
import { type Json, setOwn } from "./json.ts";

// Noncharacters, which Unicode keeps for use inside a program.
const OPEN = "\uFDD0";
const CLOSE = "\uFDD1";
const MARKED = new RegExp(`${OPEN}([^${OPEN}${CLOSE}]*)${CLOSE}`, "u");

/** A text with secrets in it: its parts in order. */
export interface SecretText {
  $text: (string | { $secret: string })[];
}

export function marker(name: string): string {
  return OPEN + name + CLOSE;
}

export function hasMarker(text: string): boolean {
  return text.includes(OPEN) || text.includes(CLOSE);
}

/** For people: `‹secret db›`. */
export function withoutMarkers(text: string): string {
  return text.split(MARKED).map((part, n) => n % 2 === 0 ? part : `‹secret ${part}›`).join("");
}

/** A text of the plan: itself, or its parts. Null when it was cut apart or forged (S2). */
export function textOrSecrets(text: string, asked: ReadonlySet<string>): string | SecretText | null {
  if (!hasMarker(text)) return text;
  const parts = text.split(MARKED);
  const isWhole = parts.every((part, n) => n % 2 === 0 ? !hasMarker(part) : asked.has(part));
  if (!isWhole) return null;
  const $text = parts.map((part, n) => n % 2 === 0 ? part : { $secret: part }).filter((part) => part !== "");
  return { $text };
}

/** What a step is sent with. @param value of a plan. @param reveal gives a secret's value */
export function withSecrets(value: Json, reveal: (name: string) => string): Json {
  if (value === null || typeof value !== "object") return value;
  if (Array.isArray(value)) return value.map((each) => withSecrets(each, reveal));
  const { $text } = value;
  if (Array.isArray($text)) {
    return $text.map((part) => typeof part === "string" ? part : reveal(secretOf(part))).join("");
  }
  const filled = {};
  for (const [key, each] of Object.entries(value)) setOwn(filled, key, withSecrets(each, reveal));
  return filled;
}

function secretOf(part: Json): string {
  return typeof part === "object" && part !== null && !Array.isArray(part) ? String(part["$secret"]) : "";
}
