/**
 * The handlers of one subscription: started in order of arrival, a bounded number at once.
 *
 * P1. At most `runningMax` run, at most `waitingMax` wait; one more pushes out the one that waited longest.
 * P2. `work` starts in a microtask of its own, so that a chain of messages never grows the stack.
 * P3. After `stop` nothing starts.
 * An error of `work` reaches the host of the scope.
 */
import type { Scope } from "../seams.ts";

export interface PoolOptions<T> {
  name: string;
  runningMax: number;
  waitingMax: number;
  work: (item: T) => Promise<void>;
  /** Told each item that P1 pushed out. */
  dropped?: (item: T) => void;
  /** Told after each item that there is room for another. */
  freed?: () => void;
}

export interface Pool<T> {
  push(item: T): void;
  /** How many run or wait. */
  held(): number;
  /** Starts nothing more and lets go what had not started. */
  stop(): void;
  /** Resolves once nothing runs. */
  idle(): Promise<void>;
}

export function createPool<T>(scope: Scope, options: PoolOptions<T>): Pool<T> {
  let waiting: T[] = [];
  let head = 0; // `waiting[head]` is next: shift() would move a long queue each time
  let running = 0;
  let stopped = false;
  let idlers: (() => void)[] = [];

  const next = () => {
    while (!stopped && running < options.runningMax && head < waiting.length) {
      const item = waiting[head++] as T;
      running++;
      scope.spawn(options.name, async () => {
        try {
          await null;
          await options.work(item);
        } finally {
          ended();
        }
      });
    }
    if (head > 0 && head >= waiting.length / 2) {
      waiting = waiting.slice(head);
      head = 0;
    }
  };
  const ended = () => {
    running--;
    next();
    options.freed?.();
    if (running > 0) return;
    for (const idler of idlers) idler();
    idlers = [];
  };

  return {
    push(item) {
      if (stopped) return;
      if (waiting.length - head >= options.waitingMax) options.dropped?.(waiting[head++] as T);
      waiting.push(item);
      next();
    },
    held: () => running + waiting.length - head,
    stop() {
      stopped = true;
      waiting = [];
      head = 0;
    },
    idle: () => running === 0 ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve)),
  };
}
