/**
 * The result of a run made to fit a statement and a record: the longest texts give way first.
 *
 * F1. Codes, names and counts stay; of a long text its head and its tail stay.
 * F2. What cannot fit even so keeps its id and description, and says that it was too large.
 */
import { RUN_RESULT_BYTES_MAX } from "../limits.ts";

type Result = Record<string, unknown>;

/** Longest text that is kept, tried in this order. */
const TEXT_CHARS = [16_384, 2_048, 256, 32] as const;
const CUT = " … ";

/** @param result JSON. */
export function fittingResult(result: Result, bytesMax: number = RUN_RESULT_BYTES_MAX): Result {
  if (isFitting(result, bytesMax)) return result;
  for (const charsMax of TEXT_CHARS) {
    const cut = shortened(result, charsMax) as Result; // of an object it makes an object
    if (isFitting(cut, bytesMax)) return cut;
  }
  const { Id = "", Description = "" } = shortened(result, 256) as Result;
  return { Id, Description, Groups: [], Errmsg: `the result is larger than ${bytesMax} bytes` }; // F2
}

export function isFitting(result: Result, bytesMax: number = RUN_RESULT_BYTES_MAX): boolean {
  return new TextEncoder().encode(JSON.stringify(result)).length <= bytesMax;
}

function shortened(value: unknown, charsMax: number): unknown {
  if (typeof value === "string") return shortText(value, charsMax);
  if (Array.isArray(value)) return value.map((each) => shortened(each, charsMax));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, shortened(each, charsMax)]));
}

function shortText(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text;
  const half = Math.floor((charsMax - CUT.length) / 2);
  return (text.slice(0, half) + CUT + text.slice(-half)).toWellFormed(); // a pair may have been cut apart
}
