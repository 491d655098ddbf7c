/** Lua's `string`, every function of it metered by what it reads and makes. Missing: dump, and %q and %a of format. */
import { captured, findMatch, type Match } from "./patterns.ts";
import {
  BYTES_A_STEP,
  LuaTable,
  LuaThrown,
  type Meter,
  toNumber,
  toText,
  typeName,
  type Value,
} from "./values.ts";

type Library = Readonly<Record<string, (args: readonly Value[]) => readonly Value[]>>;

/** Patterns without any of these are plain text. */
const SPECIAL = /[\^$*+?.([%-]/;
const FORMAT = /%([-+ #0]*)(\d*)(?:\.(\d*))?(.?)/g;
const FORMAT_WIDTH_MAX = 99;
/** One call gives so many at most: more would not fit on the stack of JavaScript. */
export const VALUES_MAX = 8_000;

export function stringLibrary(meter: Meter): Library {
  const made = (text: string): Value[] => [text];
  const room = (length: number): void => meter.string(Math.max(length, 0));
  return {
    byte: (args) => {
      const [text, from] = [textArg(args, 0), intArg(args, 1, 1)];
      const [start, end] = bounds(text, from, intArg(args, 2, from));
      if (end - start > VALUES_MAX) throw new LuaThrown("string slice too long");
      meter.spend(Math.max(end - start, 0));
      return [...text.slice(start, end)].map((char) => char.charCodeAt(0));
    },
    char: (args) => {
      room(args.length);
      const codes = args.map((_each, n) => intArg(args, n));
      if (codes.some((code) => code < 0 || code > 255)) throw argument(1, "a byte is 0 to 255");
      return made(codes.map((code) => String.fromCharCode(code)).join(""));
    },
    find: (args) => find(meter, args),
    format: (args) => made(format(meter, args)),
    gmatch: (args) => {
      const [text, pattern] = [textArg(args, 0), textArg(args, 1)];
      let at = 0;
      return [() => {
        if (at > text.length) return [];
        const match = findMatch(meter, text, pattern, at);
        if (match === null) return [];
        at = match.end > match.start ? match.end : match.end + 1;
        return copied(meter, text, match);
      }];
    },
    gsub: (args) => gsub(meter, args),
    len: (args) => [textArg(args, 0).length],
    lower: (args) => {
      const text = textArg(args, 0);
      room(text.length);
      return made(text.replace(/[A-Z]+/g, (part) => part.toLowerCase()));
    },
    match: (args) => {
      const text = textArg(args, 0);
      const from = startOf(text, intArg(args, 2, 1));
      const match = from === null ? null : findMatch(meter, text, textArg(args, 1), from);
      return match === null ? [undefined] : copied(meter, text, match);
    },
    rep: (args) => {
      const [text, times] = [textArg(args, 0), intArg(args, 1)];
      const between = args[2] === undefined ? "" : textArg(args, 2);
      if (times <= 0 || text.length + between.length === 0) return made("");
      room((text.length + between.length) * times);
      return made((text + between).repeat(times - 1) + text);
    },
    reverse: (args) => {
      const text = textArg(args, 0);
      room(text.length);
      meter.spend(text.length);
      return made([...text].reverse().join(""));
    },
    sub: (args) => {
      const text = textArg(args, 0);
      const [start, end] = bounds(text, intArg(args, 1, 1), intArg(args, 2, -1));
      room(end - start);
      return made(text.slice(start, end));
    },
    upper: (args) => {
      const text = textArg(args, 0);
      room(text.length);
      return made(text.replace(/[a-z]+/g, (part) => part.toUpperCase()));
    },
  };
}

function find(meter: Meter, args: readonly Value[]): Value[] {
  const [text, pattern] = [textArg(args, 0), textArg(args, 1)];
  const from = startOf(text, intArg(args, 2, 1));
  if (from === null) return [undefined];
  meter.spend(pattern.length / BYTES_A_STEP);
  if (args[3] !== undefined && args[3] !== false || !SPECIAL.test(pattern)) {
    // A text of few letters makes this search as slow as the product of both lengths.
    meter.spend((text.length - from) * Math.max(pattern.length, 1) / BYTES_A_STEP);
    const at = text.indexOf(pattern, from);
    return at < 0 ? [undefined] : [at + 1, at + pattern.length];
  }
  const match = findMatch(meter, text, pattern, from);
  if (match === null) return [undefined];
  const { start, end, captures } = match;
  return [start + 1, end, ...(captures.length === 0 ? [] : copied(meter, text, match))];
}

function copied(meter: Meter, text: string, match: Match): Value[] {
  const values = captured(text, match);
  for (const value of values) if (typeof value === "string") meter.string(value.length);
  return values;
}

function gsub(meter: Meter, args: readonly Value[]): Value[] {
  const [text, pattern, by] = [textArg(args, 0), textArg(args, 1), args[2]];
  const most = intArg(args, 3, Infinity);
  const parts: string[] = [];
  let [at, count] = [0, 0];
  while (count < most) {
    const match = at <= text.length ? findMatch(meter, text, pattern, at) : null;
    if (match === null) break;
    count++;
    const part = text.slice(at, match.start) + replacement(meter, text, match, by);
    meter.string(part.length);
    parts.push(part);
    if (match.end > match.start) at = match.end;
    else {
      parts.push(text.slice(match.end, match.end + 1));
      at = match.end + 1;
    }
    if (pattern.startsWith("^")) break;
  }
  const rest = text.slice(at);
  meter.string(text.length + parts.reduce((sum, { length }) => sum + length, rest.length));
  return [parts.join("") + rest, count];
}

function replacement(meter: Meter, text: string, match: Match, by: Value): string {
  const whole = text.slice(match.start, match.end);
  const [first] = captured(text, match);
  if (typeof by === "string" || typeof by === "number") {
    const template = toText(by);
    meter.spend(template.length);
    return template.replace(/%(.?)/gs, (_all, char: string) => {
      if (char === "%") return "%";
      const value = char === "0" ? whole : char === "1" ? first : match.captures[Number(char) - 1];
      if (value === undefined) throw new LuaThrown(`invalid use of '%' in replacement: %${char}`);
      meter.string(toText(value).length);
      return toText(value);
    });
  }
  let value: Value;
  if (by instanceof LuaTable) value = by.get(first);
  else if (typeof by === "function") [value] = by(captured(text, match));
  else throw argument(3, `string, function or table expected, got ${typeName(by)}`);
  if (value === undefined || value === false) return whole;
  if (typeof value === "string" || typeof value === "number") return toText(value);
  throw new LuaThrown(`invalid replacement value (a ${typeName(value)})`);
}

function format(meter: Meter, args: readonly Value[]): string {
  const template = textArg(args, 0);
  meter.string(template.length);
  let next = 1;
  return template.replace(
    FORMAT,
    (_all, flags: string, width: string, digits: string | undefined, kind: string) => {
      if (kind === "%") return "%";
      if (Number(width) > FORMAT_WIDTH_MAX || Number(digits ?? 0) > FORMAT_WIDTH_MAX) {
        throw new LuaThrown("invalid format (width or precision too long)");
      }
      const at = next++;
      const text = kind === "s"
        ? cut(shown(args, at), digits)
        : numeric(kind, numberArg(args, at), flags, digits);
      meter.string(Math.max(text.length, Number(width)));
      return padded(text, flags, Number(width), kind);
    },
  );
}

function shown(args: readonly Value[], at: number): string {
  if (at >= args.length) throw argument(at + 1, "no value");
  return toText(args[at]);
}

const cut = (text: string, digits: string | undefined) =>
  digits === undefined ? text : text.slice(0, Number(digits));

function numeric(kind: string, value: number, flags: string, digits: string | undefined): string {
  const sign = value < 0 || Object.is(value, -0)
    ? "-"
    : flags.includes("+")
    ? "+"
    : flags.includes(" ")
    ? " "
    : "";
  const [size, places] = [Math.abs(value), digits === undefined ? 6 : Number(digits)];
  const whole = () => {
    if (!Number.isInteger(value)) {
      throw new LuaThrown(`bad argument to 'format': ${value} is no whole number`);
    }
    return BigInt(size);
  };
  const long = (text: string) => text.padStart(Number(digits ?? 0), "0");
  switch (kind) {
    case "d":
    case "i":
      return sign + long(whole().toString());
    case "x":
      return sign + long(whole().toString(16));
    case "X":
      return sign + long(whole().toString(16).toUpperCase());
    case "o":
      return sign + long(whole().toString(8));
    case "c":
      return String.fromCharCode(Number(whole()) & 255);
    case "f":
      return sign + size.toFixed(places);
    case "e":
      return sign + size.toExponential(places).replace(/e([+-])(\d)$/, "e$10$2");
    case "g":
      return sign + general(size, Math.max(places, 1));
    default:
      throw new LuaThrown(`invalid conversion '%${kind}' to 'format'`);
  }
}

/** As C's %g: the shorter of both forms, without zeros at the end. */
function general(size: number, digits: number): string {
  if (size === 0 || !Number.isFinite(size)) return size === 0 ? "0" : "inf";
  const [mantissa = "", exponent = "0"] = size.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  const trimmed = (text: string) => text.includes(".") ? text.replace(/\.?0+$/, "") : text;
  if (power >= -4 && power < digits) return trimmed(size.toFixed(digits - 1 - power));
  return `${trimmed(mantissa)}e${power < 0 ? "-" : "+"}${String(Math.abs(power)).padStart(2, "0")}`;
}

function padded(text: string, flags: string, width: number, kind: string): string {
  if (flags.includes("-")) return text.padEnd(width);
  if (!flags.includes("0") || kind === "s" || kind === "c") return text.padStart(width);
  const sign = /^[-+ ]/.test(text) ? text.slice(0, 1) : "";
  return sign + text.slice(sign.length).padStart(width - sign.length, "0");
}

/** Lua's range, both ends counted from 1 or from the end → a slice. */
function bounds(text: string, from: number, to: number): [start: number, end: number] {
  const start = from > 0 ? from : from === 0 ? 1 : Math.max(text.length + from + 1, 1);
  const end = to >= 0 ? Math.min(to, text.length) : text.length + to + 1;
  return [start - 1, Math.max(end, start - 1)];
}

/** Where a search begins; null when that is beyond the end. */
function startOf(text: string, from: number): number | null {
  const start = from > 0 ? from - 1 : from === 0 ? 0 : Math.max(text.length + from, 0);
  return start > text.length ? null : start;
}

// --- Arguments

export function argument(n: number, reason: string): LuaThrown {
  return new LuaThrown(`bad argument #${n} (${reason})`);
}

export function textArg(args: readonly Value[], n: number): string {
  const value = args[n];
  if (typeof value === "string" || typeof value === "number") return toText(value);
  throw argument(n + 1, `string expected, got ${typeName(value)}`);
}

export function numberArg(args: readonly Value[], n: number): number {
  const number = toNumber(args[n]);
  if (number === undefined) throw argument(n + 1, `number expected, got ${typeName(args[n])}`);
  return number;
}

/** A whole number; a fraction is refused. */
export function intArg(args: readonly Value[], n: number, otherwise?: number): number {
  if (args[n] === undefined && otherwise !== undefined) return otherwise;
  const number = numberArg(args, n);
  if (!Number.isInteger(number)) throw argument(n + 1, "whole number expected");
  return number;
}

export function tableArg(args: readonly Value[], n: number): LuaTable {
  const value = args[n];
  if (value instanceof LuaTable) return value;
  throw argument(n + 1, `table expected, got ${typeName(value)}`);
}
