/**
 * What agents and functions say to each other. All of it is signed: from agents as statements (bus) or with a
 * request proof (HTTP), to agents as statements from the cluster's key.
 *
 * P1. Directives come from an outbox numbered per recipient: an agent acts on each number once, in rising order (gaps
 *     are entries that were withdrawn), and asks for what comes after the last one that it has done. Losing a hint or
 *     an answer only means asking again.
 * P2. A report names its directive; reporting twice does no harm.
 * P3. A node agent runs a nanostate by its name only, from its own folder, and only above the epoch of the last one; it
 *     reports the directive when it has begun, and tells of the run by `node.run`.
 * P4. A client agent refuses a `directive.move` whose epoch is not above the last that it followed.
 */
import { z } from "zod";
import { RUN_RESULT_BYTES_MAX } from "../limits.ts";
import { isFitting } from "./run_results.ts";
import {
  ClusterId,
  Fp,
  HostName,
  MachineId,
  MasterName,
  MinionId,
  NanostateId,
  NanostateResult,
  PublicPem,
  RunId,
  RunParams,
  RunProgress,
  TimeMs,
  ZoneName,
} from "./types.ts";

/** Which role may send which kind of statement; anything else is refused before its body is looked at. */
export const STATEMENT_KINDS = {
  "enrol.node": "newcomer",
  "enrol.system": "newcomer",
  "node.beat": "node",
  "node.fetch": "node",
  "node.report": "node",
  "node.changes": "node",
  "node.run": "node",
  "directive.move": "cluster",
  "directive.key.accept": "cluster",
  "directive.key.forget": "cluster",
  "directive.retire": "cluster",
  "directive.state.run": "cluster",
  "directive.state.cancel": "cluster",
} as const;
export type StatementKind = keyof typeof STATEMENT_KINDS;

// --- Enrolment -----------------------------------------------------------------------------------------------

/** `nonce` goes back in the enrolment statement, whose `cluster` is the one named here and whose `to` is `*`. */
export const EnrolChallenge = z.object({ nonce: z.string(), nowMs: TimeMs, cluster: z.string() });

/** Body of statement `enrol.system`. `token` is the whole join token. */
export const EnrolSystem = z.object({
  token: z.string().max(300),
  nonce: z.string().max(300),
  /** SPKI DER, base64; its SHA-256 must be the statement's `from`. */
  identityKey: z.string().max(200),
  machineId: MachineId,
  minionId: MinionId,
  minionKey: PublicPem,
  name: z.string().min(1).max(253),
  /** Master that the minion follows now, as its configuration names it; null when none. */
  master: z.string().max(253).nullable(),
});
export type EnrolSystem = z.infer<typeof EnrolSystem>;

/** Body of statement `enrol.node`. */
export const EnrolNode = z.object({
  token: z.string().max(300),
  nonce: z.string().max(300),
  identityKey: z.string().max(200),
  machineId: MachineId,
  name: z.string().min(1).max(253),
  apiUrl: z.url().max(500),
  master: MasterName,
  masterKey: PublicPem,
  capacity: z.int().min(0).max(1_000_000).optional(),
  weight: z.number().min(0.01).max(100).optional(),
  versions: z.record(z.string(), z.string()),
});
export type EnrolNode = z.infer<typeof EnrolNode>;

/** An enrolment request is its statement; the answer pins the cluster's key. */
export const EnrolRequest = z.object({ statement: z.string().max(64 * 1024) });
export const EnrolAnswer = z.object({
  fp: Fp,
  zone: ZoneName,
  cluster: z.string(),
  /** SPKI DER of the cluster key, base64: what the agent pins. */
  clusterKey: z.string(),
  /** Cluster id of a system; null for a node. */
  id: ClusterId.nullable(),
  /** After which number this agent asks for directives: all up to it have been reported. */
  lastSeq: z.int().min(0),
});
export type EnrolAnswer = z.infer<typeof EnrolAnswer>;

// --- Directives ----------------------------------------------------------------------------------------------

/** To a client agent: follow another master. */
export const DirectiveMove = z.object({
  plan: z.string(),
  system: ClusterId,
  node: Fp,
  master: MasterName,
  masterKey: PublicPem,
});
export type DirectiveMove = z.infer<typeof DirectiveMove>;

/** To a node agent: accept this minion's key ahead of its arrival. */
export const DirectiveKeyAccept = z.object({
  plan: z.string(),
  system: ClusterId,
  minionId: MinionId,
  minionKey: PublicPem,
});
/** To a node agent: the move ended back; forget the key accepted ahead, unless a profile uses it. */
export const DirectiveKeyForget = z.object({ plan: z.string(), system: ClusterId, minionId: MinionId });
/** To a node agent: remove profiles (NO_CLEANUP) and keys of systems that live elsewhere now, as one batch. */
export const DirectiveRetire = z.object({ minionIds: z.array(MinionId).min(1).max(500) });

/** To a node agent: run a nanostate of its own folder, on its node or (`host`) over SSH. */
export const DirectiveStateRun = z.object({
  run: RunId,
  nanostate: NanostateId,
  check: z.boolean(),
  host: HostName.nullable(),
  params: RunParams,
  deadlineAtMs: TimeMs,
});
export type DirectiveStateRun = z.infer<typeof DirectiveStateRun>;
/** To a node agent: stop that run, leaving no process of it behind. */
export const DirectiveStateCancel = z.object({ run: RunId });

/** What can be told to an agent: a kind and its body. */
export const Directive = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("directive.move"), body: DirectiveMove }),
  z.object({ kind: z.literal("directive.key.accept"), body: DirectiveKeyAccept }),
  z.object({ kind: z.literal("directive.key.forget"), body: DirectiveKeyForget }),
  z.object({ kind: z.literal("directive.retire"), body: DirectiveRetire }),
  z.object({ kind: z.literal("directive.state.run"), body: DirectiveStateRun }),
  z.object({ kind: z.literal("directive.state.cancel"), body: DirectiveStateCancel }),
]);
export type Directive = z.infer<typeof Directive>;

/** A directive in the store's outbox; its statement is signed when it is fetched. Numbers may have gaps. */
export const OutboxEntry = Directive.and(
  z.object({ v: z.literal(1), seq: z.int().min(1), epoch: z.int().nullable(), atMs: TimeMs }),
);
export type OutboxEntry = z.infer<typeof OutboxEntry>;

/** Of one recipient: highest number given, highest that it was handed. */
export const OutboxHead = z.object({
  v: z.literal(1),
  last: z.int().min(0),
  sent: z.int().min(0),
});
export type OutboxHead = z.infer<typeof OutboxHead>;

/** Body of `node.fetch`, and the query of `GET /v1/directives`. */
export const Fetch = z.object({ after: z.int().min(0) });
/** The answer to both: statements in order of their numbers. */
export const Directives = z.object({ directives: z.array(z.string()), last: z.int().min(0) });
export type Directives = z.infer<typeof Directives>;

// --- Reports -------------------------------------------------------------------------------------------------

/** A client agent's account of a directive: `there`, or `back` with the old master in force again. */
export const MoveReport = z.object({
  seq: z.int().min(1),
  epoch: z.int().min(0),
  plan: z.string(),
  outcome: z.enum(["there", "back"]),
  reason: z.string().max(1_000),
});
export type MoveReport = z.infer<typeof MoveReport>;

/** A node agent's account of a directive; `refused` is final, for passing faults it tries again itself. */
export const NodeReport = z.object({
  seq: z.int().min(1),
  outcome: z.enum(["done", "refused"]),
  reason: z.string().max(1_000),
});
export type NodeReport = z.infer<typeof NodeReport>;

/** How a run ended. `unknown`: whoever did it was interrupted in the middle, and does not know. */
export const RunEnd = z.object({
  outcome: z.enum(["done", "failed", "cancelled", "unknown"]),
  reason: z.string().max(1_000),
  /** Null where whoever tells does not know: what was told last stays. */
  progress: RunProgress.nullable(),
  /** At most RUN_RESULT_BYTES_MAX (`run_results.ts`); null where there is none. */
  result: NanostateResult.refine(isFitting, `at most ${RUN_RESULT_BYTES_MAX} bytes of JSON`).nullable(),
});
export type RunEnd = z.infer<typeof RunEnd>;

/** Body of `node.run`: a run begins, goes on (RUN_PROGRESS_MS apart, as a sign of life) or has ended. */
export const NodeRun = z.discriminatedUnion("what", [
  z.object({ what: z.literal("begin"), run: RunId }),
  z.object({ what: z.literal("progress"), run: RunId, progress: RunProgress }),
  z.object({ what: z.literal("end"), run: RunId, end: RunEnd }),
]);
export type NodeRun = z.infer<typeof NodeRun>;
/** The answer: whether it shall stop, and when a staging begins, the join token of the new node's agent. */
export const RunAnswer = z.object({ ok: z.literal(true), stop: z.boolean(), token: z.string().nullable() });
export type RunAnswer = z.infer<typeof RunAnswer>;

/** Sent by a client agent with every poll round. */
export const SystemBeat = z.object({
  /** TCP connect time to the master's port 4505; null when nobody answered. */
  rttMs: z.number().min(0).nullable(),
  master: z.string().max(253).nullable(),
  /** The epoch that it last followed. */
  epoch: z.int().min(0),
});
export type SystemBeat = z.infer<typeof SystemBeat>;

/** Body of `node.beat`. */
export const NodeBeat = z.object({
  /** Random per start of the agent, with `n` rising: an older beat is ignored. */
  boot: z.string().max(40),
  n: z.int().min(0),
  load: z.number().min(0),
  systems: z.int().min(0),
  versions: z.record(z.string().max(50), z.string().max(100)),
  slotLagBytes: z.number().min(0).nullable(),
});
export type NodeBeat = z.infer<typeof NodeBeat>;

// --- Database changes ----------------------------------------------------------------------------------------

/** One row change. Values are PostgreSQL's text form; a column that is missing was unchanged (large values). */
export const RowChange = z.object({
  table: z.string(),
  op: z.enum(["insert", "update", "delete", "truncate"]),
  /** Identity columns only, for a delete; all published columns otherwise; empty for truncate. */
  row: z.record(z.string(), z.string().nullable()),
  /** Old identity, when an update changed it. */
  oldKey: z.record(z.string(), z.string().nullable()).nullable(),
});
export type RowChange = z.infer<typeof RowChange>;

/**
 * Body of `node.changes`: part of one committed transaction, or of a first copy.
 * Position = (origin, lsn, index of the change): within an origin it only rises; a row takes a change only from a
 * higher position than its last, so redelivery and reordering do no harm.
 */
export const Changes = z.object({
  /** `<system identifier>.<timeline>.<slot generation>`: a restore or a new slot makes a new origin. */
  origin: z.string().max(100),
  /** Rises with each new origin of a node. */
  originNo: z.int().min(0),
  /** Commit LSN, 16 hex digits. */
  lsn: z.string().regex(/^[0-9A-F]{16}$/),
  /** Index of the first change of this part within its transaction. */
  first: z.int().min(0),
  /** Further parts of the same transaction follow; false where it is not said. */
  more: z.boolean().optional(),
  changes: z.array(RowChange).max(1_000),
});
export type Changes = z.infer<typeof Changes>;
