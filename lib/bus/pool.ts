/**
 * The handlers of one subscription: started in order of arrival, a bounded number at once.
 *
 * P1. At most `runningMax` run, at most `waitingMax` wait; one more pushes out the one that waited longest.
 * P2. `work` starts in a microtask of its own, or of its burst, so that a chain of messages never grows the stack.
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
  let starting = false;
  let stopped = false;
  let idlers: (() => void)[] = [];

  const held = () => running + waiting.length - head;
  const canStart = () => !stopped && running < options.runningMax && head < waiting.length;
  const next = () => {
    if (starting || !canStart()) return;
    starting = true;
    // P2. One for all that come in this turn: a scope's work for each message would cost more than most handlers do.
    scope.spawn(options.name, async () => {
      await null;
      starting = false;
      while (canStart()) void run(waiting[head++] as T);
      if (head >= waiting.length / 2) {
        waiting = waiting.slice(head);
        head = 0;
      }
    });
  };
  const run = async (item: T) => {
    running++;
    try {
      try {
        await options.work(item);
      } finally {
        ended();
      }
    } catch (error) {
      scope.spawn(options.name, () => Promise.reject(error));
    }
  };
  const ended = () => {
    running--;
    next();
    options.freed?.();
    rest();
  };
  const isIdle = () => running === 0 && !canStart();
  const rest = () => {
    if (!isIdle()) return;
    for (const idler of idlers) idler();
    idlers = [];
  };

  return {
    push(item) {
      if (stopped) return;
      if (held() >= options.runningMax + options.waitingMax) options.dropped?.(waiting[head++] as T);
      waiting.push(item);
      next();
    },
    held,
    stop() {
      stopped = true;
      waiting = [];
      head = 0;
      rest();
    },
    idle: () => isIdle() ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve)),
  };
}
