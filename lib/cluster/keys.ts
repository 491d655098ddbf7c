/**
 * The key layout of the store: every key of Salar is spelled here and nowhere else.
 *
 * Numbers in keys are zero-padded, so that byte order is number order. `<id>` is a cluster id (10 digits),
 * `<fp>` a fingerprint (64 hex digits), `<seq>` an outbox number (12 digits).
 */

/** Pads a cluster id, which lies below 2³¹. */
export function idText(id: number): string {
  return String(id).padStart(10, "0");
}

export function seqText(seq: number): string {
  return String(seq).padStart(12, "0");
}

/** How the place of an event begins. */
export function eventTimeText(atMs: number): string {
  return String(atMs).padStart(13, "0");
}

export const keys = {
  zone: (name: string) => `zone/${name}`,
  zones: "zone/",

  node: (fp: string) => `node/${fp}`,
  nodes: "node/",
  nodeByMachine: (machineId: string) => `node-by-machine/${machineId}`,
  /** Last heartbeat; written in batches, so kept out of the node's own record. */
  beat: (fp: string) => `beat/${fp}`,
  beats: "beat/",
  /** Mark: somebody took the node to be away (lost, too); its next heartbeat has it and its systems looked at again. */
  away: (fp: string) => `away/${fp}`,
  aways: "away/",
  /** How many systems are placed on a node, those on their way to it included. Placement locks it by writing it. */
  load: (fp: string) => `load/${fp}`,
  /** Work index: a node was lost or came back, and its systems' states must follow; the value is a cursor. */
  sweep: (fp: string) => `work/sweep/${fp}`,
  sweeps: "work/sweep/",

  system: (id: number) => `system/${idText(id)}`,
  systems: "system/",
  systemByFp: (fp: string) => `system-by-fp/${fp}`,
  systemByMinion: (minionId: string) => `system-by-minion/${minionId}`,
  systemByMachine: (machineId: string) => `system-by-machine/${machineId}`,
  /** Last heartbeat of a client agent; batched. */
  systemBeat: (id: number) => `system-beat/${idText(id)}`,
  /** Index: the systems that a node owns. Empty values. */
  onNode: (fp: string, id: number) => `on-node/${fp}/${idText(id)}`,
  onNodePrefix: (fp: string) => `on-node/${fp}/`,

  /** Global id ↔ (node, local id), by kind (`system`, `channel`). */
  idOf: (kind: string, fp: string, localId: number) => `id/${kind}/${fp}/${localId}`,
  /** The other way round: the local id that a global id has on a node. */
  localOf: (kind: string, fp: string, id: number) => `local/${kind}/${fp}/${idText(id)}`,
  /** A global id given away; holds the natural key that it stands for. */
  idTaken: (kind: string, id: number) => `id-taken/${kind}/${idText(id)}`,
  /** Natural key (channel label …) → global id. */
  idByName: (kind: string, name: string) => `id-by-name/${kind}/${name}`,

  /** Index: the systems of a zone. Empty values. */
  inZone: (zone: string, id: number) => `in-zone/${zone}/${idText(id)}`,
  inZonePrefix: (zone: string) => `in-zone/${zone}/`,

  /** Work index: systems that no node owns and no move is taking anywhere; the value is when to place it, or empty. */
  unplaced: (id: number) => `work/unplaced/${idText(id)}`,
  unplacedAll: "work/unplaced/",

  plan: (id: string) => `plan/${id}`,
  plans: "plan/",
  /** Work index: plans that are not at their end. */
  planOpen: (id: string) => `work/plan/${id}`,
  plansOpen: "work/plan/",
  move: (plan: string, id: number) => `move/${plan}/${idText(id)}`,
  moves: (plan: string) => `move/${plan}/`,
  /** Work index: moves not yet begun, and moves under way. */
  moveQueued: (plan: string, id: number) => `work/queued/${plan}/${idText(id)}`,
  movesQueued: (plan: string) => `work/queued/${plan}/`,
  moveActive: (plan: string, id: number) => `work/moving/${plan}/${idText(id)}`,
  movesActive: (plan: string) => `work/moving/${plan}/`,
  /** Work index: moves at their end that the plan's counts do not hold yet; the value is the end, or `late` (moving.ts). */
  moveEnded: (plan: string, id: number) => `work/ended/${plan}/${idText(id)}`,
  movesEnded: (plan: string) => `work/ended/${plan}/`,
  /** The one open move of a system: holds its plan's id. */
  moveOf: (id: number) => `move-of/${idText(id)}`,
  /** Work index: old profiles to remove from a node after the grace time. */
  retire: (fp: string, id: number) => `work/retire/${fp}/${idText(id)}`,
  retires: "work/retire/",

  run: (id: string) => `run/${id}`,
  runs: "run/",
  runResult: (id: string) => `run-result/${id}`,
  /** Work index: runs that are not at their end. Empty values. */
  runOpen: (id: string) => `work/run/${id}`,
  runsOpen: "work/run/",
  /** The last run on a machine: `node:<fp>`, or `host:<host>` for one over SSH. One at a time is open. */
  runOn: (machine: string) => `run-on/${machine}`,
  /** The epoch of the last run that a node's agent was given; a number. */
  runEpoch: (fp: string) => `run-epoch/${fp}`,

  outbox: (fp: string, seq: number) => `outbox/${fp}/${seqText(seq)}`,
  outboxPrefix: (fp: string) => `outbox/${fp}/`,
  /** Last number given, last number done. */
  outboxHead: (fp: string) => `outbox-head/${fp}`,

  /** A row of a node's database as last seen by change capture. */
  row: (fp: string, table: string, rowKey: string) => `row/${fp}/${table}/${rowKey}`,
  rows: (fp: string, table: string) => `row/${fp}/${table}/`,
  /** Work index: a profile that its node's database showed no more; the value is when it is looked for once more. */
  vanished: (fp: string, localId: number, id: number) => `work/vanished/${fp}/${localId}/${idText(id)}`,
  vanishedAll: "work/vanished/",
  /** The position up to which all rows of a table are gone, those included that are still on their way. */
  truncated: (fp: string, table: string) => `truncated/${fp}/${table}`,

  token: (id: string) => `token/${id}`,
  tokens: "token/",
  joinToken: (id: string) => `join-token/${id}`,
  joinTokens: "join-token/",
  /** How many uses of a join token are taken, in parts that few write at once. */
  joinUse: (id: string, part: number) => `join-use/${id}/${String(part).padStart(3, "0")}`,
  joinUses: (id: string) => `join-use/${id}/`,

  audit: (lane: string, n: number) => `audit/${lane}/${seqText(n)}`,
  auditLane: (lane: string) => `audit/${lane}/`,
  audits: "audit/",
  auditHead: (lane: string) => `audit-head/${lane}`,
  auditHeads: "audit-head/",

  /** Index: audit entries of all lanes by time. Empty values. */
  event: (atMs: number, lane: string, n: number) => `event/${eventTimeText(atMs)}/${lane}/${seqText(n)}`,
  events: "event/",

  /** Gateway sessions by their id; the record holds the hash of the whole key. */
  session: (id: number) => `session/${idText(id)}`,
  /** Work index: when a session may have expired. Empty values. */
  sessionDue: (atMs: number, id: number) => `work/session/${String(atMs).padStart(13, "0")}/${idText(id)}`,
  sessionsDue: "work/session/",
  /** A node that let the gateway wait in vain: until when it is not waited for again. */
  silent: (fp: string) => `silent/${fp}`,
} as const;
