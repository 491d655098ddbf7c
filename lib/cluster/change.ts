/**
 * The one way to change the cluster: a store transaction with its audit entries, and its announcements afterwards.
 *
 * C1. An audit entry is written in the transaction of its effect, in the hash chain of a lane that nobody else has.
 * C2. Nothing is announced before it is committed; an announcement that is lost delays and never loses work.
 * C3. With a token the change is made once, however often it is asked for (see `lib/store/store.ts`, T4).
 */
import type { Context } from "../mesh/context.ts";
import type { Write } from "../store/store.ts";
import { subjects } from "../bus/subjects.ts";
import { EMPTY, toBytes } from "../store/record.ts";
import { messageOf } from "../errors.ts";
import { keys } from "./keys.ts";
import { auditHeads, audits } from "./records.ts";
import type { AuditEntry } from "./types.ts";

/** What a transition says of itself. */
export interface Transition {
  /** `node.accept`, `system.settle`, `plan.pause`: machine and event. */
  what: string;
  /** `node:<fp>`, `system:<id>`, `plan:<id>`, `zone:<name>`. */
  target: string;
  why: string;
  detail?: Record<string, unknown>;
}

export interface Change {
  tx: Write;
  nowMs: number;
  /** Principal id of whoever asked for it; `function:<name>` for the mesh itself. */
  who: string;
  /** A new id, unique without looking. */
  newId(): string;
  /** A uniform integer below `below`. */
  draw(below: number): number;
  /** Records a transition; C1. */
  record(transition: Transition): void;
  /** Tells `fp`, after the commit, that its outbox has entry `seq`. */
  hint(fp: string, seq: number): void;
}

export interface ChangeOptions {
  who: string;
  token?: string | undefined;
}

const encoder = new TextEncoder();
/** What the first entry of a lane follows. */
export const GENESIS = "0".repeat(64);

/** Runs `fn` in one audited transaction; it may run again on a conflict. Result must be JSON when there is a token. */
export async function change<T>(
  context: Context,
  options: ChangeOptions,
  fn: (change: Change) => Promise<T>,
): Promise<T> {
  const { scope, store, lanes } = context;
  return await lanes.with(async (lane) => {
    let entries: AuditEntry[] = [];
    let hints = new Map<string, number>();
    const result = await store.write(scope, async (tx) => {
      const transitions: Transition[] = [];
      hints = new Map();
      const nowMs = scope.nowMs();
      const value = await fn({
        tx,
        nowMs,
        who: options.who,
        newId: () => scope.random.id(),
        draw: (below) => scope.random.below(below),
        record: (transition) => transitions.push(transition),
        hint: (fp, seq) => hints.set(fp, seq),
      });
      entries = await chain(context, tx, { lane, nowMs, who: options.who }, transitions);
      return value;
    }, options.token === undefined ? {} : { token: options.token });
    await announce(context, entries, hints);
    return result;
  });
}

async function chain(
  { crypt }: Context,
  tx: Write,
  { lane, nowMs, who }: { lane: string; nowMs: number; who: string },
  transitions: readonly Transition[],
): Promise<AuditEntry[]> {
  if (transitions.length === 0) return [];
  let head = await auditHeads.get(tx, lane) ?? { n: 0, hash: GENESIS };
  const entries = transitions.map(({ what, target, why, detail = {} }) => {
    const body = {
      v: 1 as const,
      lane,
      n: head.n + 1,
      atMs: nowMs,
      who,
      what,
      target,
      why,
      detail,
      prev: head.hash,
    };
    const hash = auditHash((bytes) => crypt.sha256(bytes), body);
    head = { n: body.n, hash };
    const entry: AuditEntry = { ...body, hash };
    audits.put(tx, entry, lane, entry.n);
    tx.put(keys.event(nowMs, lane, entry.n), EMPTY);
    return entry;
  });
  auditHeads.put(tx, head, lane);
  return entries;
}

/** SHA-256(`salar/audit/1` ‖ prev ‖ the entry's JSON without `hash`), hex. */
export function auditHash(
  sha256: (bytes: Uint8Array) => Uint8Array,
  entry: Omit<AuditEntry, "hash">,
): string {
  return sha256(encoder.encode(`salar/audit/1${entry.prev}${JSON.stringify(entry)}`)).toHex();
}

async function announce(
  { scope, bus, log }: Context,
  entries: readonly AuditEntry[],
  hints: ReadonlyMap<string, number>,
): Promise<void> {
  try {
    for (const entry of entries) await bus.publish(scope, subjects.event(entry.what), toBytes(entry));
    for (const [fp, seq] of hints) await bus.publish(scope, subjects.hint(fp), toBytes({ seq }));
  } catch (error) {
    // C2. The commit stands; who waits for a hint asks again by itself.
    log.warn("announcement lost", { entries: entries.length, hints: hints.size, error: messageOf(error) });
  }
}
