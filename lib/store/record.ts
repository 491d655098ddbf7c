/**
 * Typed records over the store's bytes: JSON under a key, checked by a schema when it is read.
 *
 * R1. What does not match its schema is never handed on: `bad-record` names the key and the field.
 * R2. Records carry `v`, their version; a schema accepts all versions that its code knows.
 */
import type { z } from "zod";
import { SalarError } from "../errors.ts";
import { STORE_PAGE_ENTRIES } from "../limits.ts";
import { type Entry, prefixRange, type Read, type ScanOptions, type Write } from "./store.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** Takes six times as long, so it is asked only about text with a sign that something was replaced. */
const strictDecoder = new TextDecoder("utf-8", { fatal: true });

export interface Records<T, At extends readonly unknown[]> {
  /** Null when there is none. @throws {SalarError} `bad-record` */
  get(tx: Read, ...at: At): Promise<T | null>;
  /** In the order of `ats`; null where there is none. */
  getMany(tx: Read, ats: readonly At[]): Promise<(T | null)[]>;
  put(tx: Write, value: T, ...at: At): void;
  delete(tx: Write, ...at: At): void;
  /** One page of the records whose keys begin with `prefix`. */
  scan(tx: Read, prefix: string, options: ScanOptions): Promise<{ key: string; value: T }[]>;
  /** All records under `prefix`, in key order, page by page within one snapshot. */
  all(tx: Read, prefix: string): AsyncGenerator<T>;
}

/** Records of one schema at the keys that `keyOf` gives. */
export function records<T, At extends readonly unknown[]>(
  schema: z.ZodType<T>,
  keyOf: (...at: At) => string,
): Records<T, At> {
  const decode = (key: string, bytes: Uint8Array | null) => bytes === null ? null : parse(schema, key, bytes);
  const decodeEntry = ({ key, value }: Entry) => ({ key, value: parse(schema, key, value) });

  return {
    async get(tx, ...at) {
      const key = keyOf(...at);
      return decode(key, await tx.get(key));
    },
    async getMany(tx, ats) {
      const keys = ats.map((at) => keyOf(...at));
      const values = await tx.getMany(keys);
      return keys.map((key, index) => decode(key, values[index] ?? null));
    },
    put: (tx, value, ...at) => tx.put(keyOf(...at), toBytes(value)),
    delete: (tx, ...at) => tx.delete(keyOf(...at)),
    async scan(tx, prefix, options) {
      return (await tx.scan(prefixRange(prefix), options)).map(decodeEntry);
    },
    async *all(tx, prefix) {
      for await (const entry of entries(tx, prefix)) yield decodeEntry(entry).value;
    },
  };
}

/** All entries under `prefix`, in key order, page by page within one snapshot. */
export async function* entries(tx: Read, prefix: string): AsyncGenerator<Entry> {
  const range = prefixRange(prefix);
  let after: string | undefined;
  while (true) { // bounded by the snapshot: every page begins after the last key of the page before
    const page = await tx.scan(range, { limit: STORE_PAGE_ENTRIES, after });
    yield* page;
    const last = page.at(-1);
    if (last === undefined || page.length < STORE_PAGE_ENTRIES) return;
    after = last.key;
  }
}

/** JSON as bytes. */
export function toBytes(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}

/** Text kept as a plain value: ids in look-up keys. Throws where the bytes are not UTF-8. */
export function toText(bytes: Uint8Array): string {
  const text = decoder.decode(bytes);
  return text.includes("\ufffd") ? strictDecoder.decode(bytes) : text;
}

/** The value of a key that is an index entry only. */
export const EMPTY = new Uint8Array(0);

function parse<T>(schema: z.ZodType<T>, key: string, bytes: Uint8Array): T {
  let json: unknown;
  try {
    json = JSON.parse(toText(bytes));
  } catch (cause) {
    throw new SalarError("bad-record", `Cannot read record "${key}": it is not JSON`, { cause });
  }
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new SalarError(
    "bad-record",
    `Cannot read record "${key}": ${issue?.path.join(".") || "value"}: ${issue?.message ?? "does not match"}`,
  );
}
