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
/** To find a placement driver that answers, in all. */
export const CONNECT_MS = 10_000;
export const KEEPALIVE_EVERY_MS = 10_000;
export const KEEPALIVE_ANSWER_MS = 3_000;
/** After a failed dial: the first wait, its growth, its end. Calls in between fail at once. */
export const RECONNECT_MS = 100;
export const RECONNECT_GROWTH = 1.6;
export const RECONNECT_MS_MAX = 3_000;
/** How late the end of a call's time may be noticed. */
export const DEADLINE_SWEEP_MS = 50;
/** Of a stream and of a connection, in bytes under way towards us: below it a long scan stalls. */
export const WINDOW_BYTES = 16 * 1024 * 1024;
/** What one connection may hold in memory, in MiB. */
export const SESSION_MIB = 2_048;
/** One reply. TiKV does not limit its own, so this only stops nonsense. */
export const REPLY_BYTES_MAX = 1024 * 1024 * 1024;

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
/** How late a heartbeat may be. */
export const HEARTBEAT_SWEEP_MS = 500;
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
/** A message of BatchCommands beyond this holds one command; servers in Go refuse from 4 MiB on. */
export const BATCH_MESSAGE_BYTES = 1024 * 1024;
export const REGION_IDLE_MS = 600_000;
export const REGION_IDLE_JITTER_MS = 60_000;
export const MEMBERS_REFRESH_MS = 60_000;
/** How often, and for how long since its first failure, one request asks the same replica as leader. */
export const REPLICA_TRIES_MAX = 10;
export const REPLICA_MS_MAX = 50_000;
/** A store that does not answer is asked for its health, and the placement driver for its address, this often. */
export const STORE_CHECK_EVERY_MS = 1_000;
export const STORE_ADDRESS_REFRESH_MS = 30_000;
/** For how long a store that said it is busy is the last choice. */
export const STORE_BUSY_MS = 10_000;
export const STATUS_CACHE_MAX = 2_048;
/** How stale the known GC safe point may be. */
export const SAFE_POINT_REFRESH_MS = 10_000;
export const CLOSE_WAIT_MS = 3_000;

/** Ends of transactions under way in the background; a new commit waits while there are so many. */
export const BACKGROUND_TASKS_MAX = 1_024;
/** Transactions whose locks are looked into at once by one operation. */
export const STATUS_CHECKS_AT_ONCE_MAX = 16;
/** A request meets locks so often and goes on at once where they could be cleared; after that it waits each time. */
export const LOCK_TRIES_AT_ONCE_MAX = 8;
/** A store that refuses to end a transaction, and does not say why, is asked so often again. */
export const REFUSALS_MAX = 8;
/** Locks that one snapshot remembers having passed; a forgotten one is only looked into again. */
export const PASSED_LOCKS_MAX = 1_024;
/** A heartbeat makes the lock live for this long from its sending on, and gives up after so many failures. */
export const HEARTBEAT_TTL_MS = 20_000;
export const HEARTBEAT_FAILURES_MAX = 10;
/** How far a commit timestamp may have been pushed by readers before something must be wrong. */
export const COMMIT_PUSH_MS_MAX = 60 * 60_000;
/** A pessimistic lock waits at its store for so long, then the client looks into who holds it. */
export const PESSIMISTIC_WAIT_MS = 1_000;
export const SCAN_LOCKS_PAGE = 1_024;
export const GARBAGE_EVERY_MS = 10 * 60_000;
export const GARBAGE_RETENTION_MS = 2 * 60 * 60_000;
export const GARBAGE_RETENTION_MS_MIN = 1_000;
export const GARBAGE_LEASE_MS = 30_000;
