/** What the parts of one client share. */
import type { Background } from "./client_background.ts";
import type { TikvError } from "./errors.ts";
import type { SafePoint } from "./garbage_safe_point.ts";
import type { Heartbeats } from "./heartbeat.ts";
import type { Keyspace } from "./keyspace.ts";
import type { Locks } from "./locks.ts";
import type { Operation } from "./operation.ts";
import type { Placement, Regions } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";

/** How transactions commit. */
export interface CommitOptions {
  /** In one request where all keys lie in one batch of one region. @default true */
  onePhase?: boolean | undefined;
  /** Committed once every key is prewritten, without a second round. @default true */
  async?: boolean | undefined;
  /**
   * Saves the timestamp that one-phase and async commits fetch first. Transactions of one client stay in order;
   * two clients that talk to each other by other means may see theirs in the other order. @default false
   */
  causal?: boolean | undefined;
}

export interface Core {
  readonly placement: Placement;
  readonly regions: Regions;
  readonly runtime: Runtime;
  readonly keyspace: Keyspace;
  readonly background: Background;
  readonly locks: Locks;
  readonly heartbeats: Heartbeats;
  readonly safePoint: SafePoint;
  readonly commit: Required<{ [K in keyof CommitOptions]: boolean }>;
  readonly onCorrupt: (error: TikvError) => void;
  /** Aborted, with a `closed` error, when the client begins to close. */
  readonly closing: AbortSignal;
  /** Begins what a caller asked for. Throws `closed` once the client is. */
  operation(name: string, budgetMs: number, signal: AbortSignal | undefined): Operation;
}
