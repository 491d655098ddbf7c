/** Scopes for tests of this room: real time, and errors of spawned work kept where a test can see them. */
import { messageOf, SalarError } from "../errors.ts";
import type { Random, Scope } from "../seams.ts";

export interface TestScope extends Scope {
  /** Messages of errors that spawned work ended with. */
  readonly failures: string[];
  end(): void;
}

export function testScope(): TestScope {
  const controller = new AbortController();
  const failures: string[] = [];
  return { ...scopeOf(controller.signal, failures), failures, end: () => controller.abort() };
}

function scopeOf(signal: AbortSignal, failures: string[]): Scope {
  const scope: Scope = {
    nowMs: () => Date.now(),
    monoMs: () => performance.now(),
    random,
    signal,
    sleep: (ms) =>
      new Promise((resolve, reject) => {
        const stop = () => {
          clearTimeout(timer);
          reject(new SalarError("cancelled", "Cannot sleep: its scope has ended"));
        };
        const timer = setTimeout(() => {
          signal.removeEventListener("abort", stop);
          resolve();
        }, ms);
        if (signal.aborted) stop();
        signal.addEventListener("abort", stop, { once: true });
      }),
    every(everyMs, name, work) {
      scope.spawn(name, async () => {
        while (!signal.aborted) {
          await work();
          await scope.sleep(everyMs);
        }
      });
    },
    spawn(_name, work) {
      work().catch((error) => {
        if (!signal.aborted) failures.push(messageOf(error));
      });
    },
    async timeout(ms, work) {
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), ms);
      const late = new Promise<never>((_resolve, reject) => {
        controller.signal.addEventListener(
          "abort",
          () => reject(new SalarError("deadline", `Cannot wait longer: ${ms} ms are over`)),
        );
      });
      try {
        return await Promise.race([late, work(scope.child("timeout", controller.signal))]);
      } finally {
        clearTimeout(timer);
      }
    },
    child: (_name, other) => scopeOf(other ? AbortSignal.any([signal, other]) : signal, failures),
  };
  return scope;
}

const random: Random = {
  u32: () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
  below: (below) => random.u32() % below,
  bytes: (length) => crypto.getRandomValues(new Uint8Array(length)),
  id: () => Array.from(random.bytes(26), (byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte & 31]).join(""),
  fork: () => random,
};
