/**
 * The domain's records, as they lie in the store: each a schema and the type inferred from it.
 *
 * D1. Every record carries `v: 1`; a reader accepts all versions that it knows.
 * D2. Times are epoch milliseconds. Fingerprints are SHA-256 over SPKI DER, 64 hex digits.
 * D3. `epoch` of a system rises with every directive that may change its owner, and never falls.
 */
import { z } from "zod";
import { RUN_PARAMS_MAX } from "../limits.ts";

export const Fp = z.string().regex(/^[0-9a-f]{64}$/, "a fingerprint: 64 hex digits");
export const ZoneName = z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, "a lower-case DNS label");
export const MachineId = z.string().regex(/^[0-9a-f]{32}$/, "a machine-id: 32 hex digits");
/** Salt allows more; what could leave a folder or a subject is refused. */
export const MinionId = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,254}$/, "a Salt minion id");
export const PublicPem = z.string().max(4_096).regex(
  /^-----BEGIN (RSA )?PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+-----END (RSA )?PUBLIC KEY-----\n?$/,
  "a public key in PEM",
);
/** A host or address, as minions name their master; nothing that could end a line or a quote of a configuration. */
export const MasterName = z.string().regex(/^[A-Za-z0-9:][A-Za-z0-9.:_-]{0,252}$/, "a host name or address");
export const ClusterId = z.int().min(1).max(2 ** 31 - 1);
export const TimeMs = z.int().min(0);
const Reason = z.string().max(1_000);

export const Zone = z.object({
  v: z.literal(1),
  name: ZoneName,
  description: z.string().max(500),
  /** Placement may use other zones when this one is full or has no accepted node. */
  fallback: z.boolean(),
  createdAtMs: TimeMs,
  revision: z.int().min(1),
});
export type Zone = z.infer<typeof Zone>;

export const NODE_STATES = [
  "pooled",
  "staging",
  "staged",
  "failed",
  "accepted",
  "cordoned",
  "draining",
  "drained",
  "lost",
  "removed",
] as const;
export const NodeState = z.enum(NODE_STATES);
export type NodeState = z.infer<typeof NodeState>;

export const Node = z.object({
  v: z.literal(1),
  fp: Fp,
  /** SPKI DER of the identity key, base64. */
  identityKey: z.string().max(200),
  name: z.string().min(1).max(253),
  machineId: MachineId,
  zone: ZoneName,
  state: NodeState,
  /** State to return to when a lost node is heard of again. */
  stateBeforeLost: NodeState.nullable(),
  /** Most systems that it may hold. */
  capacity: z.int().min(0).max(1_000_000),
  /** Share of the systems relative to other nodes of its zone. */
  weight: z.number().min(0.01).max(100),
  /** Base of its XML-RPC API as functions reach it, such as `https://node-1.example`. */
  apiUrl: z.url().max(500),
  /** Host or address that minions name as their master. */
  master: MasterName,
  masterKey: PublicPem,
  versions: z.record(z.string(), z.string()),
  pooledAtMs: TimeMs,
  /** Why it is in this state. */
  reason: Reason,
  revision: z.int().min(1),
});
export type Node = z.infer<typeof Node>;

export const Beat = z.object({
  v: z.literal(1),
  atMs: TimeMs,
  /** Load average of five minutes. */
  load: z.number(),
  /** Systems in its database. */
  systems: z.int().min(0),
  versions: z.record(z.string(), z.string()),
  /** Bytes of WAL between the server's position and what the slot has confirmed; null without capture. */
  slotLagBytes: z.number().nullable(),
});
export type Beat = z.infer<typeof Beat>;

export const Load = z.object({ v: z.literal(1), placed: z.int().min(0) });
export type Load = z.infer<typeof Load>;

export const SYSTEM_STATES = ["new", "bound", "moving", "orphan", "deleted"] as const;
export const SystemState = z.enum(SYSTEM_STATES);
export type SystemState = z.infer<typeof SystemState>;

export const System = z.object({
  v: z.literal(1),
  id: ClusterId,
  /** Of its client agent; null for a system that is known from a node's database only, and so cannot be moved. */
  fp: Fp.nullable(),
  identityKey: z.string().max(200).nullable(),
  minionId: MinionId,
  machineId: MachineId,
  /** The minion's own Salt key. */
  minionKey: PublicPem.nullable(),
  name: z.string().min(1).max(253),
  zone: ZoneName,
  state: SystemState,
  /** The owner; null while `new` or when no node could take it. */
  node: Fp.nullable(),
  pin: Fp.nullable(),
  epoch: z.int().min(0),
  /** Rises with every change of this record that agents must follow. */
  generation: z.int().min(0),
  registeredAtMs: TimeMs,
  reason: Reason,
  revision: z.int().min(1),
});
export type System = z.infer<typeof System>;

export const MOVE_STATES = ["queued", "preparing", "switching", "settling", "there", "back"] as const;
export const MoveState = z.enum(MOVE_STATES);
export type MoveState = z.infer<typeof MoveState>;

export const Move = z.object({
  v: z.literal(1),
  plan: z.string(),
  system: ClusterId,
  from: Fp.nullable(),
  to: Fp,
  state: MoveState,
  /** Epoch of its directive; null until switching. */
  epoch: z.int().nullable(),
  /** Outbox number of its directive; null until switching. */
  seq: z.int().nullable(),
  /** The target's database shows the system. */
  seen: z.boolean(),
  /** Of the present state: when it must have gone on. */
  deadlineAtMs: TimeMs.nullable(),
  reason: Reason,
});
export type Move = z.infer<typeof Move>;

export const PLAN_STATES = ["planning", "running", "paused", "cancelling", "done", "cancelled"] as const;
export const PlanState = z.enum(PLAN_STATES);
export type PlanState = z.infer<typeof PlanState>;

export const Budget = z.object({
  /** Moves under way at once, to or from any one node. */
  perNode: z.int().min(1).max(10_000).default(20),
  perZone: z.int().min(1).max(100_000).default(100),
});
export type Budget = z.infer<typeof Budget>;

export const Counts = z.object({
  total: z.int(),
  queued: z.int(),
  active: z.int(),
  there: z.int(),
  back: z.int(),
  /** Systems for which no place was found, or without an agent. */
  stuck: z.int(),
});
export type Counts = z.infer<typeof Counts>;

export const Plan = z.object({
  v: z.literal(1),
  id: z.string(),
  kind: z.enum(["drain", "move"]),
  state: PlanState,
  /** The node that is drained; null for a move of one system. */
  node: Fp.nullable(),
  budget: Budget,
  counts: Counts,
  /** Where planning goes on: the last system id looked at. */
  cursor: ClusterId.nullable(),
  createdAtMs: TimeMs,
  endedAtMs: TimeMs.nullable(),
  /** No new move begins after this; null: no deadline. */
  deadlineAtMs: TimeMs.nullable(),
  /** Who asked for it. */
  who: z.string(),
  reason: Reason,
  revision: z.int().min(1),
});
export type Plan = z.infer<typeof Plan>;

export const RUN_STATES = [
  "waiting",
  "running",
  "cancelling",
  "joining",
  "done",
  "failed",
  "cancelled",
  "interrupted",
] as const;
export const RunState = z.enum(RUN_STATES);
export type RunState = z.infer<typeof RunState>;

/** Ids begin with the time, so runs list in the order they began. */
export const RunId = z.string().regex(/^[0-9a-z]{9,12}-[0-9a-z]{8}$/, "a run id");
export const NanostateId = z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$/, "the id of a nanostate");
/** `[user@]host[:port]`, as people name a machine that they reach over SSH. */
export const HostName = z.string().regex(
  /^([a-z_][a-z0-9_-]{0,31}@)?([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:]{2,45}\])(:\d{1,5})?$/,
  "[user@]host[:port]",
);
/** What a nanostate is told; never a secret. */
export const RunParams = z.record(
  z.string().regex(/^[A-Za-z_][\w.-]{0,63}$/, "a parameter's name"),
  z.union([z.string().max(4_096), z.number(), z.boolean()]),
).refine((params) => Object.keys(params).length <= RUN_PARAMS_MAX, `at most ${RUN_PARAMS_MAX} parameters`);
export type RunParams = z.infer<typeof RunParams>;

const Count = z.int().min(0);
/** Commands and modules of a run by what came of them. */
export const RunCounts = z.object({
  ok: Count,
  changed: Count,
  failed: Count,
  skipped: Count,
  unknown: Count,
  notRun: Count,
});
export type RunCounts = z.infer<typeof RunCounts>;

export const RunProgress = z.object({
  /** Steps that have ended, of how many. */
  done: Count,
  total: Count,
  counts: RunCounts,
  /** The step that runs now, such as `node-stop/1`. */
  step: z.string().max(300),
});
export type RunProgress = z.infer<typeof RunProgress>;

/** One nanostate on one machine, once; with `staging`, it makes that machine a node. */
export const Run = z.object({
  v: z.literal(1),
  id: RunId,
  nanostate: NanostateId,
  /** Nothing is changed there: it tells what would be. */
  check: z.boolean(),
  params: RunParams,
  /** Node whose agent does it; null: the admin tool that began it does. */
  by: Fp.nullable(),
  /** Machine that is reached over SSH; null: the node `by` itself. */
  host: HostName.nullable(),
  staging: z.object({
    zone: ZoneName,
    /** The node that this machine is; null until it has enrolled. */
    node: Fp.nullable(),
    /** Id of the join token that its agent enrols with. */
    token: z.string().nullable(),
  }).nullable(),
  state: RunState,
  progress: RunProgress,
  /** Number of its directive in the outbox of `by`. */
  seq: z.int().nullable(),
  createdAtMs: TimeMs,
  /** Whoever does it was last heard of. */
  heardAtMs: TimeMs,
  endedAtMs: TimeMs.nullable(),
  /** It has ended by then, or is ended. */
  deadlineAtMs: TimeMs,
  who: z.string(),
  /** Why it is in this state. */
  reason: Reason,
  revision: z.int().min(1),
});
export type Run = z.infer<typeof Run>;

/** The result of a nanostate: `{ Id, Description, Groups }`, see docs/nanostate.md. */
export const NanostateResult = z.record(z.string(), z.unknown());
/** What a run came to, kept beside its record since it is large. */
export const RunResult = z.object({ v: z.literal(1), result: NanostateResult });
export type RunResult = z.infer<typeof RunResult>;

/** Last sign of life of a client agent. */
export const SystemBeatRecord = z.object({
  v: z.literal(1),
  atMs: TimeMs,
  rttMs: z.number().nullable(),
  master: z.string().nullable(),
  epoch: z.int().min(0),
});
export type SystemBeatRecord = z.infer<typeof SystemBeatRecord>;

/** A row of a node's database as change capture last saw it; `row` is null after a delete (a tombstone). */
export const Row = z.object({
  v: z.literal(1),
  /** (origin number, commit LSN, index) as text that orders like the position. */
  position: z.string(),
  atMs: TimeMs,
  row: z.record(z.string(), z.string().nullable()).nullable(),
});
export type Row = z.infer<typeof Row>;

/** An old profile and minion key that a node shall forget after the grace time. */
export const Retire = z.object({
  v: z.literal(1),
  node: Fp,
  system: ClusterId,
  minionId: MinionId,
  afterMs: TimeMs,
});
export type Retire = z.infer<typeof Retire>;

/** SHA-256 of a token's secret half, hex: all that is kept of it. */
const SecretHash = z.string().regex(/^[0-9a-f]{64}$/);

/** A credential of people and automation; the secret half is kept as its SHA-256 only. */
export const ApiToken = z.object({
  v: z.literal(1),
  id: z.string(),
  secretHash: SecretHash,
  role: z.enum(["viewer", "operator", "admin"]),
  name: z.string().max(100),
  createdAtMs: TimeMs,
  expiresAtMs: TimeMs,
});
export type ApiToken = z.infer<typeof ApiToken>;

export const JoinToken = z.object({
  v: z.literal(1),
  id: z.string(),
  secretHash: SecretHash,
  kind: z.enum(["node", "system"]),
  zone: ZoneName,
  /** How many enrolments it allows in all; those taken are counted apart (`join_tokens.ts`). */
  uses: z.int().min(1),
  expiresAtMs: TimeMs,
  /** Bound to this machine, where given. */
  machineId: MachineId.nullable(),
  maker: z.string(),
  /** The run that stages the machine; null for a token that people made. */
  run: z.string().nullable().default(null),
});
export type JoinToken = z.infer<typeof JoinToken>;

/** Uses of a join token that were taken of one part. */
export const JoinUse = z.object({ v: z.literal(1), part: z.int().min(0), used: z.int().min(1) });
export type JoinUse = z.infer<typeof JoinUse>;

/** One transition, in its replica's hash chain: `hash` = SHA-256(`salar/audit/1` ‖ prev ‖ the stored bytes without hash). */
export const AuditEntry = z.object({
  v: z.literal(1),
  lane: z.string(),
  n: z.int(),
  atMs: TimeMs,
  /** Principal id. */
  who: z.string(),
  /** `node.accepted`, `system.moving`, `plan.paused` … */
  what: z.string(),
  /** `node:<fp>`, `system:<id>`, `plan:<id>`, `zone:<name>` … */
  target: z.string(),
  why: Reason,
  detail: z.record(z.string(), z.unknown()),
  prev: z.string(),
  hash: z.string(),
});
export type AuditEntry = z.infer<typeof AuditEntry>;
