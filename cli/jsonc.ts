/** JSON as people write it: with comments and a comma after the last member, as templates have them. */
import { messageOf, SalarError } from "../lib/errors.ts";
import type { Json } from "./json.ts";

/** @throws {SalarError} `bad-input` */
export function parseJsonc(text: string): Json {
  const bare = text.replace(
    /("(?:[^"\\]|\\.)*")|\/\/[^\n]*|\/\*[\s\S]*?\*\//g,
    (_all, string) => string ?? " ",
  )
    .replace(/("(?:[^"\\]|\\.)*")|,(?=\s*[}\]])/g, (_all, string) => string ?? "");
  try {
    return JSON.parse(bare);
  } catch (cause) {
    throw new SalarError("bad-input", `Cannot read standard input: it is no JSON (${messageOf(cause)})`, {
      cause,
    });
  }
}
