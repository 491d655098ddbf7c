/** The clock of the cluster: timestamps that only grow, until a test makes them jump. */

const LOGICAL_BITS = 18n;

export class Oracle {
  #offsetMs = 0;
  #physical = 0;
  #logical = 0;

  /** The last of `count` new timestamps, as physical and logical part. */
  take(count: number): { physical: bigint; logical: bigint } {
    const now = Date.now() + this.#offsetMs;
    if (now > this.#physical) {
      this.#physical = now;
      this.#logical = 0;
    }
    this.#logical += count;
    if (this.#logical >= 2 ** Number(LOGICAL_BITS)) {
      this.#physical++;
      this.#logical = count;
    }
    return { physical: BigInt(this.#physical), logical: BigInt(this.#logical) };
  }

  /** One new timestamp. */
  next(): bigint {
    const { physical, logical } = this.take(1);
    return (physical << LOGICAL_BITS) | logical;
  }

  /** Time goes on `ms` later. */
  jump(ms: number): void {
    this.#offsetMs += ms;
  }

  /** The sin of all oracles: what comes next is `ms` before what was. */
  fallBack(ms: number): void {
    this.#offsetMs -= ms;
    this.#physical -= ms;
  }
}
