/**
 * Faults by name: whether the n-th passage of a site fails is a matter of (seed, kind, site, n) alone.
 *
 * F1. A failure is a list of names, such as `loss@net.client-17#3`; any subset of them replays, since no decision
 *     shifts another.
 * F2. Swarm: each seed has about half of the kinds, each at a rate of its own.
 * F3. After `end()` nothing fails any more.
 * Source: FoundationDB's buggify, TigerBeetle's swarm, the simulation brief, section 4.
 */
import { hashText, mix, seededRandom } from "./random.ts";

/** Kind → its highest rate per passage. Kinds with rate 0 happen by time (`chaos.ts`). */
export const KINDS = {
  loss: 0.1,
  duplicate: 0.1,
  reorder: 0.1,
  "lost-commit-answer": 0.05,
  "store-unavailable": 0.02,
  "lost-ack": 0.1,
  "stale-answer": 0.2,
  crash: 0,
  outage: 0,
  pause: 0,
  partition: 0,
  skew: 0,
} as const;
export type Kind = keyof typeof KINDS;

export interface FaultOptions {
  seed: number;
  /** Only these names may fire; null: whatever the seed draws. */
  only: ReadonlySet<string> | null;
}

/** A place where something can go wrong; true: now it does. */
export type Site = () => boolean;

export class Faults {
  /** What fired, in order. */
  readonly fired: string[] = [];
  readonly #seed: number;
  readonly #only: ReadonlySet<string> | null;
  readonly #rates = new Map<Kind, number>();
  #over = false;

  constructor({ seed, only }: FaultOptions) {
    this.#seed = mix(seed, 0x5eed);
    this.#only = only;
    const random = seededRandom(seed, "swarm");
    for (const kind of Object.keys(KINDS) as Kind[]) {
      const isOn = random.below(2) === 1;
      const rate = KINDS[kind] * (1 + random.below(100)) / 100;
      this.#rates.set(kind, isOn ? rate : 0);
      if (isOn && KINDS[kind] === 0) this.#rates.set(kind, 1);
    }
  }

  isOn(kind: Kind): boolean {
    return (this.#rates.get(kind) ?? 0) > 0;
  }

  end(): void {
    this.#over = true;
  }

  isOver(): boolean {
    return this.#over;
  }

  site(kind: Kind, place: string): Site {
    const rate = (this.#rates.get(kind) ?? 0) * 2 ** 32;
    const key = mix(this.#seed, hashText(`${kind}@${place}`));
    let n = 0;
    return () => {
      n++;
      return mix(key, n) < rate && this.#fire(`${kind}@${place}#${n}`);
    };
  }

  /** A fault that happens by time: `n` counts those of this kind. */
  timed(kind: Kind, place: string, n: number): boolean {
    return this.isOn(kind) && this.#fire(`${kind}@${place}#${n}`);
  }

  #fire(name: string): boolean {
    if (this.#over || (this.#only !== null && !this.#only.has(name))) return false;
    this.fired.push(name);
    return true;
  }
}
