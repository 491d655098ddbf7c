/**
 * The functions that every function file finds: Lua's basic ones, `string`, `table`, `math`.
 *
 * Left out, since a state's functions compute and touch nothing: io, os, package, debug, coroutine, load, dofile,
 * collectgarbage, print, random numbers, and metatables (with them a finalizer or an index could run unseen).
 */
import { NUMBER_CHARS_MAX } from "../limits.ts";
import { isTrue } from "./evaluate.ts";
import { argument, intArg, numberArg, stringLibrary, tableArg, textArg, VALUES_MAX } from "./strings.ts";
import {
  BYTES_A_STEP,
  type LuaFunction,
  LuaTable,
  LuaThrown,
  type Meter,
  toNumber,
  toText,
  typeName,
  type Value,
} from "./values.ts";

/** What an error costs JavaScript, in steps of about as long. */
const ERROR_STEPS = 50;

/** A fresh set, since Lua code may change it. */
export function library(meter: Meter): { globals: LuaTable; strings: LuaTable } {
  const strings = tableOf(meter, stringLibrary(meter));
  const globals = tableOf(meter, basics(meter));
  globals.set("string", strings);
  globals.set("table", tableOf(meter, tables(meter)));
  const math = tableOf(meter, mathematics);
  math.set("huge", Infinity);
  math.set("pi", Math.PI);
  globals.set("math", math);
  return { globals, strings };
}

export function tableOf(meter: Meter, entries: Readonly<Record<string, Value>>): LuaTable {
  const table = new LuaTable(meter);
  for (const [key, value] of Object.entries(entries)) table.set(key, value);
  return table;
}

function basics(meter: Meter): Record<string, LuaFunction> {
  return {
    assert: (args) => {
      if (isTrue(args[0])) return args;
      throw new LuaThrown(args.length < 2 ? "assertion failed!" : args[1], 0);
    },
    error: (args) => {
      throw new LuaThrown(args[0], typeof args[0] === "string" ? intArg(args, 1, 1) : 0);
    },
    ipairs: (args) => {
      const table = tableArg(args, 0);
      return [
        ([_table, index]) => {
          const next = Number(index) + 1;
          const value = table.get(next);
          return value === undefined ? [undefined] : [next, value];
        },
        table,
        0,
      ];
    },
    next: (args) => {
      const entries = tableArg(args, 0).entries();
      const at = args[1] === undefined ? -1 : entries.findIndex(([key]) => key === args[1]);
      if (args[1] !== undefined && at < 0) throw argument(2, "no such key in the table");
      return entries[at + 1] ?? [undefined];
    },
    pairs: (args) => {
      const table = tableArg(args, 0);
      const keys = table.entries().map(([key]) => key);
      let at = 0;
      return [() => {
        for (; at < keys.length;) {
          const key = keys[at++];
          const value = table.get(key);
          if (value !== undefined) return [key, value]; // it may have been taken out meanwhile
        }
        return [undefined];
      }, table];
    },
    pcall: ([called, ...args]) => {
      if (typeof called !== "function") return [false, `attempt to call a ${typeName(called)} value`];
      try {
        return [true, ...called(args)];
      } catch (error) {
        if (!(error instanceof LuaThrown)) throw error; // a limit cannot be caught
        meter.spend(ERROR_STEPS);
        return [false, error.value];
      }
    },
    rawequal: ([a, b]) => [a === b],
    rawlen: (args) => [typeof args[0] === "string" ? args[0].length : tableArg(args, 0).length],
    select: ([which, ...rest]) => {
      if (which === "#") return [rest.length];
      const from = intArg([which], 0);
      if (from === 0 || -from > rest.length) throw argument(1, "out of range");
      return from > 0 ? rest.slice(from - 1) : rest.slice(from);
    },
    tonumber: (args) => {
      if (args[1] === undefined) return [toNumber(args[0])];
      const base = intArg(args, 1);
      if (base < 2 || base > 36) throw argument(2, "base out of range");
      if (textArg(args, 0).length > NUMBER_CHARS_MAX) return [undefined];
      const text = textArg(args, 0).trim().toLowerCase();
      const digits = text.replace(/^-/, "");
      const isNumber = digits !== "" && [...digits].every((digit) => Number.parseInt(digit, 36) < base);
      return [isNumber ? Number.parseInt(text, base) : undefined];
    },
    tostring: ([value]) => {
      const text = toText(value);
      meter.string(text.length);
      return [text];
    },
    type: (args) => {
      if (args.length === 0) throw argument(1, "a value expected");
      return [typeName(args[0])];
    },
    unpack: unpack(meter),
  };
}

function unpack(meter: Meter): LuaFunction {
  return (args) => {
    const table = tableArg(args, 0);
    const [from, to] = [intArg(args, 1, 1), intArg(args, 2, table.length)];
    const count = to - from + 1;
    if (count > VALUES_MAX) throw new LuaThrown("too many results to unpack");
    if (count <= 0) return [];
    meter.spend(count);
    return Array.from({ length: count }, (_none, n) => table.get(from + n));
  };
}

function tables(meter: Meter): Record<string, LuaFunction> {
  return {
    concat: (args) => {
      const table = tableArg(args, 0);
      const between = args[1] === undefined ? "" : textArg(args, 1);
      const [from, to] = [intArg(args, 2, 1), intArg(args, 3, table.length)];
      const parts: string[] = [];
      for (let n = from; n <= to; n++) {
        const value = table.get(n);
        if (typeof value !== "string" && typeof value !== "number") {
          throw new LuaThrown(`invalid value (a ${typeName(value)}) at index ${n} in table for 'concat'`);
        }
        const part = toText(value);
        meter.spend(1);
        meter.string(part.length + between.length);
        parts.push(part);
      }
      return [parts.join(between)];
    },
    insert: (args) => {
      const table = tableArg(args, 0);
      if (args.length < 2 || args.length > 3) throw new LuaThrown("wrong number of arguments to 'insert'");
      const end = table.length + 1;
      const at = args.length === 2 ? end : intArg(args, 1);
      if (at < 1 || at > end) throw argument(2, "position out of bounds");
      meter.spend((end - at) / 4);
      for (let n = end; n > at; n--) table.set(n, table.get(n - 1));
      table.set(at, args.at(-1));
      return [];
    },
    pack: (args) => {
      const table = new LuaTable(meter);
      args.forEach((value, n) => table.set(n + 1, value));
      table.set("n", args.length);
      return [table];
    },
    remove: (args) => {
      const table = tableArg(args, 0);
      const { length } = table;
      const at = intArg(args, 1, length);
      if (
        args[1] !== undefined && length + 1 !== at && (at < 1 || at > length + 1) &&
        !(length === 0 && at === 0)
      ) {
        throw argument(2, "position out of bounds");
      }
      const removed = table.get(at);
      meter.spend(Math.max(length - at, 0) / 4);
      for (let n = at; n < length; n++) table.set(n, table.get(n + 1));
      if (at >= 1 && at <= length) table.set(length, undefined);
      return [removed];
    },
    sort: (args) => {
      const table = tableArg(args, 0);
      const items = Array.from({ length: table.length }, (_none, n) => table.get(n + 1));
      const before = args[1] === undefined ? lessThan(meter) : comparing(args[1]);
      meter.spend(items.length);
      items.sort((a, b) => {
        meter.spend(1);
        return before(a, b) ? -1 : before(b, a) ? 1 : 0;
      });
      items.forEach((value, n) => table.set(n + 1, value));
      return [];
    },
    unpack: unpack(meter),
  };
}

function comparing(compare: Value): (a: Value, b: Value) => boolean {
  if (typeof compare !== "function") throw argument(2, `function expected, got ${typeName(compare)}`);
  return (a, b) => isTrue(compare([a, b])[0]);
}

function lessThan(meter: Meter): (a: Value, b: Value) => boolean {
  return (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a < b;
    if (typeof a !== "string" || typeof b !== "string") {
      throw new LuaThrown(`attempt to compare ${typeName(a)} with ${typeName(b)}`);
    }
    meter.spend(Math.min(a.length, b.length) / BYTES_A_STEP);
    return a < b;
  };
}

const mathematics: Readonly<Record<string, LuaFunction>> = {
  abs: (args) => [Math.abs(numberArg(args, 0))],
  ceil: (args) => [Math.ceil(numberArg(args, 0))],
  exp: (args) => [Math.exp(numberArg(args, 0))],
  floor: (args) => [Math.floor(numberArg(args, 0))],
  fmod: (args) => [numberArg(args, 0) % numberArg(args, 1)],
  log: (args) => {
    const value = Math.log(numberArg(args, 0));
    return [args[1] === undefined ? value : value / Math.log(numberArg(args, 1))];
  },
  max: (args) => [Math.max(...numbers(args))],
  min: (args) => [Math.min(...numbers(args))],
  modf: (args) => {
    const number = numberArg(args, 0);
    const whole = Math.trunc(number);
    return [whole, Number.isFinite(number) ? number - whole : 0];
  },
  pow: (args) => [numberArg(args, 0) ** numberArg(args, 1)],
  sqrt: (args) => [Math.sqrt(numberArg(args, 0))],
};

function numbers(args: readonly Value[]): number[] {
  return [numberArg(args, 0), ...args.slice(1).map((_each, n) => numberArg(args, n + 1))];
}
