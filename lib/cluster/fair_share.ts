/**
 * Fair shares: so many things over holders by weight, none above its capacity.
 *
 * Water filling: what a full holder cannot take is shared among the rest by weight again, so that all stand at one
 * level and each share is min(capacity, level × weight).
 * F1. The shares add up to the total, or to all capacities where those are less.
 */

export interface Holder {
  /** 0 or more; 0 takes nothing. */
  readonly weight: number;
  /** A whole number, 0 or more. */
  readonly capacity: number;
}

/** One holder in the order in which they become full. */
interface Step {
  /** The total at which this one is full. */
  fullAt: number;
  /** Capacity of those that were full before. */
  full: number;
  /** Weight of this one and those after it. */
  weight: number;
}

/** The level of any total over fixed holders: sorted once, then O(log holders) a question. */
export class WaterLevel {
  readonly #steps: Step[] = [];

  constructor(holders: readonly Holder[]) {
    const able = holders.filter(({ weight, capacity }) => weight > 0 && capacity > 0);
    able.sort((x, y) => y.capacity / y.weight - x.capacity / x.weight); // last to be full first: weights add up from there
    let full = able.reduce((total, { capacity }) => total + capacity, 0);
    let weight = 0;
    for (const holder of able) {
      full -= holder.capacity;
      weight += holder.weight;
      this.#steps.push({ fullAt: full + (holder.capacity / holder.weight) * weight, full, weight });
    }
    this.#steps.reverse();
  }

  /** The level at which the shares add up to `total`; Infinity where that fills everybody. */
  at(total: number): number {
    let low = 0;
    let high = this.#steps.length;
    while (low < high) { // towards the first that is not full
      const middle = (low + high) >>> 1;
      if ((this.#steps[middle]?.fullAt ?? Infinity) <= total) low = middle + 1;
      else high = middle;
    }
    const step = this.#steps[low];
    return step === undefined ? Infinity : (total - step.full) / step.weight;
  }
}

/** The share of one holder at a level: not rounded. */
export function shareAt(level: number, { weight, capacity }: Holder): number {
  return weight === 0 ? 0 : Math.min(capacity, level * weight);
}

/** Whole shares: each rounded down, and what that leaves given to the largest fractions, earlier holders first. */
export function apportion(total: number, holders: readonly Holder[]): number[] {
  const level = new WaterLevel(holders).at(total);
  const parts = holders.map((holder, at) => {
    const fair = shareAt(level, holder);
    const whole = Math.floor(fair);
    return { at, whole, fraction: fair - whole, room: holder.weight > 0 ? holder.capacity - whole : 0 };
  });
  const able = holders.reduce((all, { weight, capacity }) => all + (weight > 0 ? capacity : 0), 0);
  let left = Math.min(total, able) - parts.reduce((all, { whole }) => all + whole, 0);

  const shares = parts.map(({ whole }) => whole);
  for (const { at, whole, room } of parts.sort((x, y) => y.fraction - x.fraction || x.at - y.at)) {
    if (left <= 0) break; // fewer are left over than there are holders
    if (room < 1) continue;
    shares[at] = whole + 1;
    left--;
  }
  return shares;
}
