/**
 * What a Uyuni server says when it refuses: one table of faults, and one error class for all of them.
 *
 * A fault is a code and a text, and the code alone tells little: an expired session, an unknown method and a crash
 * are all -1. So a kind is found by code and, among those of -1, by words of the text.
 * F1. Code and text are kept as they came: a gateway passes them on unchanged.
 * Source: Uyuni's `BaseHandler`, `ExceptionTranslator` and the exception classes beside them.
 */

interface FaultRow {
  code: number;
  /** Java class that the text begins with. */
  thrown: string;
  /** Tells this kind from others of the same code. A kind without words is found by its code alone. */
  words?: RegExp;
}

const HANDLER = "redstone.xmlrpc.XmlRpcFault";
const SECURITY = "java.lang.SecurityException";

/** Every kind of fault that a caller may want to tell apart. The first row that fits wins. */
export const FAULTS = {
  "session-expired": {
    code: -1,
    thrown: "com.redhat.rhn.common.hibernate.LookupException",
    words: /Could not find session/,
  },
  "session-invalid": {
    code: -1,
    thrown: "com.redhat.rhn.domain.session.InvalidSessionIdException",
    words: /Session id: .* is not valid/,
  },
  "no-such-handler": { code: -1, thrown: "", words: /specified handler cannot be found/ },
  "no-such-method": { code: -1, thrown: HANDLER, words: /Could not find method: / },
  "bad-parameter": {
    code: -1,
    thrown: "com.redhat.rhn.common.translation.TranslationException",
    words: /TranslationException/,
  },
  "read-only-user": { code: -1, thrown: SECURITY, words: /is not available to read-only API users/ },
  "no-role": { code: -1, thrown: SECURITY, words: /is not available (to user |for unauthenticated users)/ },
  "internal": { code: -1, thrown: HANDLER, words: /unhandled internal exception/ },
  "bad-credentials": { code: 2950, thrown: HANDLER },
  "no-permission": { code: -23, thrown: HANDLER },
  "no-such-system": { code: -208, thrown: HANDLER },
  "no-such-package": { code: -209, thrown: HANDLER },
  "no-such-channel": { code: -210, thrown: HANDLER },
  "no-such-user": { code: -213, thrown: HANDLER },
  "bad-channel": { code: -211, thrown: HANDLER },
  "bad-entitlement": { code: -212, thrown: HANDLER },
  "bad-argument": { code: -12, thrown: HANDLER },
  "systems-not-deleted": { code: 1003, thrown: HANDLER },
  "bad-channel-name": { code: 1200, thrown: HANDLER },
  "bad-channel-label": { code: 1201, thrown: HANDLER },
  "bad-channel-parent": { code: 1202, thrown: HANDLER },
  "bad-gpg-key": { code: 1207, thrown: HANDLER },
  "bad-gpg-url": { code: 1208, thrown: HANDLER },
  "bad-value": { code: 1213, thrown: HANDLER },
  "retired-call": { code: 2069, thrown: HANDLER },
  "no-such-group": { code: 2201, thrown: HANDLER },
  "retracted-patch": { code: 2602, thrown: HANDLER },
  "no-such-action": { code: 2700, thrown: HANDLER },
  "bad-arguments": { code: 2801, thrown: HANDLER },
  "taskomatic-down": { code: 2802, thrown: HANDLER },
  "no-such-org": { code: 2850, thrown: HANDLER },
  "search-down": { code: 2901, thrown: HANDLER },
  "bad-search-query": { code: 2902, thrown: HANDLER },
  "bad-search-index": { code: 2903, thrown: HANDLER },
  "no-such-activation-key": { code: 10001, thrown: HANDLER },
  "authentication-failed": { code: 10002, thrown: HANDLER },
  "unsupported-operation": { code: 10003, thrown: HANDLER },
  "no-action-in-schedule": { code: 10004, thrown: HANDLER },
  "no-such-image-store": { code: 10010, thrown: HANDLER },
  "no-such-image-profile": { code: 10011, thrown: HANDLER },
  "no-such-image": { code: 10012, thrown: HANDLER },
  "not-in-maintenance": { code: 11334, thrown: HANDLER },
  "taskomatic-error": { code: 1, thrown: HANDLER },
} as const satisfies Record<string, FaultRow>;

/** `other`: a code of another release, or -1 with words that no row knows. */
export type FaultKind = keyof typeof FAULTS | "other";

const ROWS: readonly (readonly [string, FaultRow])[] = Object.entries(FAULTS);

/** A server's refusal. `message` is the text as it came, class name included. */
export class UyuniFault extends Error {
  override readonly name = "UyuniFault";

  private constructor(readonly kind: FaultKind, readonly code: number, readonly text: string) {
    super(text);
  }

  /** The fault that a server sent. */
  static parse(code: number, text: string): UyuniFault {
    const row = ROWS.find(([, { code: its, words }]) =>
      its === code && (words === undefined || words.test(text))
    );
    return new UyuniFault((row?.[0] ?? "other") as FaultKind, code, text);
  }

  /** A fault of our own in the server's form: its code, its Java class and `: ` before `what`. */
  static of(kind: keyof typeof FAULTS, what: string): UyuniFault {
    const { code, thrown } = FAULTS[kind];
    return new UyuniFault(kind, code, thrown === "" ? what : `${thrown}: ${what}`);
  }
}
