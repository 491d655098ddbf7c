/** Why something was not trusted. One class, one closed set of reasons; the room's only error. */

export type TrustReason =
  /** Not a key, or not one of the kind that is needed here. */
  | "bad-key"
  /** Larger than the format allows; nothing of it was parsed. */
  | "too-large"
  /** Not in the format at all: parts, alphabet, length, UTF-8 or JSON. */
  | "malformed"
  /** A header that is not exactly the one of this version: `alg: none`, `jwk`, `crit` and the like. */
  | "bad-header"
  /** Nobody by that fingerprint, or somebody whose key was revoked. */
  | "unknown-sender"
  /** The sender's role may not send this kind, or the receiver's may not get it. */
  | "kind-not-allowed"
  | "bad-signature"
  /** The same JSON key twice: two readers could understand two things. */
  | "duplicate-key"
  /** A claim that is missing, unknown, or of the wrong shape. */
  | "bad-claims"
  | "wrong-cluster"
  /** `from` is not the key that signed. */
  | "wrong-sender"
  /** Meant for somebody else: a forwarded statement. */
  | "wrong-recipient"
  | "expired"
  /** Dated further ahead than clocks may differ. */
  | "not-yet-valid"
  /** A request proof whose time is further off than clocks may differ, either way. */
  | "clock-skew";

/** Messages read "action: state" and never hold a secret or text of the peer. */
export class TrustError extends Error {
  override readonly name = "TrustError";
  readonly reason: TrustReason;

  constructor(reason: TrustReason, message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.reason = reason;
  }
}
