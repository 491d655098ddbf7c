/** What a commit is going to send, from what the transaction changed. Pure. */
import { LOCK_TTL_MS, LOCK_TTL_MS_MAX } from "./limits.ts";
import { Op } from "./messages_kv.ts";
import { sameKey } from "./keys.ts";
import type { Change } from "./write_buffer.ts";

/** One key of a prewrite. */
export interface Intent {
  readonly op: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** What is known of the pessimistic locks of a transaction: every key that it changes is then held. */
export interface Held {
  primary: Uint8Array;
  /** The latest of all its locks. */
  forUpdateTs: bigint;
}

export interface Plan {
  readonly startTs: bigint;
  /** On the runtime's clock. */
  readonly startedAtMs: number;
  /** Whether the transaction is committed when this key is. */
  readonly primary: Uint8Array;
  /** By ascending key. */
  readonly intents: readonly Intent[];
  /** The keys that will hold locks, ascending: all but those that are only checked. */
  readonly keys: readonly Uint8Array[];
  readonly keyBytes: number;
  readonly bytes: number;
  readonly held: Held | null;
}

/**
 * @param changes By ascending key.
 * @returns Null when there is nothing to write or protect.
 */
export function planCommit(
  changes: readonly Change[],
  { startTs, startedAtMs, held }: Pick<Plan, "startTs" | "startedAtMs" | "held">,
): Plan | null {
  const intents = held === null ? changes : changes.map(heldIntent);
  const keys = intents.filter(({ op }) => op !== Op.checkNotExists).map(({ key }) => key);
  const primary = held?.primary ?? keys[0];
  if (primary === undefined) return null;
  const keyBytes = keys.reduce((sum, key) => sum + key.length, 0);
  const bytes = intents.reduce((sum, intent) => sum + bytesOf(intent), 0);
  return { startTs, startedAtMs, primary, intents, keys, keyBytes, bytes, held };
}

/** Absence was seen when the lock was taken, and the lock has kept it: nothing is left to check at the prewrite. */
function heldIntent({ op, key, value }: Change): Intent {
  if (op === Op.insert) return { op: Op.put, key, value };
  if (op === Op.checkNotExists) return { op: Op.lock, key, value };
  return { op, key, value };
}

export function keyOf({ key }: Intent): Uint8Array {
  return key;
}

export function bytesOf({ key, value }: Intent): number {
  return key.length + value.length;
}

export function secondariesOf({ keys, primary }: Plan): Uint8Array[] {
  return keys.filter((key) => !sameKey(key, primary));
}

/** From here on a lock lives longer than LOCK_TTL_MS. */
const LARGE_BYTES = 16 * 1024;
const TTL_MS_PER_ROOT_MIB = 6_000;

/** How long a lock is to live, from the start of its transaction `ageMs` ago. */
export function lockTtlMs(bytes: number, ageMs: number): bigint {
  const root = TTL_MS_PER_ROOT_MIB * Math.sqrt(bytes / (1024 * 1024));
  const ttlMs = bytes < LARGE_BYTES ? LOCK_TTL_MS : Math.min(Math.max(root, LOCK_TTL_MS), LOCK_TTL_MS_MAX);
  return BigInt(Math.ceil(ttlMs + ageMs));
}
