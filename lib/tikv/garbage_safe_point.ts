/**
 * Below the safe point, versions may be gone: a read there must fail, for the stores would answer it wrongly.
 * The placement driver is asked at most every SAFE_POINT_REFRESH_MS, and never for a snapshot younger than that.
 * Source: client-go tikv/safepoint.go.
 */
import { TikvError } from "./errors.ts";
import { BUDGET_MS, SAFE_POINT_REFRESH_MS } from "./limits.ts";
import { Operation } from "./operation.ts";
import type { Placement } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import { physicalMs, TS_MAX } from "./transaction_time.ts";

export class SafePoint {
  readonly #placement: Placement;
  readonly #runtime: Runtime;
  #known = 0n;
  #readAtMs = -Infinity;
  /** One look for all who need it; a caller who gives up does not end it for the others. */
  #reading: Promise<void> | null = null;

  constructor(placement: Placement, runtime: Runtime) {
    this.#placement = placement;
    this.#runtime = runtime;
  }

  /** Whether a snapshot is too young to be below any safe point; `check` need not be awaited then. */
  isYoung(version: bigint): boolean {
    if (version === TS_MAX) return true;
    return physicalMs(this.#placement.recent()) - physicalMs(version) < SAFE_POINT_REFRESH_MS;
  }

  /** Throws `too-old`. */
  async check(version: bigint, op: Operation): Promise<void> {
    if (this.isYoung(version)) return;
    if (this.#runtime.nowMs() - this.#readAtMs >= SAFE_POINT_REFRESH_MS) {
      await op.until(this.#reading ??= this.#read().finally(() => this.#reading = null));
    }
    if (version >= this.#known) return;
    throw new TikvError(
      "too-old",
      `${op.name}: snapshot ${version} is older than the safe point ${this.#known}, its versions may be gone; ` +
        "read from a new snapshot, or hold the safe point back beforehand",
    );
  }
  async #read(): Promise<void> {
    const runtime = this.#runtime;
    const askedAtMs = runtime.nowMs();
    const op = new Operation({ name: "read safe point", budgetMs: BUDGET_MS.timestamp, runtime });
    this.#known = await this.#placement.safePoint(op);
    this.#readAtMs = askedAtMs;
  }
}
