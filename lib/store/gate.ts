/**
 * Who may call a store, and when: it closes after the calls that run. Shared by every adapter.
 *
 * G1. After `close()` begins no new call starts; those that run go on for at most STORE_CLOSE_WAIT_MS_MAX.
 */
import { SalarError } from "../errors.ts";
import { STORE_CLOSE_WAIT_MS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";

export interface Gate {
  /** One call of the store, from its start to its end. */
  call<T>(scope: Scope, work: () => Promise<T>): Promise<T>;
  /** For what is still in a call that was waited for long enough. @throws {SalarError} `closed` */
  checkOpen(): void;
  /** Waits for the calls that run (G1), then calls `end` once. */
  close(end: () => void | Promise<void>): Promise<void>;
}

/** @param name of the store, for messages: its path or address. */
export function createGate(name: string): Gate {
  const calls = new Map<Promise<unknown>, Scope>();
  let closing: Promise<void> | null = null;
  let closed = false;
  const closedError = () => new SalarError("closed", `Cannot use store ${name}: it is closed`);

  async function shut(end: () => void | Promise<void>): Promise<void> {
    const waits = [...calls].map(([call, scope]) =>
      scope.timeout(STORE_CLOSE_WAIT_MS_MAX, async () => void await call)
    );
    await Promise.allSettled(waits); // how a call ended is for its caller to hear
    closed = true;
    await end();
  }

  return {
    call(scope, work) {
      if (closing !== null) return Promise.reject(closedError());
      const call = work();
      calls.set(call, scope);
      return call.finally(() => calls.delete(call));
    },
    checkOpen() {
      if (closed) throw closedError();
    },
    close: (end) => closing ??= shut(end),
  };
}

export function cancelledError(): SalarError {
  return new SalarError("cancelled", "Cannot go on with transaction: its caller stopped waiting");
}
