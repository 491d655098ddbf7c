/**
 * One incarnation of one process: it has a clock, can be paused, cut off, and killed.
 *
 * L1. After a kill nothing that it waits for settles, and what it still calls does nothing: no `catch`, no `finally`.
 * L2. A pause holds back whatever would reach it; all of it comes, in order, when it goes on.
 * L3. Its wall clock may be wrong and may jump; its monotonic clock is right.
 */
import { createScope } from "../../lib/mesh/scope.ts";
import type { Random, Scope } from "../../lib/seams.ts";
import type { Kernel } from "./kernel.ts";

/** When the virtual world begins, epoch milliseconds. */
export const EPOCH_MS = 1_800_000_000_000;

export type Far = "store" | "bus" | "net";

export interface LifeOptions {
  kernel: Kernel;
  name: string;
  random: Random;
  /** Milliseconds by which its wall clock is wrong; may change. */
  skewMs: () => number;
  /** Whether it cannot reach `far` now. */
  isCut: (far: Far) => boolean;
  onError: (work: string, error: unknown) => void;
}

export class Life {
  readonly name: string;
  readonly kernel: Kernel;
  readonly scope: Scope;
  readonly random: Random;
  readonly isCut: (far: Far) => boolean;
  #dead = false;
  #paused = false;
  #held: (() => void)[] = [];
  #ends: (() => void)[] = [];

  constructor({ kernel, name, random, skewMs, isCut, onError }: LifeOptions) {
    this.kernel = kernel;
    this.name = name;
    this.random = random.fork("seams");
    this.isCut = isCut;
    const clock = {
      nowMs: () => EPOCH_MS + Math.floor(kernel.nowMs) + skewMs(),
      monoMs: () => kernel.nowMs,
      random,
      after: (ms: number, fire: () => void) => kernel.after(ms, () => this.deliver(fire)),
    };
    this.scope = createScope(clock, {
      name,
      onError: (work, error) => {
        if (!this.#dead) onError(work, error);
      },
    });
  }

  isDead(): boolean {
    return this.#dead;
  }

  /** L1, L2: whatever reaches the process comes through here. */
  deliver(fire: () => void): void {
    if (this.#dead) return;
    if (this.#paused) this.#held.push(fire);
    else fire();
  }

  /** What `work` gives, as far as this process still hears it. */
  hear<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      work.then(
        (value) => this.deliver(() => resolve(value)),
        (error) => this.deliver(() => reject(error)),
      );
    });
  }

  /** Runs `work` inside the process, once it can; never settles when it dies first. */
  enter<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => this.deliver(() => void work().then(resolve, reject)));
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    const held = this.#held;
    this.#held = [];
    for (const fire of held) this.kernel.after(0, () => this.deliver(fire));
  }

  /** Calls `end` when the process dies; the answer takes it back. */
  onKill(end: () => void): () => void {
    this.#ends.push(end);
    return () => void (this.#ends = this.#ends.filter((other) => other !== end));
  }

  kill(): void {
    if (this.#dead) return;
    this.#dead = true;
    this.#held = [];
    for (const end of this.#ends) end();
    this.#ends = [];
  }
}

/** What a dead process waits for. */
export function never<T>(): Promise<T> {
  return new Promise(() => {});
}
