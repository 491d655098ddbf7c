/**
 * The scope of a real process: the system's clocks, timers and random numbers.
 *
 * In: a name for log lines, and what ends it. Out: a `Scope` (lib/seams.ts).
 * R1. A wait rejects with `cancelled` at once when its scope ends, even where the work itself looks away.
 * R2. No error of spawned work is lost or unhandled: it reaches `onError`, which logs it unless told otherwise.
 * R3. Nothing here outlives its scope: timers and listeners are taken back on every path.
 */
import { assert, isSalarError, SalarError } from "../errors.ts";
import { type Log, silentLog } from "../log.ts";
import type { Random, Scope } from "../seams.ts";

export interface RealScopeOptions {
  /** Stands in log lines and in errors, such as `director`. */
  name: string;
  /** @default silentLog */
  log?: Log;
  /** Ends the scope. Without one it never ends. */
  signal?: AbortSignal;
  /** Gets what spawned and repeated work throws. @default an error line in `log` */
  onError?: (work: string, error: unknown) => void;
}

/** What timers of the platform can hold; a longer wait would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

export function realScope(options: RealScopeOptions): Scope {
  const { name, log = silentLog, signal = new AbortController().signal } = options;
  const onError = options.onError ??
    ((work, error) => log.error("work failed", { scope: name, work, error }));
  const report = (work: string, error: unknown) => {
    if (!(signal.aborted && isSalarError(error, "cancelled"))) onError(work, error); // the way to end
  };

  const scope: Scope = {
    nowMs: () => Date.now(),
    monoMs: () => performance.now(),
    random: realRandom(),
    signal,
    sleep: (ms) => sleep(ms, signal, name),
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
    timeout: (ms, work) => timeout(ms, work, { ...options, signal }),
    child: (child, other) =>
      realScope({
        ...options,
        name: `${name}/${child}`,
        signal: other === undefined ? signal : AbortSignal.any([signal, other]),
      }),
  };
  return scope;
}

function sleep(ms: number, signal: AbortSignal, name: string): Promise<void> {
  assert(ms <= TIMER_MS_MAX, `no sleep is longer than ${TIMER_MS_MAX} ms`);
  return new Promise((resolve, reject) => {
    const cancel = () => {
      clearTimeout(timer);
      reject(new SalarError("cancelled", `Cannot sleep on: scope "${name}" has ended`));
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", cancel);
      resolve();
    }, ms);
    signal.addEventListener("abort", cancel, { once: true });
    if (signal.aborted) cancel();
  });
}

/**
 * Races the work against its end. A scope of its own is given to the work, so that what it waits for ends too;
 * what it gives or throws after that goes nowhere.
 */
function timeout<T>(
  ms: number,
  work: (scope: Scope) => Promise<T>,
  options: RealScopeOptions & { signal: AbortSignal },
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
    const timer = setTimeout(late, Math.min(ms, TIMER_MS_MAX));
    signal.addEventListener("abort", cancel, { once: true });
    const settle = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", cancel);
    };
    if (signal.aborted) {
      settle();
      return cancel();
    }
    Promise.resolve(realScope({ ...options, signal: controller.signal }))
      .then(work)
      .finally(settle)
      .then(resolve, reject);
  });
}

const RANDOM_CALL_BYTES_MAX = 65_536;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** The operating system's random numbers. A fork is the same source: there is no order to keep apart. */
export function realRandom(): Random {
  const random: Random = {
    u32: () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    below(below) {
      assert(Number.isInteger(below) && below >= 1 && below <= 2 ** 32, "`below` is an integer of 1 … 2³²");
      const fair = 2 ** 32 - 2 ** 32 % below; // drawing again above it keeps all answers equally likely
      for (;;) {
        const drawn = random.u32();
        if (drawn < fair) return drawn % below;
      }
    },
    bytes(length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at += RANDOM_CALL_BYTES_MAX) {
        crypto.getRandomValues(bytes.subarray(at, at + RANDOM_CALL_BYTES_MAX));
      }
      return bytes;
    },
    id() {
      let bits = random.bytes(16).reduce((all, byte) => all << 8n | BigInt(byte), 0n);
      let text = "";
      for (let at = 0; at < 26; at++, bits >>= 5n) text += BASE32[Number(bits & 31n)];
      return text;
    },
    fork: () => random,
  };
  return random;
}
