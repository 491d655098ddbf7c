/**
 * What can go wrong with TiKV, as a caller must tell it apart.
 *
 * E1. `retry` says whether running the whole transaction again, on a new snapshot, can help.
 * E2. Only `undetermined` leaves open whether a commit happened; every other code of a commit means that it did not.
 */

/** Code → whether to run the transaction again. */
const RETRY = {
  /** Another transaction committed a key of ours after our snapshot, or rolled ours back. */
  "conflict": true,
  /** Pessimistic locks wait for each other in a ring; this transaction was chosen to give way. */
  "deadlock": true,
  /** A key that was to be inserted is there. */
  "already-exists": false,
  /** The commit's answer was lost: it may have happened. `outcome()` of the transaction settles it. */
  "undetermined": false,
  /** The server refused the request for a reason that is none of the others. */
  "aborted": true,
  /** Waits used up their budget; the message lists what was waited for. */
  "timeout": true,
  /** No placement driver or no store could be reached. */
  "unavailable": true,
  /** A store has no space left for writes. */
  "disk-full": false,
  /** The addresses lead to another cluster than before, or than asked for. */
  "wrong-cluster": false,
  /** TLS failed: the certificate of the far side, or ours, was not accepted. */
  "tls": false,
  /** A key, value or transaction over its limit. */
  "too-large": false,
  /** An argument that can never be right, such as an empty key or an empty value. */
  "invalid": false,
  /** The snapshot is older than what garbage collection keeps, or older than a transaction may be. */
  "too-old": true,
  /** Another living client uses the same name. */
  "name-taken": false,
  "closed": false,
  "cancelled": false,
  /** Bytes that are no answer of this protocol. */
  "malformed": false,
  /** The server lacks a feature that was asked for. */
  "unsupported": false,
  /** Two answers that cannot both be true: transactions must stop and somebody look. */
  "corrupt": false,
} as const;

export type TikvErrorCode = keyof typeof RETRY;

export class TikvError extends Error {
  override readonly name = "TikvError";
  readonly code: TikvErrorCode;
  /** See E1. */
  readonly retry: boolean;

  /** @param message `action: state`, to what, and what to do. */
  constructor(code: TikvErrorCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
    this.retry = RETRY[code];
  }
}

/** The statuses of gRPC that this client tells apart; others pass as numbers. */
export const GrpcStatus = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
} as const;

/** A call that ended without a reply. Whether the far side executed it is unknown unless `sent` is false. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  /** gRPC status; `unavailable` also for a connection that could not be made or broke. */
  readonly status: number;
  /** False when the request surely never left this process. */
  readonly sent: boolean;

  constructor(
    message: string,
    { status, sent, cause }: { status: number; sent: boolean; cause?: unknown },
  ) {
    super(message, cause === undefined ? {} : { cause });
    this.status = status;
    this.sent = sent;
  }
}
