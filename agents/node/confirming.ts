/**
 * Which position may be confirmed, while parts are on their way to the bus in any order.
 *
 * C1. A position is confirmed only when every part that was added before its mark is done.
 * C2. The confirmed position never falls.
 */
export interface Confirming {
  /** A part is under way; call the result, once, when the bus has stored it. */
  add(): () => void;
  /** Everything added so far reaches up to `lsn`. */
  mark(lsn: bigint): void;
  /** The highest position that is safe. */
  confirmed(): bigint;
  /** Parts under way. */
  outstanding(): number;
}

export function confirming(start: bigint): Confirming {
  let confirmed = start;
  let outstanding = 0;
  /** In order of arrival: parts not known to be done, and marks behind them. */
  const queue: ({ done: boolean } | { lsn: bigint })[] = [];
  let head = 0;

  function advance(): void {
    for (let item = queue[head]; item !== undefined; item = queue[head]) {
      if ("done" in item && !item.done) break;
      if ("lsn" in item && item.lsn > confirmed) confirmed = item.lsn;
      head++;
    }
    if (head > 1_024 && head * 2 > queue.length) head -= queue.splice(0, head).length; // keeps shifting cheap
  }

  return {
    add() {
      const item = { done: false };
      queue.push(item);
      outstanding++;
      return () => {
        if (item.done) return;
        item.done = true;
        outstanding--;
        advance();
      };
    },
    mark(lsn) {
      const last = queue.at(-1);
      // Behind one part the latest mark says it all.
      if (last !== undefined && "lsn" in last && queue.length > head) {
        last.lsn = lsn > last.lsn ? lsn : last.lsn;
      } else queue.push({ lsn });
      advance();
    },
    confirmed: () => confirmed,
    outstanding: () => outstanding,
  };
}
