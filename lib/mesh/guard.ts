/**
 * A guard for the simulation: ambient time, chance, timers, network, disk and keys throw instead of answering.
 *
 * In: where calls that get past the seams go (by default an error). Out: a function that takes the guard away.
 * G1. What is pure stays: `new Date(ms)`, `Date.parse`, `Math.max`, streams, Request and Response.
 * G2. The error names the global and the seam to use; it is thrown where the call is, so its stack shows who.
 * G3. Give `nowMs` only for libraries that stamp things with a time that nobody reads.
 * Install it before anything runs; imports that kept a global of their own are what the lint plugin is for.
 * Source: the simulation brief, section 2 (patched globals).
 */

export interface GuardOptions {
  /** Answers `Date.now()`, `new Date()` and `performance.now()`; without it they throw. */
  nowMs?: () => number;
}

/** Global function or namespace → the seam to use instead. */
const FORBIDDEN = {
  setTimeout: "scope.sleep",
  setInterval: "scope.every",
  setImmediate: "scope.spawn",
  fetch: "Net",
  WebSocket: "Net",
  EventSource: "Net",
  Worker: "scope.spawn",
  FinalizationRegistry: "an explicit close",
  WeakRef: "a plain reference",
} as const;

/** Members of `Deno` that neither touch the world nor change between runs. */
const DENO_PURE = new Set(["build", "version", "errors", "inspect", "customInspect", "internal", "noColor"]);

export function installGuard({ nowMs }: GuardOptions = {}): () => void {
  const before = new Map<object, Map<PropertyKey, PropertyDescriptor | undefined>>();
  const replace = (target: object, name: PropertyKey, value: unknown) => {
    const kept = before.get(target) ?? new Map();
    before.set(target, kept);
    kept.set(name, Object.getOwnPropertyDescriptor(target, name));
    Object.defineProperty(target, name, { value, configurable: true, writable: true, enumerable: false });
  };
  const clock = (name: string) => nowMs ?? stopped(name, "scope.nowMs or scope.monoMs");

  for (const [name, instead] of Object.entries(FORBIDDEN)) replace(globalThis, name, stopped(name, instead));
  replace(globalThis, "Date", guardedDate(clock("Date")));
  replace(Math, "random", stopped("Math.random", "scope.random"));
  replace(performance, "now", clock("performance.now"));
  replace(AbortSignal, "timeout", stopped("AbortSignal.timeout", "scope.timeout"));
  replace(globalThis, "crypto", guardedObject("crypto", "scope.random, Crypt or Signer", crypto, new Set()));
  replace(globalThis, "Deno", guardedObject("Deno", "Disk, Net or another seam", Deno, DENO_PURE));
  if ("Temporal" in globalThis) {
    replace(Temporal, "Now", guardedObject("Temporal.Now", "scope.nowMs", Temporal.Now, new Set()));
  }

  return () => {
    for (const [target, kept] of before) {
      for (const [name, descriptor] of kept) {
        if (descriptor === undefined) Reflect.deleteProperty(target, name);
        else Object.defineProperty(target, name, descriptor);
      }
    }
    before.clear();
  };
}

/** Throws when called, constructed or not. */
function stopped(name: string, instead: string): () => never {
  return function stop() { // not an arrow: `new` must reach it too
    throw new Error(`Cannot use ${name}: it is ambient, use ${instead}`);
  };
}

function guardedDate(nowMs: () => number): DateConstructor {
  return new Proxy(Date, {
    // As a plain call, whatever its arguments, it is the text of now.
    apply: (target) => new target(nowMs()).toString(),
    construct: (target, args, newTarget) =>
      Reflect.construct(target, args.length === 0 ? [nowMs()] : args, newTarget),
    get: (target, name, receiver) => name === "now" ? nowMs : Reflect.get(target, name, receiver),
  });
}

/** Reading a member is fine only for what is pure, symbols and what is no function; else it throws when called. */
function guardedObject<T extends object>(name: string, instead: string, target: T, pure: Set<string>): T {
  return new Proxy(Object.create(null), {
    get(_target, member) {
      const value: unknown = Reflect.get(target, member);
      if (typeof member === "symbol" || pure.has(member)) return value;
      if (typeof value === "function") return stopped(`${name}.${member}`, instead);
      if (typeof value === "object" && value !== null) {
        return guardedObject(`${name}.${member}`, instead, value, new Set());
      }
      return value;
    },
    has: (_target, member) => Reflect.has(target, member),
  });
}
