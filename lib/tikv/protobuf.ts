/**
 * Protocol buffers from tables: a message is declared once, as names, numbers and kinds; its type, encoder and
 * decoder follow from that.
 *
 * P1. 64-bit fields are bigint. An absent message is null, any other absent field is its zero.
 * P2. Unknown fields are skipped; repeated numbers are read packed and unpacked and written packed.
 * P3. Decoding never reads outside its bytes and never recurses deeper than the tables: malformed, truncated and
 *     oversized input is a `malformed` TikvError.
 * P4. Decoded bytes are views into the input, not copies: who keeps one long copies it.
 * Encoding runs from the last byte to the first, so that the length of a nested message is known when it is due.
 * Source: protobuf.dev/programming-guides/encoding.
 */
import { TikvError } from "./errors.ts";

const VARINT = 0;
const FIXED64 = 1;
const DELIMITED = 2;
const FIXED32 = 5;

const EMPTY = new Uint8Array(0);
const UTF8 = { encoder: new TextEncoder(), decoder: new TextDecoder("utf-8", { ignoreBOM: true }) };
const U64_MAX = 0xffff_ffff_ffff_ffffn;

/** How values of one kind look on the wire. `one` is without its tag. */
export interface Kind<T, Init = T> {
  readonly wire: typeof VARINT | typeof DELIMITED;
  /** The value of an absent field; never changed by anybody. */
  zero(): T;
  isZero(value: Init): boolean;
  write(writer: Writer, value: Init): void;
  read(reader: Reader): T;
}

interface RepeatedKind<T, Init> {
  readonly each: Kind<T, Init>;
}

// deno-lint-ignore no-explicit-any -- a table holds kinds of every type; Shape and Init give each its own again
type AnyField = readonly [number, Kind<any, any> | RepeatedKind<any, any>];
export type Fields = Readonly<Record<string, AnyField>>;

/** What decoding gives: every field. */
export type Shape<F extends Fields> = {
  -readonly [K in keyof F]: F[K][1] extends Kind<infer T, infer _I> ? T
    : F[K][1] extends RepeatedKind<infer T, infer _I> ? T[]
    : never;
};

/** What encoding takes: any of the fields. */
export type Init<F extends Fields> = {
  readonly [K in keyof F]?:
    | (F[K][1] extends Kind<infer _T, infer I> ? I
      : F[K][1] extends RepeatedKind<infer _T, infer I> ? readonly I[]
      : never)
    | undefined;
};

/** A declared message; as a kind it is a field that is null when absent. */
export interface Message<T, I> extends Kind<T | null, I | null> {
  readonly name: string;
  encode(value: I): Uint8Array;
  /** Writes the fields alone: what `encode` gives, in front of what the writer holds. */
  writeFields(writer: Writer, value: I): void;
  decode(bytes: Uint8Array): T;
}

/** The type of a decoded message: `Decoded<typeof Region>`. */
export type Decoded<M> = M extends Message<infer T, infer _I> ? T : never;
/** The type that its encoder takes. */
export type Encodable<M> = M extends Message<infer _T, infer I> ? I : never;

export const u64: Kind<bigint> = {
  wire: VARINT,
  zero: () => 0n,
  isZero: (value) => value === 0n,
  write: (writer, value) => writer.varint64(value),
  read: (reader) => reader.varint64(),
};

export const i64: Kind<bigint> = {
  ...u64,
  write: (writer, value) => writer.varint64(BigInt.asUintN(64, value)),
  read: (reader) => BigInt.asIntN(64, reader.varint64()),
};

export const u32: Kind<number> = {
  wire: VARINT,
  zero: () => 0,
  isZero: (value) => value === 0,
  write: (writer, value) => writer.varint32(value),
  read: (reader) => reader.varint32(),
};

/** Also enumerations. Negative numbers take ten bytes, as the format has it. */
export const i32: Kind<number> = {
  ...u32,
  write: (writer, value) =>
    value < 0 ? writer.varint64(BigInt.asUintN(64, BigInt(value))) : writer.varint32(value),
  read: (reader) => reader.varint32() | 0,
};

export const bool: Kind<boolean> = {
  wire: VARINT,
  zero: () => false,
  isZero: (value) => !value,
  write: (writer, value) => writer.varint32(value ? 1 : 0),
  read: (reader) => reader.varint32() !== 0,
};

export const bytes: Kind<Uint8Array> = {
  wire: DELIMITED,
  zero: () => EMPTY,
  isZero: (value) => value.length === 0,
  write: (writer, value) => writer.delimited(value),
  read: (reader) => reader.delimited(),
};

export const string: Kind<string> = {
  wire: DELIMITED,
  zero: () => "",
  isZero: (value) => value === "",
  write: (writer, value) => writer.text(value),
  read: (reader) => UTF8.decoder.decode(reader.delimited()),
};

export function repeated<T, I>(each: Kind<T | null, I | null>): RepeatedKind<T, I>;
export function repeated<T, I>(each: Kind<T, I>): RepeatedKind<T, I>;
export function repeated<T, I>(each: Kind<T, I>): RepeatedKind<T, I> {
  return { each };
}

export function message<F extends Fields>(name: string, fields: F): Message<Shape<F>, Init<F>> {
  const slots = Object.entries(fields).map(([key, [number, kind]]) =>
    "each" in kind ? repeatedSlot(key, number, kind.each) : singleSlot(key, number, kind)
  );
  // By descending number, since encoding goes backwards: the bytes are then in ascending order.
  const backwards = [...slots].sort((a, b) => b.number - a.number);
  const byNumber: (Slot | undefined)[] = [];
  for (const slot of slots) byNumber[slot.number] = slot;

  const writeFields = (writer: Writer, value: Row) => {
    for (const slot of backwards) slot.write(writer, value[slot.key]);
  };
  const readFields = (reader: Reader): Row => {
    const row: Row = {};
    for (const slot of slots) row[slot.key] = slot.zero();
    while (!reader.atEnd()) {
      const tag = reader.varint32();
      const slot = byNumber[tag >>> 3];
      if (slot === undefined || !slot.read(reader, tag & 7, row)) reader.skip(tag & 7);
    }
    return row;
  };
  return {
    name,
    wire: DELIMITED,
    zero: () => null,
    isZero: (value) => value === null,
    write(writer, value) {
      const end = writer.length;
      if (value !== null) writeFields(writer, value as Row);
      writer.varint32(writer.length - end);
    },
    read: (reader) => readFields(reader.nested()) as Shape<F>,
    encode(value) {
      const writer = new Writer();
      writeFields(writer, value as Row);
      return writer.finish();
    },
    writeFields: (writer, value) => writeFields(writer, value as Row),
    decode: (input) => decoding(name, input, (reader) => readFields(reader) as Shape<F>),
  };
}

/** The message in field `number` of a message that has this field only; null when there is another. */
export function decodeSole<T, I>(input: Uint8Array, number: number, sole: Message<T, I>): T | null {
  return decoding(sole.name, input, (reader) => {
    let found: T | null = null;
    while (!reader.atEnd()) {
      const tag = reader.varint32();
      if (tag === ((number << 3) | DELIMITED)) found = sole.read(reader);
      else reader.skip(tag & 7);
    }
    return found;
  });
}

function decoding<T>(name: string, input: Uint8Array, read: (reader: Reader) => T): T {
  try {
    return read(new Reader(input));
  } catch (error) {
    if (!(error instanceof Malformed)) throw error;
    throw new TikvError("malformed", `decode ${name} of ${input.length} bytes: ${error.message}`);
  }
}

type Row = Record<string, unknown>;

/** One field of a message, bound to its name. */
interface Slot {
  readonly key: string;
  readonly number: number;
  zero(): unknown;
  /** Writes nothing for an absent or zero value. */
  write(writer: Writer, value: unknown): void;
  /** False when the wire type is none of this field's: it is then skipped like an unknown one. */
  read(reader: Reader, wire: number, row: Row): boolean;
}

function singleSlot(key: string, number: number, kind: Kind<unknown, unknown>): Slot {
  const tag = (number << 3) | kind.wire;
  return {
    key,
    number,
    zero: kind.zero,
    write(writer, value) {
      if (value === undefined || kind.isZero(value)) return;
      kind.write(writer, value);
      writer.varint32(tag);
    },
    read(reader, wire, row) {
      if (wire !== kind.wire) return false;
      row[key] = kind.read(reader);
      return true;
    },
  };
}

function repeatedSlot(key: string, number: number, kind: Kind<unknown, unknown>): Slot {
  const tag = (number << 3) | DELIMITED;
  return {
    key,
    number,
    zero: () => [],
    write(writer, value) {
      if (value === undefined) return;
      const items = value as readonly unknown[];
      if (items.length === 0) return;
      const end = writer.length;
      for (let at = items.length - 1; at >= 0; at--) {
        kind.write(writer, items[at]);
        if (kind.wire === DELIMITED) writer.varint32(tag);
      }
      if (kind.wire === DELIMITED) return;
      writer.varint32(writer.length - end);
      writer.varint32(tag);
    },
    read(reader, wire, row) {
      const items = row[key] as unknown[];
      if (wire === kind.wire) {
        items.push(kind.read(reader));
        return true;
      }
      if (wire !== DELIMITED) return false;
      const packed = reader.nested();
      while (!packed.atEnd()) items.push(kind.read(packed));
      return true;
    },
  };
}

/** Fills a buffer from its end; grows by doubling. */
export class Writer {
  #buffer: Uint8Array<ArrayBuffer>;
  #start: number;

  /** @param bytes how many to make room for at first. */
  constructor(bytes = 128) {
    this.#buffer = new Uint8Array(bytes);
    this.#start = bytes;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#buffer.length - this.#start;
  }

  /** Forgets what was written after the length was `length`. */
  truncate(length: number): void {
    this.#start = this.#buffer.length - length;
  }

  byte(value: number): void {
    const at = this.#room(1); // may replace the buffer
    this.#buffer[at] = value;
  }

  varint32(value: number): void {
    const size = value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : value < 0x1000_0000 ? 4 : 5;
    let at = this.#room(size);
    let rest = value;
    for (let more = size - 1; more > 0; more--) {
      this.#buffer[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[at] = rest;
  }

  varint64(value: bigint): void {
    if (value < 0n || value > U64_MAX) {
      throw new RangeError(`encode ${value}: it is no unsigned 64-bit number`);
    }
    if (value <= 0xffff_ffffn) return this.varint32(Number(value));
    // From here on in numbers, since arithmetic of bigint allocates: four groups of seven bits, and the 36 bits above.
    const low = Number(value & 0xfff_ffffn);
    let upper = Number(value >> 28n);
    let size = 5;
    for (let rest = upper; rest > 0x7f; rest = Math.floor(rest / 0x80)) size++;
    let at = this.#room(size);
    for (let shift = 0; shift < 28; shift += 7) this.#buffer[at++] = ((low >>> shift) & 0x7f) | 0x80;
    for (; upper > 0x7f; upper = Math.floor(upper / 0x80)) this.#buffer[at++] = (upper & 0x7f) | 0x80;
    this.#buffer[at] = upper;
  }

  delimited(value: Uint8Array): void {
    const at = this.#room(value.length); // may replace the buffer
    this.#buffer.set(value, at);
    this.varint32(value.length);
  }

  text(value: string): void {
    const { length } = value;
    let at = this.#room(length); // may replace the buffer
    for (let index = 0; index < length; index++) {
      const unit = value.charCodeAt(index);
      if (unit >= 0x80) {
        this.#start += length;
        return this.delimited(UTF8.encoder.encode(value));
      }
      this.#buffer[at++] = unit; // several times faster than the encoder for the short names in every request
    }
    this.varint32(length);
  }

  /** What was written: a view of the buffer, which this writer gives up. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(this.#start);
  }

  /** Moves the start back by `size` bytes and returns it. */
  #room(size: number): number {
    if (this.#start < size) {
      const used = this.length;
      const grown = new Uint8Array(Math.max(this.#buffer.length * 2, used + size));
      grown.set(this.#buffer.subarray(this.#start), grown.length - used);
      this.#buffer = grown;
      this.#start = grown.length - used;
    }
    this.#start -= size;
    return this.#start;
  }
}

/** Becomes a `malformed` TikvError that names the message. */
class Malformed extends Error {}

export class Reader {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(input: Uint8Array, from = 0, to = input.length) {
    this.#bytes = input;
    this.#at = from;
    this.#end = to;
  }

  atEnd(): boolean {
    return this.#at >= this.#end;
  }

  /** The low 32 bits of a varint, unsigned. */
  varint32(): number {
    const first = this.#byte();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let shift = 7; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new Malformed(`a varint of over ten bytes at ${this.#at}`);
  }

  varint64(): bigint {
    let low = 0; // 28 bits
    let middle = 0; // 28 bits
    let high = 0; // 8 bits
    for (let group = 0; group < 10; group++) {
      const byte = this.#byte();
      if (group < 4) low |= (byte & 0x7f) << (7 * group);
      else if (group < 8) middle |= (byte & 0x7f) << (7 * (group - 4));
      else high |= (byte & 0x7f) << (7 * (group - 8));
      if (byte >= 0x80) continue;
      const upper = middle + (high & 0xff) * 2 ** 28;
      return upper < 2 ** 25 ? BigInt(low + upper * 2 ** 28) : (BigInt(upper) << 28n) | BigInt(low);
    }
    throw new Malformed(`a varint of over ten bytes at ${this.#at}`);
  }

  delimited(): Uint8Array {
    const size = this.#length();
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }

  /** A reader of the delimited bytes that come next, which this one steps over. */
  nested(): Reader {
    const size = this.#length();
    this.#at += size;
    return new Reader(this.#bytes, this.#at - size, this.#at);
  }

  skip(wire: number): void {
    if (wire === VARINT) this.varint64();
    else if (wire === DELIMITED) this.delimited();
    else if (wire === FIXED64) this.#step(8);
    else if (wire === FIXED32) this.#step(4);
    else throw new Malformed(`wire type ${wire} at ${this.#at}`);
  }

  /** A length that the remaining bytes hold. */
  #length(): number {
    const size = this.varint32();
    if (size > this.#end - this.#at) {
      throw new Malformed(`${size} bytes promised at ${this.#at} are not there`);
    }
    return size;
  }

  #step(size: number): void {
    if (size > this.#end - this.#at) throw new Malformed(`cut off at ${this.#end}`);
    this.#at += size;
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new Malformed(`cut off at ${this.#end}`);
    return this.#bytes[this.#at++] ?? 0;
  }
}
