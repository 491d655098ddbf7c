/**
 * A whole store as lines of text: to move it from one adapter to another, and to keep a copy.
 *
 * The lines, each one JSON: `{"salar":"store","format":1}`, then tokens `{"token","atMs","result"}`, then entries
 * `{"key","value"}` in key order with the value in base64, then `{"entries","tokens","digest"}`.
 * P1. The entries are those of one moment, and no token is younger than it: an export of a store that is in use is
 *     whole, but a change that is tried again over the move may then be made twice. Stop the functions to move.
 * P2. Nothing is imported that was not verified: every line, their counts, and a digest over them in their order.
 * P3. An import goes into an empty store. Until its end the store holds IMPORT_MARK with the digest, and
 *     `refuseHalfImported()` keeps programs off; the same import, called again, goes on.
 */
import { z } from "zod";
import { SalarError } from "../errors.ts";
import { STORE_PAGE_ENTRIES } from "../limits.ts";
import type { Crypt, Scope } from "../seams.ts";
import type { Entry, Store } from "./store.ts";

/** A token of T4 of `store.ts`, as it is kept. */
export interface KeptToken {
  token: string;
  /** When it was used, epoch milliseconds. */
  atMs: number;
  /** JSON, or null for a transaction that returned nothing. */
  result: string | null;
}

/** One thing that a store consists of: a file, a server. */
export interface StorePart {
  name: string;
  ok: boolean;
  /** In words: what it is, or what is wrong with it. */
  state: string;
}

/** A store that can be moved: its tokens too can be read and taken in. */
export interface PortableStore extends Store {
  /** Looks at everything that the store consists of; may take a while. */
  inspect(scope: Scope): Promise<StorePart[]>;
  /** In the order of their text; fewer than `limit` means that they ended. */
  tokens(scope: Scope, page: { limit: number; after?: string | undefined }): Promise<KeptToken[]>;
  /** Takes tokens in as they are; one that is there already stays. */
  keepTokens(scope: Scope, tokens: readonly KeptToken[]): Promise<void>;
}

/** What an export holds; its last line. */
export interface Summary {
  entries: number;
  tokens: number;
  /** Hex; each line's is SHA-256 of the digest before and the line. */
  digest: string;
}

/** Called now and then with what is done so far. */
export type OnProgress = (done: { entries: number; tokens: number }) => void;

const HEADER = JSON.stringify({ salar: "store", format: 1 });
const IMPORT_MARK = "!import";
/** Of lines; far below what a transaction holds. */
const IMPORT_BATCH_BYTES = 1024 * 1024;
const EVERYTHING = { from: "", to: "\u{10ffff}" };

const Line = z.union([
  z.strictObject({ token: z.string(), atMs: z.number(), result: z.string().nullable() }),
  z.strictObject({ key: z.string(), value: z.base64() }),
  z.strictObject({ entries: z.int().min(0), tokens: z.int().min(0), digest: z.hex() }),
]);

/** Writes the lines of `store`, without their ends. @throws {SalarError} `conflict` for a half imported one */
export async function exportStore(
  scope: Scope,
  { store, crypt, write, onProgress }: {
    store: PortableStore;
    crypt: Crypt;
    write(line: string): Promise<void>;
    onProgress?: OnProgress;
  },
): Promise<Summary> {
  await refuseHalfImported(scope, store);
  const done = { entries: 0, tokens: 0 };
  const chain = digestChain(crypt);
  const put = async (line: string) => {
    chain.add(line);
    await write(line);
  };
  await put(HEADER);
  const readTokens = (after?: string) => store.tokens(scope, { limit: STORE_PAGE_ENTRIES, after });
  for await (const page of pages(readTokens, ({ token }) => token)) {
    for (const { token, atMs, result } of page) await put(JSON.stringify({ token, atMs, result }));
    done.tokens += page.length;
    onProgress?.(done);
  }
  await store.read(scope, async (tx) => { // one snapshot for all pages (P1)
    const readEntries = (after?: string) => tx.scan(EVERYTHING, { limit: STORE_PAGE_ENTRIES, after });
    for await (const page of pages(readEntries, ({ key }) => key)) {
      for (const { key, value } of page) await put(JSON.stringify({ key, value: value.toBase64() }));
      done.entries += page.length;
      onProgress?.(done);
    }
  });
  const summary = { ...done, digest: chain.hex() };
  await write(JSON.stringify(summary));
  return summary;
}

/** Reads all of an export and tells what is in it. @throws {SalarError} `bad-input` with the line that is wrong */
export async function verifyExport(crypt: Crypt, lines: AsyncIterable<string>): Promise<Summary> {
  const done = { entries: 0, tokens: 0 };
  const chain = digestChain(crypt);
  let summary: Summary | null = null;
  let number = 0;
  for await (const text of lines) {
    number++;
    if (number === 1 && text !== HEADER) throw badLine(number, `is not ${HEADER}`);
    if (summary !== null) throw badLine(number, "follows the summary, which must be the last line");
    if (number > 1) {
      const line = parseLine(text, number);
      if ("digest" in line) summary = line;
      else done["token" in line ? "tokens" : "entries"]++;
    }
    if (summary === null) chain.add(text);
  }
  if (summary === null) throw badLine(number + 1, "is missing: the export was cut off");
  const found = { ...done, digest: chain.hex() };
  if (JSON.stringify(found) === JSON.stringify(summary)) return found;
  throw badLine(
    number,
    `promises ${JSON.stringify(summary)}, but the lines before give ${JSON.stringify(found)}`,
  );
}

/**
 * Fills the empty `store` with an export, which `read` opens twice: once to verify, once to take in.
 * @throws {SalarError} `bad-input`, `conflict` when the store is not empty
 */
export async function importStore(
  scope: Scope,
  { store, crypt, read, onProgress }: {
    store: PortableStore;
    crypt: Crypt;
    read(): AsyncIterable<string>;
    onProgress?: OnProgress;
  },
): Promise<Summary> {
  const summary = await verifyExport(crypt, read());
  await markImport(scope, store, summary);
  const done = { entries: 0, tokens: 0 };
  for await (const { tokens, entries } of batches(read())) {
    await store.keepTokens(scope, tokens);
    await store.write(scope, (tx) => {
      for (const { key, value } of entries) tx.put(key, value);
      return Promise.resolve();
    });
    done.tokens += tokens.length;
    done.entries += entries.length;
    onProgress?.(done);
  }
  await store.write(scope, (tx) => Promise.resolve(tx.delete(IMPORT_MARK)));
  return summary;
}

/** @throws {SalarError} `conflict` when an import into `store` has not ended (P3) */
export async function refuseHalfImported(scope: Scope, store: Store): Promise<void> {
  if (await store.read(scope, (tx) => tx.get(IMPORT_MARK)) === null) return;
  throw new SalarError(
    "conflict",
    "Cannot use store: an import into it did not end; run the same import again, or empty the store",
  );
}

async function markImport(scope: Scope, store: Store, { digest }: Summary): Promise<void> {
  const mark = new TextEncoder().encode(digest);
  await store.write(scope, async (tx) => {
    const [first] = await tx.scan(EVERYTHING, { limit: 1 });
    if (first === undefined) return tx.put(IMPORT_MARK, mark);
    const started = await tx.get(IMPORT_MARK);
    if (started !== null && new TextDecoder().decode(started) === digest) return;
    throw new SalarError(
      "conflict",
      started === null
        ? `Cannot import: the store is not empty, it holds key ${first.key}`
        : "Cannot import: the import of another export into this store did not end",
    );
  });
}

/** Of a verified export: lots that fit into one transaction each. */
async function* batches(
  lines: AsyncIterable<string>,
): AsyncGenerator<{ tokens: KeptToken[]; entries: Entry[] }> {
  let lot: { tokens: KeptToken[]; entries: Entry[] } = { tokens: [], entries: [] };
  let bytes = 0;
  let number = 0;
  for await (const text of lines) {
    if (++number === 1) continue;
    const line = parseLine(text, number);
    if ("token" in line) lot.tokens.push(line);
    else if ("key" in line) lot.entries.push({ key: line.key, value: Uint8Array.fromBase64(line.value) });
    bytes += text.length;
    if (lot.tokens.length + lot.entries.length < STORE_PAGE_ENTRIES && bytes < IMPORT_BATCH_BYTES) continue;
    yield lot;
    lot = { tokens: [], entries: [] };
    bytes = 0;
  }
  yield lot;
}

/** Pages of what is read in order, until one is not full. */
async function* pages<T>(
  read: (after?: string) => Promise<T[]>,
  nameOf: (item: T) => string,
): AsyncGenerator<T[]> {
  let after: string | undefined;
  for (;;) {
    const page = await read(after);
    yield page;
    const last = page.at(-1);
    if (last === undefined || page.length < STORE_PAGE_ENTRIES) return;
    after = nameOf(last);
  }
}

function parseLine(text: string, number: number): z.infer<typeof Line> {
  try {
    return Line.parse(JSON.parse(text));
  } catch (cause) {
    throw badLine(number, "is neither a token, an entry nor a summary", cause);
  }
}

function badLine(number: number, problem: string, cause?: unknown): SalarError {
  return new SalarError("bad-input", `Cannot read export: line ${number} ${problem}`, { cause });
}

function digestChain(crypt: Crypt): { add(line: string): void; hex(): string } {
  let digest = new Uint8Array(0);
  return {
    add(line) {
      const text = new TextEncoder().encode(line);
      const linked = new Uint8Array(digest.length + text.length);
      linked.set(digest);
      linked.set(text, digest.length);
      digest = new Uint8Array(crypt.sha256(linked));
    },
    hex: () => digest.toHex(),
  };
}
