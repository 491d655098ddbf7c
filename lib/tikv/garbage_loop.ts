/**
 * Garbage collection by one process of many: who holds the lease collects, the others stand by.
 *
 * Under the prefix lie `lease`, the record of who collects, and `names/NAME`, one for each process that takes part.
 * A record holds the instance, and until when it counts by the cluster's clock.
 * Y1. Records are read and written in one transaction, so of two that take the lease one fails.
 * Y2. The lease is renewed at a third of its time, and once more just before the safe point moves: a collector that
 *     slept through its lease moves nothing.
 * Y3. A second living instance of the same name is refused (`name-taken`). One that crashed is waited for, until its
 *     record runs out.
 */
import type { Core } from "./client_core.ts";
import { TikvError } from "./errors.ts";
import type { GarbageOptions, GarbageRound } from "./garbage.ts";
import { GARBAGE_EVERY_MS, GARBAGE_LEASE_MS } from "./limits.ts";
import type { Transaction } from "./transaction.ts";
import type { RunOptions } from "./transaction_run.ts";
import { physicalMs } from "./transaction_time.ts";

export interface GarbageLoopOptions {
  /** Where the lease lies, such as `salar/garbage/`; the same for all that take turns, and nobody else's. */
  prefix: Uint8Array;
  retentionMs?: number | undefined;
  /** From one round to the next. @default ten minutes */
  everyMs?: number | undefined;
  /** After so long without a sign of the holder another takes over. @default 30 s */
  leaseMs?: number | undefined;
  /** Ends the loop, which then resolves. */
  signal?: AbortSignal | undefined;
  onRound?: ((round: GarbageRound) => void) | undefined;
  /** A round or a renewal failed; the loop goes on. */
  onError?: ((error: unknown) => void) | undefined;
}

/** The client, as far as a collector needs it. */
export interface Collector {
  readonly name: string;
  readonly instance: string;
  transaction<T>(fn: (tx: Transaction) => T | Promise<T>, options: RunOptions): Promise<T>;
  collectGarbage(options: GarbageOptions): Promise<GarbageRound>;
}

interface LeaseRecord {
  name: string;
  instance: string;
  /** Milliseconds since 1970 by the cluster's clock. */
  untilMs: number;
}

/** Runs until the signal aborts or the client closes. Throws `name-taken`. */
export async function runGarbageCollector(
  client: Collector,
  core: Core,
  options: GarbageLoopOptions,
): Promise<void> {
  const { everyMs = GARBAGE_EVERY_MS, leaseMs = GARBAGE_LEASE_MS, retentionMs } = options;
  const { onRound = () => {}, onError = () => {} } = options;
  const lease = new Lease(client, options.prefix, leaseMs);
  const stop = new AbortController();
  const signals = [stop.signal, core.closing, ...(options.signal ? [options.signal] : [])];
  const signal = AbortSignal.any(signals);
  const renewMs = leaseMs / 3; // Y2
  let nextRoundMs = -Infinity;
  let round: Promise<void> | null = null;
  try {
    await lease.enter(core, signal);
    while (!signal.aborted) {
      try {
        const held = await lease.renew(signal);
        if (held && round === null && core.runtime.nowMs() >= nextRoundMs) {
          nextRoundMs = core.runtime.nowMs() + everyMs;
          const collecting = client.collectGarbage({
            retentionMs,
            signal,
            mayAdvance: () => lease.renew(signal),
          });
          round = collecting.then(onRound, report).finally(() => round = null);
        }
      } catch (error) {
        if (error instanceof TikvError && error.code === "name-taken") throw error;
        report(error);
      }
      await core.runtime.sleep(renewMs, signal).catch(() => {}); // an abort ends the loop
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    stop.abort();
    await round;
    if (!core.closing.aborted) await lease.leave().catch(report);
  }

  function report(error: unknown): void {
    if (!signal.aborted) onError(error);
  }
}

class Lease {
  readonly #client: Collector;
  readonly #leaseMs: number;
  readonly #leaseKey: Uint8Array;
  readonly #nameKey: Uint8Array;

  constructor(client: Collector, prefix: Uint8Array, leaseMs: number) {
    this.#client = client;
    this.#leaseMs = leaseMs;
    this.#leaseKey = joined(prefix, "lease");
    this.#nameKey = joined(prefix, `names/${client.name}`);
  }

  /** Y3: returns when the name is ours. */
  async enter(core: Core, signal: AbortSignal): Promise<void> {
    let firstSeen: LeaseRecord | null = null;
    while (true) {
      const other: LeaseRecord | null = await this.#client.transaction(async (tx) => {
        const [name] = await this.#read(tx, [this.#nameKey]);
        const rival = await this.#rival(tx, name ?? null);
        if (rival === null) tx.put(this.#nameKey, await this.#record(tx));
        return rival;
      }, { signal });
      if (other === null) return;
      firstSeen ??= other;
      const renewed = other.instance !== firstSeen.instance || other.untilMs > firstSeen.untilMs;
      if (renewed) throw nameTaken(this.#client.name);
      await core.runtime.sleep(this.#leaseMs / 3, signal);
    }
  }

  /** Y1. Whether the lease is ours now. */
  async renew(signal: AbortSignal): Promise<boolean> {
    return await this.#client.transaction(async (tx) => {
      const [name, lease] = await this.#read(tx, [this.#nameKey, this.#leaseKey]);
      if (await this.#rival(tx, name ?? null) !== null) throw nameTaken(this.#client.name);
      const record = await this.#record(tx);
      tx.put(this.#nameKey, record);
      if (await this.#rival(tx, lease ?? null) !== null) return false;
      tx.put(this.#leaseKey, record);
      return true;
    }, { signal });
  }

  /** Takes our records away, so that nobody waits for them to run out. */
  async leave(): Promise<void> {
    await this.#client.transaction(async (tx) => {
      const keys = [this.#nameKey, this.#leaseKey];
      const records = await this.#read(tx, keys);
      keys.forEach((key, at) => {
        if (records[at]?.instance === this.#client.instance) tx.delete(key);
      });
    }, { timeoutMs: this.#leaseMs });
  }

  /** The record, when it is another's and still counts. */
  async #rival(tx: Transaction, record: LeaseRecord | null): Promise<LeaseRecord | null> {
    if (record === null || record.instance === this.#client.instance) return null;
    return record.untilMs > physicalMs(await tx.startTs) ? record : null;
  }

  async #record(tx: Transaction): Promise<Uint8Array> {
    const { name, instance } = this.#client;
    const record: LeaseRecord = { name, instance, untilMs: physicalMs(await tx.startTs) + this.#leaseMs };
    return new TextEncoder().encode(JSON.stringify(record));
  }

  async #read(tx: Transaction, keys: Uint8Array[]): Promise<(LeaseRecord | null)[]> {
    return (await tx.getMany(keys)).map((value) => value === null ? null : parseRecord(value));
  }
}

/** Anything else that lies there counts as nobody's, and is written over. */
function parseRecord(value: Uint8Array): LeaseRecord | null {
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(value));
    if (typeof parsed !== "object" || parsed === null) return null;
    const { name, instance, untilMs } = parsed as Partial<Record<keyof LeaseRecord, unknown>>;
    const valid = typeof name === "string" && typeof instance === "string" && typeof untilMs === "number";
    return valid ? { name, instance, untilMs } : null;
  } catch {
    return null; // no JSON
  }
}

function nameTaken(name: string): TikvError {
  return new TikvError(
    "name-taken",
    `collect garbage as "${name}": another living client has this name; give each its own`,
  );
}

function joined(prefix: Uint8Array, rest: string): Uint8Array {
  const tail = new TextEncoder().encode(rest);
  const key = new Uint8Array(prefix.length + tail.length);
  key.set(prefix);
  key.set(tail, prefix.length);
  return key;
}
