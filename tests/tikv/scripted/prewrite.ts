/**
 * Prewrite: the first phase of a commit, and the only one of a one-phase commit.
 *
 * P1. A batch that meets a lock or a conflict writes nothing.
 * P2. Repeated with the same content it gives the same answer, also after the transaction has committed.
 * Source: tikv src/storage/txn/actions/prewrite.rs, commands/prewrite.rs.
 */
import {
  type Mutation,
  Op,
  PessimisticAction,
  type PrewriteRequest,
  type PrewriteResponse,
} from "../../../lib/tikv/messages_kv.ts";
import { sameKey } from "../../../lib/tikv/keys.ts";
import type { Decoded, Encodable } from "../../../lib/tikv/protobuf.ts";
import { aborted, KeyFault, locked } from "./key_fault.ts";
import { mustBeNewest, mustNotExist, type Mvcc, putCommit, TS_MAX } from "./mvcc.ts";
import { type LockRecord, recordOf, type Row } from "./records.ts";

type Request = Decoded<typeof PrewriteRequest>;
type Mode = "two-phase" | "async" | "one-phase";

interface Staged {
  row: Row;
  lock: LockRecord;
}

const LOCK_KINDS: Readonly<Record<number, LockRecord["kind"]>> = {
  [Op.put]: "put",
  [Op.insert]: "put",
  [Op.delete]: "delete",
  [Op.lock]: "lock",
};

/** @param fallBack treat async and one-phase commits as a server does that will not do them now. */
export function prewrite(
  mvcc: Mvcc,
  request: Request,
  { fallBack = false } = {},
): Encodable<typeof PrewriteResponse> {
  const { startVersion, mutations } = request;
  let mode: Mode = request.tryOnePc ? "one-phase" : request.useAsyncCommit ? "async" : "two-phase";
  const staged: Staged[] = [];
  const errors: KeyFault[] = [];
  let minCommitTs = 0n;
  const goTwoPhase = () => {
    mode = "two-phase";
    minCommitTs = 0n;
    for (const each of staged) each.lock = { ...each.lock, useAsyncCommit: false, secondaries: [] };
  };

  for (const [at, mutation] of mutations.entries()) {
    const row = mvcc.rows.row(mutation.key);
    const action = request.pessimisticActions[at] ?? PessimisticAction.skipCheck;
    try {
      const done = prewriteKey(mvcc, request, row, mutation, action, mode);
      if (done.lock !== null) staged.push({ row, lock: done.lock });
      const tooLate = request.maxCommitTs !== 0n && done.minCommitTs > request.maxCommitTs;
      if (mode !== "two-phase" && (done.minCommitTs === 0n || tooLate || fallBack)) goTwoPhase();
      else if (done.minCommitTs > minCommitTs) minCommitTs = done.minCommitTs;
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      // P2: this may be a repetition, and the transaction committed since.
      const record = recordOf(row, startVersion);
      if (record !== null && record !== "rolled-back") {
        return {
          minCommitTs: mode === "async" ? record.committedTs : 0n,
          onePcCommitTs: mode === "one-phase" ? record.committedTs : 0n,
        };
      }
      if (error.keyError.locked === undefined) return { errors: [error.keyError] };
      errors.push(error);
    }
  }
  if (errors.length > 0) return { errors: errors.map(({ keyError }) => keyError) };

  for (const { row, lock } of staged) {
    if (mode === "one-phase") {
      putCommit(row, lock, minCommitTs);
      mvcc.release(row, minCommitTs);
    } else row.lock = lock;
  }
  return {
    minCommitTs: mode === "async" ? minCommitTs : 0n,
    onePcCommitTs: mode === "one-phase" ? minCommitTs : 0n,
  };
}

/** The lock to write, null when there is nothing to; and the least commit timestamp where the mode asks for one. */
function prewriteKey(
  mvcc: Mvcc,
  request: Request,
  row: Row,
  mutation: Decoded<typeof Mutation>,
  action: number,
  mode: Mode,
): { lock: LockRecord | null; minCommitTs: bigint } {
  const { startVersion: startTs, forUpdateTs, primaryLock: primary } = request;
  const pessimistic = forUpdateTs > 0n;
  const checkOnly = mutation.op === Op.checkNotExists;
  const isNew = checkOnly || mutation.op === Op.insert;
  if (checkOnly && pessimistic) throw aborted("cannot handle checkNotExists in pessimistic prewrite");
  if (isNew) mvcc.sawTs(startTs);

  const held = heldBefore(row, request, action);
  if (held !== null && held.kind !== "pessimistic") {
    return { lock: null, minCommitTs: held.useAsyncCommit ? held.minCommitTs : 0n };
  }
  const isRetry = request.context?.isRetryRequest ?? false;
  const checked = pessimistic && (action === PessimisticAction.doPessimisticCheck ||
    (action === PessimisticAction.skipCheck && !isRetry));
  if (!checked) {
    if (!pessimistic || action === PessimisticAction.doConstraintCheck) {
      mustBeNewest(row, { startTs, primary });
    } else mustBeOlder(row, forUpdateTs, startTs);
    if (isNew) mustNotExist(row, TS_MAX);
  }
  let minCommitTs = max(request.minCommitTs, held?.minCommitTs ?? 0n);
  if (checkOnly) {
    mvcc.sawTs(startTs);
    return { lock: null, minCommitTs: mode === "two-phase" ? 0n : max(minCommitTs, startTs + 1n) };
  }
  if (mode !== "two-phase") minCommitTs = max(minCommitTs, max(mvcc.maxTs, max(startTs, forUpdateTs)) + 1n);

  const kind = LOCK_KINDS[mutation.op];
  if (kind === undefined) throw aborted(`prewrite does not know the operation ${mutation.op}`);
  const isPrimary = sameKey(row.key, primary);
  const lock: LockRecord = {
    startTs,
    kind,
    primary,
    value: kind === "put" ? mutation.value.slice() : new Uint8Array(0),
    ttlMs: max(request.lockTtl, held?.ttlMs ?? 0n),
    txnSize: request.txnSize,
    forUpdateTs: max(forUpdateTs, held?.forUpdateTs ?? 0n),
    minCommitTs,
    useAsyncCommit: mode === "async",
    secondaries: mode === "async" && isPrimary ? request.secondaries.map((key) => key.slice()) : [],
    rolledBackTs: held?.rolledBackTs ?? [],
  };
  return { lock, minCommitTs: mode === "two-phase" ? 0n : minCommitTs };
}

/** The lock that this transaction has here already; throws when another one has it. */
function heldBefore(row: Row, { startVersion, forUpdateTs }: Request, action: number): LockRecord | null {
  const { key, lock } = row;
  const pessimistic = forUpdateTs > 0n;
  const expected = action === PessimisticAction.doPessimisticCheck;
  if (lock === null) {
    // A lock that got lost is made good when nothing changed the key since.
    const newest = row.writes[0];
    if (expected && newest !== undefined && newest.commitTs >= startVersion) throw pessimisticLockNotFound();
    return null;
  }
  if (lock.startTs !== startVersion) {
    if (expected) throw pessimisticLockNotFound();
    // TTL 0 tells a pessimistic transaction to settle this lock without waiting.
    throw locked(key, pessimistic ? { ...lock, ttlMs: 0n } : lock);
  }
  if (lock.kind === "pessimistic" && !pessimistic) throw aborted("LockTypeNotMatch");
  return lock;
}

/** Of a pessimistic transaction whose key was not locked: a commit since its last look at the data is too much. */
function mustBeOlder(row: Row, forUpdateTs: bigint, startTs: bigint): void {
  for (const { commitTs, kind } of row.writes) {
    if (commitTs === startTs && kind === "rollback") throw pessimisticLockNotFound();
    if (commitTs > forUpdateTs && kind !== "rollback") throw pessimisticLockNotFound();
  }
}

function pessimisticLockNotFound(): KeyFault {
  return aborted("PessimisticLockNotFound");
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
