/**
 * Decodes PostgreSQL's `pgoutput` messages, protocol version 1, into row changes.
 *
 * In: messages in order. Out: the three things that capture cares for: begin, changes, commit.
 * O1. Values stay PostgreSQL's text: a `numeric` id keeps all digits.
 * O2. A large value that an update did not touch is left out of the row, never given as null.
 * O3. A message that ends early or is unknown is an error: guessing would lose a change.
 * Own code, since the decoder of `pg-logical-replication` turns values into JavaScript's types, and since that
 * package confirms one byte beyond the end of a commit, which skips a commit record that begins right there.
 * Source: PostgreSQL manual, "Logical Replication Message Formats".
 */
import type { RowChange } from "../../lib/cluster/protocol.ts";
import { SalarError } from "../../lib/errors.ts";

export type PgMessage =
  | { kind: "begin"; commitLsn: bigint }
  | { kind: "changes"; changes: RowChange[] }
  /** `endLsn`: what may be confirmed once this transaction is safe. */
  | { kind: "commit"; endLsn: bigint }
  /** Types, origins and the like: nothing to do. */
  | { kind: "other" };

type Row = RowChange["row"];

interface Relation {
  table: string;
  columns: { name: string; key: boolean }[];
}

/** A decoder for one connection: it remembers the relations that the server described. @throws {SalarError} `bad-peer`. */
export function pgoutputDecoder(): (message: Uint8Array) => PgMessage {
  const relations = new Map<number, Relation>();
  return (message) => {
    const reader = new Reader(message);
    const tag = reader.tag();
    switch (tag) {
      case "B":
        return { kind: "begin", commitLsn: reader.u64() };
      case "C":
        reader.skip(1 + 8); // flags, LSN of the commit record
        return { kind: "commit", endLsn: reader.u64() };
      case "R": {
        const { oid, relation } = readRelation(reader);
        relations.set(oid, relation);
        return { kind: "other" };
      }
      case "I":
      case "U":
      case "D":
        return { kind: "changes", changes: [readChange(reader, tag, known(relations, reader.u32()))] };
      case "T": {
        const count = reader.u32();
        reader.skip(1); // CASCADE, RESTART IDENTITY: each table that was emptied is listed anyway
        const tables = Array.from({ length: count }, () => known(relations, reader.u32()).table);
        return { kind: "changes", changes: tables.map(truncation) };
      }
      case "Y":
      case "O":
      case "M":
        return { kind: "other" };
      default:
        throw new SalarError("bad-peer", `Cannot read change: message "${tag}" is not of pgoutput version 1`);
    }
  };
}

export function truncation(table: string): RowChange {
  return { table, op: "truncate", row: {}, oldKey: null };
}

function known(relations: ReadonlyMap<number, Relation>, oid: number): Relation {
  const relation = relations.get(oid);
  if (!relation) {
    throw new SalarError("bad-peer", `Cannot read change: relation ${oid} was never described`);
  }
  return relation;
}

function readRelation(reader: Reader): { oid: number; relation: Relation } {
  const oid = reader.u32();
  reader.text(); // schema: a table name stands once in Uyuni's
  const table = reader.text();
  reader.skip(1); // replica identity: its columns are flagged
  const columns = Array.from({ length: reader.u16() }, () => {
    const key = (reader.u8() & 1) === 1;
    const name = reader.text();
    reader.skip(4 + 4); // type, type modifier
    return { name, key };
  });
  return { oid, relation: { table, columns } };
}

function readChange(reader: Reader, tag: "I" | "U" | "D", relation: Relation): RowChange {
  const { table } = relation;
  const part = reader.tag();
  if (tag === "I") return { table, op: "insert", row: readRow(reader, relation), oldKey: null };
  // K: old identity, where it changed; O: the whole old row, with REPLICA IDENTITY FULL.
  const before = part === "K" || part === "O" ? keyOf(readRow(reader, relation), relation) : null;
  if (tag === "D") return { table, op: "delete", row: before ?? {}, oldKey: null };
  if (before !== null) reader.skip(1); // N
  const row = readRow(reader, relation);
  const moved = before !== null && Object.entries(before).some(([name, value]) => row[name] !== value);
  return { table, op: "update", row, oldKey: moved ? before : null };
}

function keyOf(row: Row, { columns }: Relation): Row {
  return Object.fromEntries(columns.filter(({ key }) => key).map(({ name }) => [name, row[name] ?? null]));
}

function readRow(reader: Reader, { columns }: Relation): Row {
  const row: Row = {};
  const count = reader.u16();
  for (let index = 0; index < count; index++) {
    const { name } = columns[index] ?? { name: `column ${index}` };
    const form = reader.tag();
    if (form === "t") row[name] = reader.sized();
    else if (form === "n") row[name] = null;
    else if (form !== "u") {
      throw new SalarError("bad-peer", `Cannot read change: value of form "${form}" was not asked for`);
    }
  }
  return row;
}

/** Reads one message from its start; the end of the bytes is an error (O3). */
class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  skip(bytes: number): number {
    const at = this.#at;
    this.#at += bytes;
    if (this.#at > this.#bytes.length) {
      throw new SalarError("bad-peer", `Cannot read change: message ends after ${this.#bytes.length} bytes`);
    }
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.skip(1));
  }

  u16(): number {
    return this.#view.getUint16(this.skip(2));
  }

  u32(): number {
    return this.#view.getUint32(this.skip(4));
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.skip(8));
  }

  tag(): string {
    return String.fromCharCode(this.u8());
  }

  /** Up to a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    const length = (end < 0 ? this.#bytes.length : end) - this.#at;
    const text = this.#utf8(length);
    this.skip(1);
    return text;
  }

  /** A length in 4 bytes, then so many bytes. */
  sized(): string {
    return this.#utf8(this.u32());
  }

  #utf8(length: number): string {
    const at = this.skip(length);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + at, length).toString("utf8");
  }
}
