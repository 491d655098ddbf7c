/**
 * Errors that tell the caller what to do next.
 *
 * One class, one closed table of codes. Each code says whether a retry can help and which HTTP status it
 * becomes; the host (`lib/mesh`) turns it into ack, nak, term or a problem document in one place.
 * E1. Expected outcomes are values; only faults and refusals are thrown.
 * E2. Messages read "action: state", name the thing concerned, and never hold a secret.
 */

/** Everything a `SalarError` can be. `docs/errors.md` lists exactly these; a test keeps the two equal. */
export const ERROR_CODES = {
  /** The caller's input is wrong; `detail.problems` names each field and reason. */
  "bad-input": { status: 400, retry: false },
  /** No credential, or one that does not hold (unknown, expired, bad signature). */
  "unauthenticated": { status: 401, retry: false },
  /** A known caller without the role that the route or message kind demands. */
  "forbidden": { status: 403, retry: false },
  "not-found": { status: 404, retry: false },
  /** The state does not allow it, or somebody else was faster: read again, decide again. */
  "conflict": { status: 409, retry: false },
  /** `If-Match` names a version that is no longer the current one. */
  "stale": { status: 412, retry: false },
  /** A key, value, body or batch over its limit in `lib/limits.ts`. */
  "too-large": { status: 413, retry: false },
  /** An idempotency key that was used before with another body. */
  "key-reused": { status: 422, retry: false },
  "rate-limited": { status: 429, retry: true },
  /** No node can take the system: zone unknown, full, or without an accepted node. */
  "no-placement": { status: 409, retry: false },
  /** Store, bus or a peer cannot be reached just now. */
  "unavailable": { status: 503, retry: true },
  /** A wait reached its limit; the work may or may not have been done. */
  "deadline": { status: 504, retry: true },
  /** A peer answered something that its protocol does not allow. */
  "bad-peer": { status: 502, retry: true },
  /** The store lost its commit answer and no token could settle it. */
  "outcome-unknown": { status: 503, retry: true },
  /** The caller stopped waiting. */
  "cancelled": { status: 499, retry: false },
  /** Used after `close()`. */
  "closed": { status: 503, retry: false },
  /** Start-up configuration is wrong; `detail.problems` lists every problem. */
  "bad-config": { status: 500, retry: false },
  /** A record in the store does not match its schema. */
  "bad-record": { status: 500, retry: false },
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** One wrong field of an input: a path such as `body.zone` and the reason in words. */
export interface Problem {
  field: string;
  reason: string;
}

export interface SalarErrorOptions {
  cause?: unknown;
  /** Machine-readable facts for the answer; never secrets. */
  detail?: Record<string, unknown>;
}

/** The one error class of Salar's own rooms. @see ERROR_CODES */
export class SalarError extends Error {
  override readonly name = "SalarError";
  readonly code: ErrorCode;
  readonly detail: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: SalarErrorOptions = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.detail = options.detail ?? {};
  }

  get status(): number {
    return ERROR_CODES[this.code].status;
  }

  get retry(): boolean {
    return ERROR_CODES[this.code].retry;
  }
}

/** True for a `SalarError`, of the given code where one is named. */
export function isSalarError(error: unknown, code?: ErrorCode): error is SalarError {
  return error instanceof SalarError && (code === undefined || error.code === code);
}

/** The text of anything thrown, for logs and messages; never a stack. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Ends the invocation loudly when a programmer's belief is false. Not for expected faults. */
export function assert(condition: unknown, belief: string): asserts condition {
  if (!condition) throw new Error(`Assertion failed: ${belief}`);
}
