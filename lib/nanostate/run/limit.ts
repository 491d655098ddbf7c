/** Waits that end: by a time, or by the signal of what they belong to. */
import { HostError } from "../transport/transport.ts";

export interface Limit {
  /** Aborts with `signal`, or with a HostError `timed-out` as its reason. */
  readonly signal: AbortSignal;
  /** Takes the time back; the signal still follows the other. */
  [Symbol.dispose](): void;
}

/** @param why for people: `web-1 did not finish within 7200 s` */
export function limited(signal: AbortSignal, ms: number, why: string): Limit {
  const own = new AbortController();
  const timer = setTimeout(() => own.abort(new HostError("timed-out", why)), ms);
  return {
    signal: AbortSignal.any([signal, own.signal]),
    [Symbol.dispose]: () => clearTimeout(timer),
  };
}

/** @throws {HostError} the signal's own, or `cancelled` */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
  if (signal.aborted) throw endedBy(signal);
}

/** What counts of an error under a signal: who ended it knows best. */
export function causeOf(error: unknown, signal: AbortSignal): unknown {
  return signal.aborted ? endedBy(signal) : error;
}

/** Why a signal ended. */
export function endedBy({ reason }: AbortSignal): HostError {
  return reason instanceof HostError ? reason : new HostError("cancelled", "the run was cancelled");
}
