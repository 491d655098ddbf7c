/** Time and chance as values, and the real ones. */

/** Time and chance, so that tests can own them. */
export interface Runtime {
  /** Milliseconds of a clock that never goes back. */
  nowMs(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Rejects with the signal's reason when that aborts first. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export function createRuntime(): Runtime {
  return { nowMs: () => performance.now(), random: () => Math.random(), sleep };
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const cancel = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", cancel);
      resolve();
    }, ms);
    signal?.addEventListener("abort", cancel, { once: true });
  });
}
