/** The records of the store by name: schema (`types.ts`, `protocol.ts`) and key (`keys.ts`) put together. */
import { SalarError } from "../errors.ts";
import { records, toBytes, toText } from "../store/record.ts";
import type { Read, Write } from "../store/store.ts";
import { keys } from "./keys.ts";
import { OutboxEntry, OutboxHead } from "./protocol.ts";
import {
  ApiToken,
  AuditEntry,
  Beat,
  JoinToken,
  JoinUse,
  Load,
  Move,
  Node,
  Plan,
  Retire,
  Row,
  Run,
  RunResult,
  System,
  SystemBeatRecord,
  Zone,
} from "./types.ts";

export const zones = records(Zone, keys.zone);
export const nodes = records(Node, keys.node);
export const beats = records(Beat, keys.beat);
export const loads = records(Load, keys.load);
export const systems = records(System, keys.system);
export const systemBeats = records(SystemBeatRecord, keys.systemBeat);
export const plans = records(Plan, keys.plan);
export const moves = records(Move, keys.move);
export const runs = records(Run, keys.run);
export const runResults = records(RunResult, keys.runResult);
export const retires = records(Retire, keys.retire);
export const outbox = records(OutboxEntry, keys.outbox);
export const outboxHeads = records(OutboxHead, keys.outboxHead);
export const rows = records(Row, keys.row);
export const apiTokens = records(ApiToken, keys.token);
export const joinTokens = records(JoinToken, keys.joinToken);
export const joinUses = records(JoinUse, keys.joinUse);
export const audits = records(AuditEntry, keys.audit);
export const auditHeads = records(AuditEntry.pick({ n: true, hash: true }), keys.auditHead);

/** A plain text under a key, as look-up keys hold it; null when there is none. */
export async function getText(tx: Read, key: string): Promise<string | null> {
  const bytes = await tx.get(key);
  return bytes === null ? null : toText(bytes);
}

export function putText(tx: Write, key: string, text: string): void {
  tx.put(key, new TextEncoder().encode(text));
}

/** A JSON value without a schema of its own: a number under a look-up key. */
export function putNumber(tx: Write, key: string, value: number): void {
  tx.put(key, toBytes(value));
}

/** @throws {SalarError} `not-found` */
export async function zoneNamed(tx: Read, name: string): Promise<Zone> {
  return found(await zones.get(tx, name), `zone "${name}"`);
}

/** @throws {SalarError} `not-found` */
export async function nodeByFp(tx: Read, fp: string): Promise<Node> {
  return found(await nodes.get(tx, fp), `node "${fp}"`);
}

/** @throws {SalarError} `not-found` */
export async function systemById(tx: Read, id: number): Promise<System> {
  return found(await systems.get(tx, id), `system ${id}`);
}

/** @throws {SalarError} `not-found` */
export async function planById(tx: Read, id: string): Promise<Plan> {
  return found(await plans.get(tx, id), `plan "${id}"`);
}

/** @throws {SalarError} `not-found` */
export async function runById(tx: Read, id: string): Promise<Run> {
  return found(await runs.get(tx, id), `run "${id}"`);
}

/** The system that a look-up key (`systemByFp`, `systemByMinion`, `systemByMachine`) names; null when none. */
export async function systemAt(tx: Read, lookUpKey: string): Promise<System | null> {
  const id = await getText(tx, lookUpKey);
  return id === null ? null : await systems.get(tx, Number(id));
}

function found<T>(value: T | null, what: string): T {
  if (value === null) throw new SalarError("not-found", `Cannot find ${what}: there is none in this cluster`);
  return value;
}
