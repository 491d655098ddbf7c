/**
 * The encodings that signatures depend on, read strictly: one value, one spelling.
 *
 * N1. What decodes here encodes back to the same text, so nobody can respell a signed message.
 */
import { hash } from "node:crypto";

const BASE64URL = /^[A-Za-z0-9_-]*$/;
const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** SHA-256 in lower-case hex. */
export function sha256Hex(data: Uint8Array | string): string {
  return hash("sha256", data, "hex");
}

export function toBase64url(data: Uint8Array | string): string {
  return Buffer.from(data).toString("base64url");
}

/** The bytes, or null where the text is padded, has foreign characters or stray bits in its last one. */
export function fromBase64url(text: string): Buffer | null {
  if (!BASE64URL.test(text)) return null; // Node's decoder would skip what it does not know
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : null;
}

/** The text, or null where the bytes are not UTF-8. A byte order mark stays, so that JSON refuses it. */
export function fromUtf8(bytes: Uint8Array): string | null {
  const text = utf8.decode(bytes); // a sixth of the time that the strict one takes, which is asked only in doubt
  if (!text.includes("\ufffd")) return text;
  try {
    return strictUtf8.decode(bytes);
  } catch {
    return null;
  }
}

/** The JSON object in the text, or null where it is anything else. Says nothing about duplicate keys. */
export function parseJsonObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Exactly these keys, in any order. */
export function hasExactKeys(object: Record<string, unknown>, keys: readonly string[]): boolean {
  return Object.keys(object).length === keys.length && keys.every((key) => Object.hasOwn(object, key));
}

/**
 * True where any object of the text names a key twice, however it is escaped.
 * The text must be valid JSON: then each string followed by a colon is a key of the innermost open object.
 */
export function hasDuplicateKeys(json: string): boolean {
  const open: Set<string>[] = []; // a loop, not recursion: nesting is the sender's choice
  for (let at = 0; at < json.length; at++) {
    const char = json[at];
    if (char === "{") open.push(new Set());
    else if (char === "}") open.pop();
    else if (char === '"') {
      const end = endOfString(json, at);
      if (isKey(json, end)) {
        const keys = open.at(-1);
        const raw = json.slice(at + 1, end - 1);
        const key: string = raw.includes("\\") ? JSON.parse(`"${raw}"`) : raw;
        if (keys?.has(key)) return true;
        keys?.add(key);
      }
      at = end - 1;
    }
  }
  return false;
}

/** The place after the closing quote of the string that starts at `start`. */
function endOfString(json: string, start: number): number {
  let at = start + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at + 1;
}

function isKey(json: string, after: number): boolean {
  let at = after;
  while (at < json.length && " \t\r\n".includes(json.charAt(at))) at++;
  return json[at] === ":";
}
