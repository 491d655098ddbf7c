/** Every bound of the client, with its unit. Sources: client-go (config, txnkv), TiKV's defaults. */

/** Raw bytes of a key: TiKV refuses encoded keys over 8 KiB, and eight bytes become nine. */
export const KEY_BYTES_MAX = 7 * 1024;
/** TiKV's `raft-entry-max-size` is 8 MiB and an entry holds more than the value. */
export const VALUE_BYTES_MAX = 6 * 1024 * 1024;
export const TRANSACTION_BYTES_MAX = 100 * 1024 * 1024;
export const TRANSACTION_KEYS_MAX = 1_000_000;
/** Keys and values of one request of a write, keys of one of a read. */
export const BATCH_BYTES = 16 * 1024;
/** Requests of one transaction under way at once. */
export const BATCHES_AT_ONCE_MAX = 128;
export const SCAN_PAGE_PAIRS = 256;

/** Time limits of one call. */
export const POINT_CALL_MS = 30_000;
export const SCAN_CALL_MS = 60_000;
/** The server gives up writing before the client does. */
export const SERVER_EXECUTION_MS = 20_000;
export const DIAL_MS = 5_000;
export const HEALTH_CALL_MS = 1_000;
export const PD_CALL_MS = 3_000;
export const KEEPALIVE_EVERY_MS = 10_000;
export const KEEPALIVE_ANSWER_MS = 3_000;

/** All waits of one operation together. */
export const BUDGET_MS = {
  read: 20_000,
  prewrite: 40_000,
  commitPrimary: 40_000,
  commitSecondaries: 41_000,
  rollback: 20_000,
  timestamp: 15_000,
  status: 20_000,
  resolve: 40_000,
} as const;
/** A store that says it is busy may be waited for this long beyond the budget. */
export const BUSY_BUDGET_MS = 600_000;

export const LOCK_TTL_MS = 3_000;
export const LOCK_TTL_MS_MAX = 20_000;
export const HEARTBEAT_EVERY_MS = 10_000;
/** A transaction older than this is not kept alive any more, nor may it commit. */
export const TRANSACTION_AGE_MS_MAX = 60 * 60_000;
export const ASYNC_COMMIT_KEYS_MAX = 256;
export const ASYNC_COMMIT_KEY_BYTES_MAX = 4 * 1024;
export const TRANSACTION_ATTEMPTS_MAX = 32;
/** From this many keys in a region on, a lock is resolved with its whole region. */
export const LITE_RESOLVE_KEYS = 512;

export const TIMESTAMPS_AT_ONCE_MAX = 10_000;
export const LOW_RESOLUTION_REFRESH_MS = 2_000;
export const BATCH_COMMANDS_MAX = 128;
export const REGION_IDLE_MS = 600_000;
export const REGION_IDLE_JITTER_MS = 60_000;
export const MEMBERS_REFRESH_MS = 60_000;
export const STATUS_CACHE_MAX = 2_048;
/** How stale the known GC safe point may be. */
export const SAFE_POINT_REFRESH_MS = 10_000;
export const CLOSE_WAIT_MS = 3_000;
