/**
 * Which replica of a region one request asks next.
 *
 * R1. The leader, unless its store cannot be reached, it was left for another, or leaders were asked often enough.
 * R2. Then every other replica once, as follower: it will say who leads, and a region that hibernates elects a
 *     leader only when a follower is asked. Stores that said they are busy come last.
 * R3. After two busy answers a follower is asked once in between: the leader may have moved without telling.
 * Source: client-go internal/locate/replica_selector.go.
 */
import { REPLICA_MS_MAX, REPLICA_TRIES_MAX } from "./limits.ts";
import type { RegionEntry, Replica } from "./region_cache.ts";

const BUSY_ANSWERS_BEFORE_PROBE = 2;

export class Choices {
  readonly region: RegionEntry;
  /** Whether the last choice was made by R2 or R3. */
  asFollower = false;
  /** Index of the last choice in the region's replicas. */
  #chosen = -1;
  /** Sets of such indices, as bits: they are made for every request. */
  #followersAsked = 0;
  #left = 0;
  #leaderTries = 0;
  #sinceMs = -1;
  #busyAnswers = 0;
  #probe = false;

  constructor(region: RegionEntry) {
    this.region = region;
  }

  /** Null when there is nobody left to ask. */
  next(nowMs: number): Replica | null {
    const { leader, replicas } = this.region;
    const leaderIsOpen = this.#leaderIsOpen(nowMs);
    const follower = leaderIsOpen && !this.#probe ? -1 : this.#openFollower(nowMs);
    this.#probe = false;
    this.asFollower = follower >= 0;
    if (this.asFollower) {
      this.#followersAsked |= 1 << follower;
      this.#chosen = follower;
    } else {
      if (!leaderIsOpen) return null;
      if (this.#leaderTries === 0) this.#sinceMs = nowMs;
      this.#leaderTries += 1;
      this.#chosen = leader;
    }
    return replicas[this.#chosen] ?? null;
  }

  /** The last choice does not lead, or does not answer: ask another. */
  leave(): void {
    this.#left |= 1 << this.#chosen;
  }

  /** A peer of this id leads, it was said. False when that one cannot be reached. */
  lead(peerId: bigint): boolean {
    const at = this.region.replicas.findIndex(({ peer }) => peer.id === peerId);
    const replica = this.region.replicas[at];
    if (replica === undefined || !canAsk(replica)) return false;
    this.region.lead(at);
    this.#left &= ~(1 << at);
    return true;
  }

  /** The leader said it is busy. */
  busy(): void {
    this.#busyAnswers += 1;
    this.#probe = this.#busyAnswers === BUSY_ANSWERS_BEFORE_PROBE;
  }

  #leaderIsOpen(nowMs: number): boolean {
    const { leader, replicas } = this.region;
    const replica = replicas[leader];
    if (replica === undefined || !canAsk(replica) || (this.#left & (1 << leader)) !== 0) return false;
    if (this.#leaderTries === 0) return true;
    return this.#leaderTries < REPLICA_TRIES_MAX && nowMs - this.#sinceMs < REPLICA_MS_MAX;
  }

  #openFollower(nowMs: number): number {
    const { leader, replicas } = this.region;
    let busy = -1;
    for (const [at, replica] of replicas.entries()) {
      if (at === leader || (this.#followersAsked & (1 << at)) !== 0 || !canAsk(replica)) continue;
      if (nowMs >= replica.store.busyUntilMs) return at;
      if (busy < 0) busy = at;
    }
    return busy;
  }
}

function canAsk({ store }: Replica): boolean {
  return store.usable && store.liveness !== "unreachable";
}
