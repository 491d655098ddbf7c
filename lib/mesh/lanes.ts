/**
 * Audit lanes: each transition goes to a hash chain, and a chain's head is one key, so two transactions that run at
 * once must not share a chain. A replica therefore has as many lanes as it has audited transactions under way:
 * `<replica>.0`, `<replica>.1`, … and a transaction takes the first free one.
 */
export class Lanes {
  readonly #replica: string;
  readonly #taken = new Set<number>();

  constructor(replica: string) {
    this.#replica = replica;
  }

  /** Runs `work` with a lane that nobody else of this process has meanwhile. */
  async with<T>(work: (lane: string) => Promise<T>): Promise<T> {
    let slot = 0; // bounded by the transactions under way, which the host bounds
    while (this.#taken.has(slot)) slot++;
    this.#taken.add(slot);
    try {
      return await work(`${this.#replica}.${slot}`);
    } finally {
      this.#taken.delete(slot);
    }
  }
}
