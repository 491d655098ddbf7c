/**
 * What can be wrong with a state, as a program must tell it apart; people get file, line, column and the way there.
 *
 * E1. A message says where (`web.st:7:3`), what is wrong and what to do, and through which includes it was reached.
 * E2. No message holds a secret: functions never see one (see `secrets.ts`).
 */

/** Code → what it means; `docs/nanostate.md` lists exactly these, a test keeps the two equal. */
export const NANOSTATE_CODES = {
  "bad-file": "the file cannot be read as a state: encoding, size, or YAML",
  "bad-state": "the file is YAML, but a part of it is not what a state has there",
  "bad-line": "a group's or module's line breaks the grammar",
  "bad-name": "an id, group or command has a name that cannot be used",
  "bad-value": "a value that cannot be passed on unchanged",
  "duplicate-id": "two files of one folder have the same id",
  "unknown-state": "there is no state of that id",
  "unknown-group": "the state has no group of that name",
  "cycle": "states include each other in a ring",
  "bad-function-file": "a function file is not Lua, or uses what is not offered",
  "unknown-function": "there is no function of that name, or no function file",
  "unknown-library": "`import:` or `require` names a function file that is not there",
  "function-failed": "a function raised an error",
  "bad-result": "a function returned what its place cannot take",
  "limit": "a bound of `limits.ts` was met",
  "needs-facts": "a function asks for facts and none were given: gather them and compile again",
  "missing-param": "a function asks for a parameter that was not given and has no default",
  "unknown-secret": "a function names a secret that there is not",
} as const;
export type NanostateCode = keyof typeof NANOSTATE_CODES;

/** Where something stands; line and column count from 1. */
export interface Place {
  file: string;
  line: number;
  column: number;
}

/** `web.st:7:3` */
export function placeText({ file, line, column }: Place): string {
  return `${file}:${line}:${column}`;
}

/** One step of the way: at `place` stands `~base`. */
export interface Link {
  place: Place;
  text: string;
}

export class NanostateError extends Error {
  override readonly name = "NanostateError";

  /** @param reason what is wrong and what to do @param chain from the root to the file of `place` */
  constructor(
    readonly code: NanostateCode,
    readonly place: Place,
    readonly reason: string,
    readonly chain: readonly Link[] = [],
    options: { cause?: unknown } = {},
  ) {
    const way = chain.map(({ place, text }) => `\n  by ${text} at ${placeText(place)}`).toReversed().join("");
    super(`${placeText(place)}: ${reason}${way}`, options);
  }
}

/** A finding of a parser or of lint; only errors keep a state from being compiled. */
export interface Finding {
  severity: "error" | "warning";
  code: NanostateCode | "old-suffix" | "ignored-key" | "unknown-folder" | "shadowed-id" | "unread-expression";
  place: Place;
  reason: string;
}
