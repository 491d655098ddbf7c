/**
 * The seams: everything that touches time, chance, the network, a disk or a key reaches code as a value.
 *
 * A `Scope` is one incarnation of one process (or one piece of work inside it). Real programs get theirs from
 * `lib/mesh/real_scope.ts`, the simulation gives virtual ones and kills them; code cannot tell which it has.
 * S1. Every await of a function, of `lib/cluster` or of an agent's logic goes through a seam.
 * S2. After a scope is killed nothing it waits for settles; after `signal` aborts, waits reject and work winds down.
 * S3. Same seed, same order of calls: same answers.
 * Source: FoundationDB's `g_network`, madsim, and the simulation brief of this project (docs/simulation.md).
 */

/** Deterministic random numbers; a fork draws from a stream of its own, so new draws do not shift old ones. */
export interface Random {
  /** A uniform integer, 0 … 2³²-1. */
  u32(): number;
  /** A uniform integer, 0 … below-1 (`below` ≥ 1). */
  below(below: number): number;
  /** `length` random bytes; from the operating system in a real process, so fit for secrets there. */
  bytes(length: number): Uint8Array;
  /** 128 random bits as 26 characters of lower-case base 32; safe in keys, subjects and paths. */
  id(): string;
  fork(name: string): Random;
}

export interface Scope {
  /** Wall clock, epoch milliseconds. May jump; never used for order or leases. */
  nowMs(): number;
  /** Monotonic milliseconds since some start. */
  monoMs(): number;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** Resolves after `ms`; rejects with code `cancelled` when the signal aborts first. */
  sleep(ms: number): Promise<void>;
  /** Runs `work` again and again, `everyMs` after the last run ended, until the signal aborts. Errors reach the host. */
  every(everyMs: number, name: string, work: () => Promise<void>): void;
  /** Starts `work` beside the caller; its error reaches the host (log, metric), never an unhandled rejection. */
  spawn(name: string, work: () => Promise<void>): void;
  /** Runs `work` with a scope that aborts after `ms`; then rejects with code `deadline`. */
  timeout<T>(ms: number, work: (scope: Scope) => Promise<T>): Promise<T>;
  /** A scope that also ends when `signal` aborts; for one message, one request, one job. */
  child(name: string, signal?: AbortSignal): Scope;
  /** As `child`, for work that ends it by hand: `end()` must be called on every path. Far cheaper than `child`. */
  open(name: string, ...signals: AbortSignal[]): OpenScope;
}

export interface OpenScope extends Scope {
  /** Aborts the scope, and takes back what it holds of the signals it listens to. Safe to call twice. */
  end(): void;
}

/** HTTP as a client. TLS trust is settled where the real one is built. Rejects with `unavailable` or `deadline`. */
export interface Net {
  request(scope: Scope, request: Request): Promise<Response>;
  /** Milliseconds that a TCP connect to `host:port` takes; rejects with `unavailable` when nobody answers. */
  connectMs(scope: Scope, target: { host: string; port: number }): Promise<number>;
}

/** Small files, replaced whole: after a crash a file is the old one or the new one, never a mix. */
export interface Disk {
  /** Null when there is no such file. */
  read(path: string): Promise<Uint8Array | null>;
  /** Writes beside, syncs, renames over, syncs the folder. Default mode 0o600. */
  replace(path: string, bytes: Uint8Array, options?: { mode?: number }): Promise<void>;
  /** Does nothing when there is no such file. */
  remove(path: string): Promise<void>;
  /** File names (not paths) in a folder, sorted; empty when there is no such folder. */
  list(folder: string): Promise<string[]>;
}

/** A named key pair that signs; the secret half never leaves it. */
export interface Signer {
  /** SHA-256 of the public key's SPKI DER, hex. */
  readonly fp: string;
  /** SPKI DER of the public key. */
  readonly spki: Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** Digests and signatures, synchronous (see docs/simulation.md: `crypto.subtle` breaks replay). */
export interface Crypt {
  sha256(data: Uint8Array): Uint8Array;
  /** False for a bad signature and for bytes that are no key or signature at all. */
  verify(spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean;
}

/** Marks in production code that only a simulation reads; the real one does nothing but `always`. */
export interface Probe {
  /** Must hold whenever reached; a false one fails the seed, and is an error log in production. */
  always(holds: boolean, id: string, detail?: Record<string, unknown>): void;
  /** Must hold at least once per night. */
  sometimes(id: string, holds?: boolean): void;
  /** True where the simulation wants this fault site to fire; always false in production. */
  buggify(id: string): boolean;
}
