/**
 * Sends parts to the bus, a bounded number at a time.
 *
 * W1. At most `max` are under way once the caller waits for `room()` after each `add()`.
 * W2. The first failure shows in the next `room()` or `empty()`, and is no unhandled rejection until then.
 */
export interface Window<T> {
  add(item: T): void;
  /** Resolves when less than `max` are under way. */
  room(): Promise<void>;
  /** Resolves when nothing is under way. */
  empty(): Promise<void>;
}

export function window<T>(max: number, send: (item: T) => Promise<void>): Window<T> {
  const underWay = new Set<Promise<void>>();
  let failure: { error: unknown } | null = null;

  async function below(limit: number): Promise<void> {
    while (underWay.size >= limit && failure === null) await Promise.race(underWay);
    if (failure !== null) throw failure.error;
  }

  return {
    add(item) {
      const sending = send(item)
        .catch((error) => {
          failure ??= { error };
        })
        .finally(() => underWay.delete(sending));
      underWay.add(sending);
    },
    room: () => below(max),
    empty: () => below(1),
  };
}
