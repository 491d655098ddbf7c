/**
 * Lua's patterns, matched with every step metered: a pattern that backtracks without end meets the limit instead.
 *
 * Source: the algorithm of `lstrlib.c` (Lua 5.2); positions here count from 0.
 */
import { PATTERN_CAPTURES_MAX, PATTERN_DEPTH_MAX } from "../limits.ts";
import { LuaThrown, type Meter, type Value } from "./values.ts";

export interface Match {
  start: number;
  end: number;
  /** Text, or a position that counts from 1. */
  captures: (string | number)[];
}

interface Capture {
  start: number;
  /** OPEN until it is closed; POSITION for `()`. */
  length: number;
}
const OPEN = -1;
const POSITION = -2;

const CLASSES: Readonly<Record<string, RegExp>> = {
  a: /[A-Za-z]/,
  // deno-lint-ignore no-control-regex -- the class of control characters
  c: /[\x00-\x1f\x7f]/,
  d: /[0-9]/,
  g: /[\x21-\x7e]/,
  l: /[a-z]/,
  p: /[!-/:-@[-`{-~]/,
  s: /[ \t\n\v\f\r]/,
  u: /[A-Z]/,
  w: /[A-Za-z0-9]/,
  x: /[A-Fa-f0-9]/,
};

/** The first match from `from` on; null for none. @throws {LuaThrown} for a malformed pattern */
export function findMatch(meter: Meter, text: string, pattern: string, from: number): Match | null {
  const anchored = pattern.startsWith("^");
  const last = anchored ? from : text.length;
  for (let start = from; start <= last; start++) {
    const matcher = new Matcher(meter, text, pattern);
    const end = matcher.match(start, anchored ? 1 : 0);
    if (end !== null) return { start, end, captures: matcher.captures() };
  }
  return null;
}

/** What a match gives to Lua: its captures, or all of it when it has none. */
export function captured(text: string, { start, end, captures }: Match): Value[] {
  return captures.length === 0 ? [text.slice(start, end)] : captures;
}

class Matcher {
  #captures: Capture[] = [];
  #depth = 0;

  constructor(readonly meter: Meter, readonly text: string, readonly pattern: string) {}

  captures(): (string | number)[] {
    return this.#captures.map(({ start, length }) => {
      if (length === OPEN) throw new LuaThrown("malformed pattern: a capture is not closed");
      return length === POSITION ? start + 1 : this.text.slice(start, start + length);
    });
  }

  /** The end of a match of the pattern from `p` on at `s`; null for none. */
  match(s: number, p: number): number | null {
    if (++this.#depth > PATTERN_DEPTH_MAX) throw new LuaThrown("pattern too complex");
    try {
      return this.#match(s, p);
    } finally {
      this.#depth--;
    }
  }

  #match(s: number, p: number): number | null {
    const { pattern } = this;
    for (;;) {
      this.meter.spend(1);
      if (p >= pattern.length) return s;
      const [char, next] = [pattern[p], pattern[p + 1]];
      if (char === "(") {
        return next === ")" ? this.#open(s, p + 2, POSITION) : this.#open(s, p + 1, OPEN);
      }
      if (char === ")") return this.#close(s, p + 1);
      if (char === "$" && p + 1 === pattern.length) return s === this.text.length ? s : null;
      if (char === "%" && next !== undefined && /[bf0-9]/.test(next)) {
        const step = next === "b"
          ? this.#balanced(s, p + 2)
          : next === "f"
          ? this.#frontier(s, p + 2)
          : this.#back(s, p + 1);
        if (step === null) return null;
        s = step;
        p = next === "b" ? p + 4 : next === "f" ? this.#itemEnd(p + 2) : p + 2;
        continue;
      }
      const end = this.#itemEnd(p);
      const repeat = pattern[end];
      if (repeat === "?") {
        const taken = this.#one(s, p, end) ? this.match(s + 1, end + 1) : null;
        if (taken !== null) return taken;
        p = end + 1;
      } else if (repeat === "+") return this.#one(s, p, end) ? this.#most(s + 1, p, end) : null;
      else if (repeat === "*") return this.#most(s, p, end);
      else if (repeat === "-") return this.#least(s, p, end);
      else {
        if (!this.#one(s, p, end)) return null;
        s++;
        p = end;
      }
    }
  }

  #most(s: number, p: number, end: number): number | null {
    let count = 0;
    while (this.#one(s + count, p, end)) count++;
    for (; count >= 0; count--) {
      const found = this.match(s + count, end + 1);
      if (found !== null) return found;
    }
    return null;
  }

  #least(s: number, p: number, end: number): number | null {
    for (;; s++) {
      const found = this.match(s, end + 1);
      if (found !== null) return found;
      if (!this.#one(s, p, end)) return null;
    }
  }

  #open(s: number, p: number, length: number): number | null {
    if (this.#captures.length >= PATTERN_CAPTURES_MAX) throw new LuaThrown("too many captures");
    this.#captures.push({ start: s, length });
    const end = this.match(s, p);
    if (end === null) this.#captures.pop();
    return end;
  }

  #close(s: number, p: number): number | null {
    const capture = this.#captures.findLast(({ length }) => length === OPEN);
    if (capture === undefined) throw new LuaThrown("malformed pattern: `)` closes nothing");
    capture.length = s - capture.start;
    const end = this.match(s, p);
    if (end === null) capture.length = OPEN;
    return end;
  }

  #balanced(s: number, p: number): number | null {
    const [open, close] = [this.pattern[p], this.pattern[p + 1]];
    if (open === undefined || close === undefined) {
      throw new LuaThrown("malformed pattern: %b needs two characters");
    }
    if (this.text[s] !== open) return null;
    let level = 1;
    for (let at = s + 1; at < this.text.length; at++) {
      this.meter.spend(1);
      if (this.text[at] === close) {
        if (--level === 0) return at + 1;
      } else if (this.text[at] === open) level++;
    }
    return null;
  }

  #frontier(s: number, p: number): number | null {
    if (this.pattern[p] !== "[") throw new LuaThrown("malformed pattern: %f needs a set");
    const end = this.#itemEnd(p);
    const before = this.#inItem(this.text[s - 1] ?? "\0", p, end);
    return !before && this.#inItem(this.text[s] ?? "\0", p, end) ? s : null;
  }

  #back(s: number, p: number): number | null {
    const capture = this.#captures[Number(this.pattern[p]) - 1];
    if (capture === undefined || capture.length < 0) {
      throw new LuaThrown(`malformed pattern: there is no capture %${this.pattern[p]}`);
    }
    const text = this.text.slice(capture.start, capture.start + capture.length);
    this.meter.spend(text.length);
    return this.text.startsWith(text, s) ? s + text.length : null;
  }

  /** Where the single item that begins at `p` ends. */
  #itemEnd(p: number): number {
    const { pattern } = this;
    if (pattern[p] === "%") {
      if (p + 1 >= pattern.length) throw new LuaThrown("malformed pattern: it ends with %");
      return p + 2;
    }
    if (pattern[p] !== "[") return p + 1;
    let at = p + 1;
    if (pattern[at] === "^") at++;
    do { // a `]` right after the bracket is itself a member
      this.meter.spend(1);
      if (at >= pattern.length) throw new LuaThrown("malformed pattern: a `[` is not closed");
      at += pattern[at] === "%" ? 2 : 1;
    } while (pattern[at] !== "]");
    return at + 1;
  }

  #one(s: number, p: number, end: number): boolean {
    this.meter.spend(1);
    const char = this.text[s];
    return char !== undefined && this.#inItem(char, p, end);
  }

  #inItem(char: string, p: number, end: number): boolean {
    const item = this.pattern[p] ?? "";
    if (item === ".") return true;
    if (item === "%") return inClass(char, this.pattern[p + 1] ?? "");
    return item === "[" ? this.#inSet(char, p + 1, end - 1) : item === char;
  }

  #inSet(char: string, from: number, to: number): boolean {
    const { pattern } = this;
    const negated = pattern[from] === "^";
    for (let at = negated ? from + 1 : from; at < to; at++) {
      this.meter.spend(1);
      const member = pattern[at] ?? "";
      if (member === "%") {
        if (inClass(char, pattern[++at] ?? "")) return !negated;
      } else if (pattern[at + 1] === "-" && at + 2 < to) {
        if (member <= char && char <= (pattern[at + 2] ?? "")) return !negated;
        at += 2;
      } else if (member === char) return !negated;
    }
    return negated;
  }
}

function inClass(char: string, name: string): boolean {
  const found = CLASSES[name.toLowerCase()];
  if (found === undefined || !/[A-Za-z]/.test(name)) return char === name;
  return found.test(char) === (name === name.toLowerCase());
}
