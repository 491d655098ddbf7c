/**
 * Hides the values of a run's secrets in everything that hosts say: R4 of `result.ts`.
 *
 * M1. A value is found as it is, and as JSON, a shell, Python, an address or base64 would write it; a long value also
 *     line by line, since results have lists of lines.
 * M2. A value too short to be found without hiding half of all texts is refused before anything is sent.
 * What it cannot see is a part of a value, or a value that the host changed (a hash of it, half of it).
 */
import { type Json, setOwn } from "../json.ts";
import { SECRET_CHARS_MIN, SECRET_LINE_CHARS_MIN } from "../limits.ts";

export const MASKED = "********";

export class Mask {
  readonly #forms = new Set<string>();
  #pattern: RegExp | null = null;

  /** From now on hides this value. @throws {RangeError} M2 */
  add(name: string, value: string): void {
    if (value.trim().length < SECRET_CHARS_MIN) {
      throw new RangeError(
        `Cannot use the secret "${name}": it has fewer than ${SECRET_CHARS_MIN} characters, which cannot be hidden in results`,
      );
    }
    for (const part of partsOf(value)) for (const form of formsOf(part)) this.#forms.add(form);
    // The longest first: of two that begin alike, the whole one is hidden.
    const longest = [...this.#forms].sort((a, b) => b.length - a.length);
    this.#pattern = new RegExp(longest.map(escaped).join("|"), "g");
  }

  text(text: string): string {
    return this.#pattern === null ? text : text.replace(this.#pattern, MASKED);
  }

  /** Names of members too. */
  json(value: Json): Json {
    if (this.#pattern === null || value === null || typeof value === "boolean") return value;
    if (typeof value === "string") return this.text(value);
    if (typeof value === "number") return this.text(String(value)) === String(value) ? value : MASKED;
    if (Array.isArray(value)) return value.map((each) => this.json(each));
    const masked = {};
    for (const [key, each] of Object.entries(value)) setOwn(masked, this.text(key), this.json(each));
    return masked;
  }
}

function partsOf(value: string): string[] {
  const lines = value.split(/\r\n|\r|\n/).map((line) => line.trim());
  return [value, value.trim(), ...lines.filter((line) => line.length >= SECRET_LINE_CHARS_MIN)];
}

function formsOf(value: string): string[] {
  const json = JSON.stringify(value).slice(1, -1);
  return [
    value,
    json,
    // deno-lint-ignore no-control-regex
    json.replace(/[^\x00-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
    value.replaceAll("'", `'\\''`),
    value.replaceAll("'", `'"'"'`),
    value.replaceAll("\\", "\\\\").replaceAll("'", "\\'"),
    encodeURIComponent(value.toWellFormed()),
    new TextEncoder().encode(value).toBase64(),
  ];
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&");
}
