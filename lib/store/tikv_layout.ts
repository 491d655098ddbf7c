/**
 * Where the Store contract's things lie in TiKV, below a prefix under which nobody else writes.
 *
 *   d/KEY            VALUE_FORMAT, then the value
 *   t/TOKEN          JSON of when it was used and with what result
 *   a/AT_MS/TOKEN    VALUE_FORMAT; tokens by age, for the sweep
 *   g/…              who clears old versions away (`lib/tikv/garbage_loop.ts`)
 * The leading byte is there because clients of TiKV agree on having no empty values, and the contract has them.
 */
import { z } from "zod";
import { SalarError } from "../errors.ts";
import type { KeptToken } from "./portable.ts";
import type { Range } from "./store.ts";

const VALUE_FORMAT = 1;
/** Enough for any time in milliseconds, so that the order of text is that of time. */
const AT_MS_DIGITS = 16;

const TokenValue = z.strictObject({ atMs: z.number(), result: z.string().nullable() });

type Part = "a" | "d" | "g" | "t";

export interface ByteRange {
  from: Uint8Array;
  to: Uint8Array;
}

export interface TikvLayout {
  data(key: string): Uint8Array;
  /** The part of a range below this prefix. */
  dataRange(range: Range): ByteRange;
  /** The key that `data()` made. */
  keyOf(wire: Uint8Array): string;
  token(token: string): Uint8Array;
  /** Tokens after `after`, in the order of their text. */
  tokensAfter(after: string): ByteRange;
  tokenAge(atMs: number, token: string): Uint8Array;
  /** Ages of tokens that were used before. */
  agesBefore(atMs: number): ByteRange;
  tokenOfAge(wire: Uint8Array): { atMs: number; token: string };
  /** What the keys of garbage collection begin with. */
  garbage(): Uint8Array;
}

export function tikvLayout(prefix: string): TikvLayout {
  const part = (name: Part, rest: string) => encoder.encode(`${prefix}${name}/${rest}`);
  const end = (name: Part) => encoder.encode(`${prefix}${name}0`); // "0" follows "/"
  const restOf = (wire: Uint8Array) => decoder.decode(wire.subarray(start.length));
  const start = part("d", ""); // each part's is as long
  return {
    data: (key) => part("d", key),
    dataRange: ({ from, to }) => ({ from: part("d", from), to: part("d", to) }),
    keyOf: restOf,
    token: (token) => part("t", token),
    tokensAfter: (after) => ({ from: part("t", after === "" ? "" : `${after}\0`), to: end("t") }),
    tokenAge: (atMs, token) => part("a", `${digits(atMs)}/${token}`),
    agesBefore: (atMs) => ({ from: part("a", ""), to: part("a", digits(atMs)) }),
    tokenOfAge(wire) {
      const rest = restOf(wire);
      return { atMs: Number(rest.slice(0, AT_MS_DIGITS)), token: rest.slice(AT_MS_DIGITS + 1) };
    },
    garbage: () => part("g", ""),
  };
}

export function wrapValue(value: Uint8Array): Uint8Array {
  const wrapped = new Uint8Array(value.length + 1);
  wrapped[0] = VALUE_FORMAT;
  wrapped.set(value, 1);
  return wrapped;
}

/** A copy, for it outlives the message that it came in. @throws {SalarError} `bad-record` */
export function unwrapValue(wrapped: Uint8Array): Uint8Array {
  if (wrapped[0] === VALUE_FORMAT) return wrapped.slice(1);
  throw new SalarError(
    "bad-record",
    `Cannot read value of format ${wrapped[0]}: is the prefix shared with another program?`,
  );
}

export function tokenValue({ atMs, result }: Omit<KeptToken, "token">): Uint8Array {
  return encoder.encode(JSON.stringify({ atMs, result }));
}

/** @throws {SalarError} `bad-record` */
export function readTokenValue(value: Uint8Array): Omit<KeptToken, "token"> {
  try {
    return TokenValue.parse(JSON.parse(decoder.decode(value)));
  } catch (cause) {
    throw new SalarError("bad-record", "Cannot read token: is the prefix shared with another program?", {
      cause,
    });
  }
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function digits(atMs: number): string {
  return String(Math.floor(atMs)).padStart(AT_MS_DIGITS, "0");
}
