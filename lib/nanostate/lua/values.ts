/**
 * Lua's values, and the meter that all work with them goes through.
 *
 * V1. A string is a JavaScript string of bytes (code points 0 … 255), as in Lua; UTF-8 is decoded at the border only.
 * V2. A table's entries come in the order in which they were put there: nothing depends on hashes or addresses.
 * V3. `LuaThrown` is what Lua code can catch. `LuaStop` it cannot: a limit, or a refusal of the host.
 */
import type { NanostateCode } from "../errors.ts";
import { LUA_BYTES_MAX, LUA_DEPTH_MAX, LUA_STEPS_MAX, NUMBER_CHARS_MAX } from "../limits.ts";

export type Value = undefined | boolean | number | string | LuaTable | LuaFunction;
export type LuaFunction = (args: readonly Value[]) => readonly Value[];

export class LuaThrown extends Error {
  override readonly name = "LuaThrown";
  /** @param levels how many calls outwards the place is that its text wants in front; 0 for none */
  constructor(readonly value: Value, readonly levels = 1) {
    super(typeof value === "string" ? value : `an error that is a ${typeName(value)}`);
  }
}

export class LuaStop extends Error {
  override readonly name = "LuaStop";
  constructor(readonly code: NanostateCode, message: string) {
    super(message);
  }
}

const ENTRY_BYTES = 40;
const TABLE_BYTES = 64;
export const BYTES_A_STEP = 16;

/** What one compilation may use up. Once empty it stays empty. */
export class Meter {
  #steps = LUA_STEPS_MAX;
  #bytes = LUA_BYTES_MAX;
  #depth = 0;

  /** @throws {LuaStop} `limit` */
  spend(steps: number): void {
    this.#steps -= steps;
    if (this.#steps < 0) throw new LuaStop("limit", `it took more than ${LUA_STEPS_MAX} steps`);
  }

  /** Room for a string of that length, and the work of making it. @throws {LuaStop} `limit`, before it is made */
  string(length: number): void {
    this.#allocate(length);
    this.spend(length / BYTES_A_STEP);
  }

  table(): void {
    this.#allocate(TABLE_BYTES);
  }

  entry(): void {
    this.#allocate(ENTRY_BYTES);
  }

  /** Runs a function one level deeper. @throws {LuaStop} `limit` */
  deeper<T>(run: () => T): T {
    if (this.#depth >= LUA_DEPTH_MAX) {
      throw new LuaStop("limit", `functions called each other more than ${LUA_DEPTH_MAX} deep`);
    }
    this.#depth++;
    try {
      return run();
    } finally {
      this.#depth--;
    }
  }

  #allocate(bytes: number): void {
    this.#bytes -= bytes;
    if (this.#bytes < 0) throw new LuaStop("limit", `it made more than ${LUA_BYTES_MAX} bytes of values`);
  }
}

export class LuaTable {
  /** Entries 1 … n. A hole is undefined, never at the end. */
  readonly list: Value[] = [];
  readonly #others = new Map<Value, Value>();

  constructor(readonly meter: Meter) {
    meter.table();
  }

  /** A border, as `#` gives it. */
  get length(): number {
    return this.list.length;
  }

  get(key: Value): Value {
    if (typeof key === "number" && key >= 1 && key <= this.list.length && Number.isInteger(key)) {
      return this.list[key - 1];
    }
    this.#spendKey(key);
    return this.#others.get(key);
  }

  /** @throws {LuaThrown} for a key that cannot be one */
  set(key: Value, value: Value): void {
    if (key === undefined || Number.isNaN(key)) throw new LuaThrown("a table's index is nil or not a number");
    if (typeof key === "number" && Number.isInteger(key) && key >= 1 && key <= this.list.length + 1) {
      this.#setItem(key, value);
    } else if (value === undefined) this.#others.delete(key);
    else {
      this.#spendKey(key);
      if (!this.#others.has(key)) this.meter.entry();
      this.#others.set(key, value);
    }
  }

  /** Equal texts are compared to their ends. */
  #spendKey(key: Value): void {
    if (typeof key === "string" && key.length > BYTES_A_STEP) this.meter.spend(key.length / BYTES_A_STEP);
  }

  #setItem(key: number, value: Value): void {
    const { list } = this;
    if (key <= list.length) {
      list[key - 1] = value;
      while (list.length > 0 && list.at(-1) === undefined) list.pop();
      return;
    }
    if (value === undefined) return void this.#others.delete(key);
    this.meter.entry();
    list.push(value);
    this.#others.delete(key);
    for (let next = this.#others.get(list.length + 1); next !== undefined;) {
      this.#others.delete(list.length + 1);
      list.push(next);
      next = this.#others.get(list.length + 1);
    }
  }

  /** All entries: items first, then the others as they came. Costs a step each. */
  entries(): [Value, Value][] {
    this.meter.spend(this.list.length + this.#others.size);
    const items = this.list.map((value, index): [Value, Value] => [index + 1, value]);
    return [...items.filter(([, value]) => value !== undefined), ...this.#others];
  }

  /** True when every entry is one of 1 … n. */
  get isList(): boolean {
    return this.#others.size === 0;
  }
}

export function typeName(value: Value): string {
  if (value === undefined) return "nil";
  if (value instanceof LuaTable) return "table";
  return typeof value;
}

/** As Lua prints numbers, whole ones without a fraction. Tables and functions have no address here (V2). */
export function toText(value: Value): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return numberText(value);
  return typeof value === "boolean" ? String(value) : typeName(value);
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  return String(value);
}

/** The number that a text stands for, as `tonumber` and arithmetic take it; undefined for none. */
export function toNumber(value: Value): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || value.length > NUMBER_CHARS_MAX) return undefined;
  const text = value.trim();
  if (/^[-+]?0[xX][0-9a-fA-F]+$/.test(text)) {
    return Number(text.replace(/^[-+]/, "")) * (text.startsWith("-") ? -1 : 1);
  }
  return /^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(text) ? Number(text) : undefined;
}

/** Text of the world → V1. */
export function toBytes(text: string): string {
  // deno-lint-ignore no-control-regex -- exactly the bytes that are the same in both
  if (/^[\x00-\x7f]*$/.test(text)) return text;
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return bytes;
}

/** V1 → text of the world; null when the bytes are no UTF-8. */
export function fromBytes(bytes: string): string | null {
  // deno-lint-ignore no-control-regex -- as above
  if (/^[\x00-\x7f]*$/.test(bytes)) return bytes;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
      Uint8Array.from(bytes, (char) => char.charCodeAt(0)),
    );
  } catch {
    return null; // the only error that `decode` throws
  }
}
