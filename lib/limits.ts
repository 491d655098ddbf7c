/**
 * Every limit of Salar, with its unit in its name. Loops, queues, scans, retries and waits name one of these.
 * A limit that all parts of a cluster must share is marked "cluster-wide".
 */

// Store (cluster-wide: both adapters refuse what is larger)
export const STORE_KEY_BYTES_MAX = 1_024;
export const STORE_VALUE_BYTES_MAX = 256 * 1024;
export const STORE_TX_WRITES_MAX = 10_000;
export const STORE_TX_BYTES_MAX = 8 * 1024 * 1024;
export const STORE_SCAN_LIMIT_MAX = 10_000;
export const STORE_TX_ATTEMPTS_MAX = 20;
export const STORE_BUSY_WAIT_MS_MAX = 10_000;
/** How long a token (see `lib/store/store.ts`) is remembered before the sweep may forget it. */
export const STORE_TOKEN_KEEP_MS = 24 * 3_600_000;
export const STORE_TOKEN_CHARS_MAX = 128;
export const STORE_TOKEN_SWEEP_MAX = 1_000;
/** A transaction older than this may find that its snapshot is gone. */
export const STORE_SNAPSHOT_MS_MAX = 30_000;
/** How long the cluster's store keeps versions that were replaced; longer than any transaction or copy takes. */
export const STORE_GARBAGE_KEEP_MS = 30 * 60_000;
export const STORE_CLOSE_WAIT_MS_MAX = 10_000;
export const STORE_BUSY_BACKOFF_MS_MAX = 32;
export const STORE_CONFLICT_BACKOFF_MS_MAX = 512;
/** How many entries one page holds where all of a prefix is read. */
export const STORE_PAGE_ENTRIES = 1_000;
/** How many writes of several transactions share one commit of the embedded store. */
export const STORE_GROUP_WRITES_MAX = 10_000;
/** How many past values and locks the embedded store removes at once, each time that half as many have come. */
export const STORE_PRUNE_ROWS_MAX = 2_000;

// Bus
export const BUS_MESSAGE_BYTES_MAX = 512 * 1024;
/** Headers and wire words around a message; a server's `max_payload` must hold both. */
export const BUS_HEADER_BYTES_MAX = 4 * 1024;
export const BUS_SUBJECT_CHARS_MAX = 255;
export const BUS_ACK_WAIT_MS = 30_000;
export const BUS_IN_FLIGHT_MAX = 256;
export const BUS_DEDUPE_WINDOW_MS = 120_000;
export const BUS_REQUEST_MS = 5_000;
/** How long `publish` waits for a lost connection, and `append` for its acknowledgement. */
export const BUS_APPEND_MS = 15_000;
/** One try of an append, an ack or a stream call, of those that fit in BUS_APPEND_MS. */
export const BUS_ATTEMPT_MS = 2_000;
/** Pause between two tries, doubled up to the second. */
export const BUS_RETRY_MS = 50;
export const BUS_RETRY_MS_MAX = 1_000;
export const BUS_CONNECT_MS = 5_000;
export const BUS_RECONNECT_MS = 250;
/** A server that answers no ping for twice this is taken for dead. */
export const BUS_PING_MS = 10_000;
/** Published bytes after which the client waits until the server has read them. */
export const BUS_UNFLUSHED_BYTES_MAX = 4 * 1024 * 1024;
/** How long one pull request of a consumer stands, and how often the server says that it does. */
export const BUS_PULL_MS = 30_000;
export const BUS_PULL_HEARTBEAT_MS = 5_000;
/** One fetch of a replay. */
export const BUS_REPLAY_BATCH = 256;
export const BUS_REPLAY_BATCH_BYTES_MAX = 8 * 1024 * 1024;
/** Handlers of one subscription that run at once; what comes meanwhile waits in order. */
export const BUS_HANDLERS_MAX = 256;
/** Core messages that wait at one subscription; the oldest is dropped for the next (core is at most once). */
export const BUS_WAITING_MAX = 65_536;
/** A durable message whose handler threw comes again after this, doubled per attempt up to the second. */
export const BUS_THROWN_NAK_MS = 100;
export const BUS_THROWN_NAK_MS_MAX = 30_000;

// Mesh
export const HANDLER_ATTEMPTS_MAX = 20;
export const HANDLER_MS_MAX = 30_000;
export const DRAIN_MS_MAX = 20_000;
export const LEASE_MS = 10_000;
/** How often a host asks whether its store and bus are there, and how long it waits for the answer. */
export const HEALTH_MS = 1_000;
export const HEALTH_WAIT_MS = 2_000;
/** When somebody whose request or message met the end of a replica may ask another one. */
export const DRAIN_RETRY_MS = 0;
export const HTTP_RETRY_AFTER_MS = 1_000;
/** How often a port is taken again that was lost because no file descriptor was left. */
export const HTTP_LISTEN_MS = 1_000;
/** Inputs that wait for their batch, in batches; the bus holds back what comes meanwhile. */
export const BATCHES_WAITING_MAX = 4;
/** Messages of a batch that are opened in one turn of the event loop: some 15 ms of signatures. */
export const BATCH_OPEN_SLICE = 250;
/** How long a token or an agent's key may be taken for good after it was revoked. */
export const CREDENTIAL_CACHE_MS = 5_000;
export const CREDENTIAL_CACHE_MAX = 10_000;
/** Public keys that a process keeps as it has read them, some 500 bytes each. */
export const VERIFY_KEYS_MAX = 100_000;
/** Nonces of request proofs that are remembered per replica, for twice CLOCK_SKEW_MS_MAX. */
export const PROOF_NONCES_MAX = 200_000;
export const IDEMPOTENCY_KEY_CHARS_MAX = 128;
export const IDEMPOTENCY_SWEEP_MAX = 1_000;
export const SWEEP_MS = 60_000;
export const HTTP_BODY_BYTES_MAX = 1024 * 1024;
export const PAGE_LIMIT_MAX = 1_000;
export const PAGE_LIMIT = 100;

// Trust (cluster-wide)
export const ENVELOPE_BYTES_MAX = 256 * 1024;
export const CLOCK_SKEW_MS_MAX = 120_000;
/** How long an enrolment challenge may be answered. */
export const NONCE_MS = 60_000;
export const JOIN_TOKEN_MS = 3_600_000;
/** Counters among which the uses of one join token are shared out (cluster-wide: no other number on the same store). */
export const JOIN_TOKEN_PARTS = 256;
/** Longest life of an API token: 90 days. */
export const API_TOKEN_MS_MAX = 90 * 24 * 3_600_000;
/** How long a directive may be begun after it was handed out. */
export const DIRECTIVE_MS = 3_600_000;
export const IDEMPOTENCY_KEEP_MS = 24 * 3_600_000;

// Cluster
/** Heartbeats of one batch, and how long the first of them waits. */
export const BEAT_BATCH_MAX = 2_000;
export const BEAT_BATCH_MS = 200;
/** Row changes that one transaction applies. */
export const CHANGES_SLICE_MAX = 200;
/** How long a system may take to be shown again after its node emptied the table, or in a long transaction. */
export const VANISHED_MS = 5 * 60_000;
export const HEARTBEAT_MS = 5_000;
export const NODE_GRACE_MS = 30_000;
export const POOLED_EXPIRE_MS = 24 * 3_600_000;
export const NODE_CAPACITY = 10_000;
/** How far above its fair share placement may take a node (cluster-wide). */
export const PLACEMENT_SLACK_PERCENT = 10;
export const MOVES_BATCH_MAX = 500;
/** Systems that one page of a search looks at before it returns what it has. */
export const SEARCH_SCAN_MAX = 20_000;
/** How many moves and stuck systems a preview names; it counts them all. */
export const PREVIEW_MOVES_MAX = 100;
export const MOVE_MS_MAX = 15 * 60_000;
/** A new system whose way to its first node failed is placed again after this. */
export const PLACE_AGAIN_MS = 5 * 60_000;
/** How long an old profile stays on its node after a move, as the way back. */
export const RETIRE_AFTER_MS = 24 * 3_600_000;
export const LONG_POLL_MS = 25_000;
export const OUTBOX_FETCH_MAX = 100;

/** How far behind a newer event one may still be filed: events stand by time, clocks differ, transactions last. */
export const EVENTS_LATE_MS_MAX = CLOCK_SKEW_MS_MAX + STORE_SNAPSHOT_MS_MAX;

/** Runs of nanostates: the parameters of one, and its whole result as JSON, which travels in a statement. */
export const RUN_PARAMS_MAX = 64;
export const RUN_RESULT_BYTES_MAX = 96 * 1024;
/**
 * How often whoever does a run tells how far it is, and for how long it may be silent before its outcome is unknown: a
 * bus or director that is away for less ends no run.
 */
export const RUN_PROGRESS_MS = 5_000;
export const RUN_GRACE_MS = 3 * 60_000;
/** How long a run may take: unless said, and at most. */
export const RUN_MS = 2 * 3_600_000;
export const RUN_MS_MAX = 12 * 3_600_000;
/** How long the agent of a staged machine may take to enrol after the state was applied. */
export const RUN_JOIN_MS = 5 * 60_000;
/** Ended runs are kept so long; a tick forgets so many at most. */
export const RUN_KEEP_MS = 30 * 24 * 3_600_000;
export const RUNS_FORGOTTEN_MAX = 100;

// Node agent
/** Runs of nanostates that an agent does at once, each on another machine. */
export const RUNS_AT_ONCE_MAX = 4;
/** Ended runs that it remembers, to tell a repeated directive from a stale one. */
export const RUNS_REMEMBERED_MAX = 100;
export const CHANGES_PER_MESSAGE_MAX = 1_000;
/** JSON of one `Changes`: in a statement it grows by 4/3 (base64url) and by claims, header and signature. */
export const CHANGES_BYTES_MAX = ENVELOPE_BYTES_MAX * 3 / 4 - 2_048;
/** Parts of transactions that wait for the bus before the database is asked to wait. */
export const CAPTURE_IN_FLIGHT_MAX = 64;
/** How often the database is told what is confirmed; it ends a connection that says nothing for a minute. */
export const CAPTURE_STATUS_MS = 1_000;
/** How often the confirmed position goes to disk, to notice a database that was set back. */
export const CAPTURE_SAVE_MS = 10_000;
export const COPY_ROWS_PER_FETCH = 1_000;
/** How long setup waits for the lock of a table: Uyuni's own writers queue behind it. */
export const SETUP_LOCK_MS = 3_000;
/** Without a hint, directives are asked for this often. */
export const NODE_FETCH_MS = 5_000;
/** See lib/backoff.ts. */
export const NODE_BACKOFF = { firstMs: 500, capMs: 30_000 } as const;
/** How long the facts of a heartbeat may take to read; then the last known ones are sent. */
export const NODE_FACTS_MS = 4_000;

// Gateway
/** How long one node may take for one call of it. */
export const GATEWAY_NODE_MS = 5_000;
/** How long a node that took longer is left out; then one call tries it again. */
export const GATEWAY_SILENT_MS = 10_000;
/** Life of a session after its last use, as Uyuni's default (`web.session_database_lifetime`). */
export const GATEWAY_SESSION_MS = 3_600_000;
/** A session in use is written again after this. */
export const GATEWAY_RENEW_MS = 60_000;
/** Systems that one call learns to know because no change of a database has told of them. */
export const GATEWAY_LEARN_MAX = 200;
export const GATEWAY_LEARN_AT_ONCE = 8;
/** Sessions that one transaction of the sweep looks at, and how many of these a sweep makes. */
export const GATEWAY_SWEEP_MAX = 1_000;
export const GATEWAY_SWEEP_BATCHES_MAX = 20;

// Client agent
/** Between two heartbeats of a system. */
export const CLIENT_BEAT_MS = 60_000;
/** See lib/backoff.ts. */
export const CLIENT_BACKOFF = { firstMs: 1_000, capMs: 300_000 } as const;
/** An empty answer that came sooner is not followed by the next poll before this. */
export const CLIENT_POLL_MS_MIN = 1_000;
/** For a request that is answered at once; a long poll gets `LONG_POLL_MS` on top. */
export const CLIENT_REQUEST_MS = 15_000;
/** Reports that wait to be acknowledged; the oldest gives way. */
export const CLIENT_REPORTS_MAX = 100;
/** How often an interrupted move is taken up again before it turns back. */
export const MOVE_RESUMES_MAX = 3;
export const MINION_RESTART_MS_MAX = 60_000;
/** From the end of the restart to the proof that the master answers. */
export const MINION_VERIFY_MS_MAX = 60_000;
export const MINION_VERIFY_POLL_MS = 1_000;
export const MINION_CONNECT_MS_MAX = 3_000;
/** `salt-call` hangs for ever when its master is down or its key is wrong. */
export const SALT_CALL_MS_MAX = 10_000;

// Admin tool
/** One try of a request, and how many there are while the server says that a repeat can help. */
export const ADMIN_REQUEST_MS = 30_000;
export const ADMIN_ATTEMPTS_MAX = 4;
/** See lib/backoff.ts. */
export const ADMIN_BACKOFF = { firstMs: 200, capMs: 2_000 } as const;
/** The longest wait that a server may ask for before the next try. */
export const ADMIN_RETRY_MS_MAX = 5_000;
/** How often a plan is looked at, and events are asked for, while somebody watches. */
export const ADMIN_WATCH_MS = 1_000;
/** How often whoever follows events looks back for late ones. */
export const ADMIN_LOOK_BACK_MS = 10_000;
/** A line of progress at least this far apart where lines cannot be written over. */
export const ADMIN_LINE_MS = 5_000;
/** Progress is written over at most so often. */
export const ADMIN_PROGRESS_MS = 100;
/** How long a server may be away while somebody watches, and how long one may watch. */
export const ADMIN_SILENT_MS_MAX = 300_000;
export const ADMIN_WATCH_MS_MAX = 24 * 3_600_000;
