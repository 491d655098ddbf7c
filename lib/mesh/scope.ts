/**
 * Scopes on any clock: how waits end, and where errors of spawned work go.
 *
 * In: a clock, a name for log lines, and what ends it. Out: a `Scope` (lib/seams.ts).
 * R1. A wait rejects with `cancelled` at once when its scope ends, even where the work itself looks away.
 * R2. No error of spawned work is lost or unhandled: it reaches `onError`, which logs it unless told otherwise.
 * R3. Nothing here outlives its scope: timers and listeners are taken back on every path.
 */
import { assert, isSalarError, SalarError } from "../errors.ts";
import { type Log, silentLog } from "../log.ts";
import type { OpenScope, Random, Scope } from "../seams.ts";

/** Where time and chance come from. */
export interface Clock {
  nowMs(): number;
  monoMs(): number;
  random: Random;
  /** Calls `fire` once, `ms` from now; the answer takes it back. */
  after(ms: number, fire: () => void): () => void;
}

export interface ScopeOptions {
  /** Stands in log lines and in errors, such as `director`. */
  name: string;
  /** @default silentLog */
  log?: Log;
  /** Ends the scope. Without one it never ends. */
  signal?: AbortSignal;
  /** Gets what spawned and repeated work throws. @default an error line in `log` */
  onError?: (work: string, error: unknown) => void;
}

/** What timers can hold; a longer wait would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Why a scope is aborted that was ended by hand: made once, since each error carries a stack. */
const ENDED = new SalarError("cancelled", "Cannot go on: the work of this scope is over");

export function createScope(clock: Clock, options: ScopeOptions): Scope {
  const { name, log = silentLog, signal = new AbortController().signal } = options;
  const onError = options.onError ??
    ((work, error) => log.error("work failed", { scope: name, work, error }));
  const report = (work: string, error: unknown) => {
    if (!(signal.aborted && isSalarError(error, "cancelled"))) onError(work, error); // the way to end
  };

  const scope: Scope = {
    nowMs: clock.nowMs,
    monoMs: clock.monoMs,
    random: clock.random,
    signal,
    sleep: (ms) => sleep(clock, ms, signal, name),
    every(everyMs, work, run) {
      scope.spawn(work, async () => {
        while (!signal.aborted) {
          await run().catch((error) => report(work, error));
          await scope.sleep(everyMs);
        }
      });
    },
    spawn(work, run) {
      // Started in a microtask, so that a synchronous throw is caught too.
      Promise.resolve().then(run).catch((error) => report(work, error));
    },
    timeout: (ms, work) => timeout(clock, ms, work, { ...options, signal }),
    child: (child, other) =>
      createScope(clock, {
        ...options,
        name: `${name}/${child}`,
        signal: other === undefined ? signal : AbortSignal.any([signal, other]),
      }),
    open: (child, ...others) => open(clock, { ...options, name: `${name}/${child}` }, [signal, ...others]),
  };
  return scope;
}

/** `AbortSignal.any` would leave it to the garbage collector to let go of the signals, at twenty times the price. */
function open(clock: Clock, options: ScopeOptions, signals: readonly AbortSignal[]): OpenScope {
  const controller = new AbortController();
  const end = () => {
    for (const signal of signals) signal.removeEventListener("abort", end);
    controller.abort(ENDED);
  };
  for (const signal of signals) signal.addEventListener("abort", end, { once: true });
  if (signals.some(({ aborted }) => aborted)) end();
  return { ...createScope(clock, { ...options, signal: controller.signal }), end };
}

function sleep(clock: Clock, ms: number, signal: AbortSignal, name: string): Promise<void> {
  assert(ms <= TIMER_MS_MAX, `no sleep is longer than ${TIMER_MS_MAX} ms`);
  return new Promise((resolve, reject) => {
    const cancel = () => {
      stop();
      reject(new SalarError("cancelled", `Cannot sleep on: scope "${name}" has ended`));
    };
    const stop = clock.after(ms, () => {
      signal.removeEventListener("abort", cancel);
      resolve();
    });
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
  });
}

/**
 * Races the work against its end. A scope of its own is given to the work, so that what it waits for ends too;
 * what it gives or throws after that goes nowhere.
 */
function timeout<T>(
  clock: Clock,
  ms: number,
  work: (scope: Scope) => Promise<T>,
  options: ScopeOptions & { signal: AbortSignal },
): Promise<T> {
  const { name, signal } = options;
  const controller = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const end = (error: SalarError) => {
      reject(error); // before the abort, so that the work's own `cancelled` does not come first
      controller.abort(error);
    };
    const cancel = () => end(new SalarError("cancelled", `Cannot wait on: scope "${name}" has ended`));
    const late = () => end(new SalarError("deadline", `Cannot wait longer in "${name}": ${ms} ms are over`));
    const stop = clock.after(Math.min(ms, TIMER_MS_MAX), late);
    signal.addEventListener("abort", cancel, { once: true });
    const settle = () => {
      stop();
      signal.removeEventListener("abort", cancel);
    };
    if (signal.aborted) {
      settle();
      return cancel();
    }
    Promise.resolve(createScope(clock, { ...options, signal: controller.signal }))
      .then(work)
      .finally(settle)
      .then(resolve, reject);
  });
}
