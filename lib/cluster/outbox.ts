/**
 * The outbox: directives in order, numbered per recipient, kept until the recipient says that it has done them.
 *
 * O1. A number is given in the transaction of the decision, so replicas, restarts and resends cannot double it.
 * O2. Entries are unsigned at rest and signed when handed out: an old entry is never stale, a stolen store says nothing.
 * O3. What was handed out cannot be withdrawn; what was withdrawn is never handed out.
 */
import { OUTBOX_FETCH_MAX } from "../limits.ts";
import type { Read, Write } from "../store/store.ts";
import type { Change } from "./change.ts";
import { keys } from "./keys.ts";
import type { Directive, OutboxEntry, OutboxHead } from "./protocol.ts";
import { outbox, outboxHeads } from "./records.ts";

/** Appends a directive for `fp`; returns its number. */
export async function post(
  { tx, nowMs, hint }: Change,
  fp: string,
  directive: Directive,
  epoch: number | null = null,
): Promise<number> {
  const head = await headOf(tx, fp);
  const seq = head.last + 1;
  outbox.put(tx, { ...directive, v: 1, seq, epoch, atMs: nowMs }, fp, seq);
  outboxHeads.put(tx, { ...head, last: seq }, fp);
  hint(fp, seq);
  return seq;
}

/** Takes an entry back unless its recipient may have it already; its number stays used. */
export async function withdraw(tx: Write, fp: string, seq: number): Promise<boolean> {
  const head = await headOf(tx, fp);
  if (head.sent >= seq) return false;
  outbox.delete(tx, fp, seq);
  tx.lock(keys.outboxHead(fp)); // O3: a hand-out that runs now must see the entry gone
  return true;
}

/** True when `fp` has something to fetch after `after`, or something to acknowledge. */
export async function hasNews(tx: Read, fp: string, after: number): Promise<boolean> {
  const head = await headOf(tx, fp);
  return head.last > after || head.done < Math.min(after, head.last);
}

/**
 * Hands out the entries after `after`, in order, at most OUTBOX_FETCH_MAX, and forgets those up to `after`,
 * which the recipient has done. `last` is the highest number ever given.
 */
export async function handOut(
  tx: Write,
  fp: string,
  after: number,
): Promise<{ entries: OutboxEntry[]; last: number }> {
  const head = await headOf(tx, fp);
  const all = await outbox.scan(tx, keys.outboxPrefix(fp), { limit: 2 * OUTBOX_FETCH_MAX });
  const entries: OutboxEntry[] = [];
  for (const { value } of all) {
    if (value.seq <= after) outbox.delete(tx, fp, value.seq);
    else if (entries.length < OUTBOX_FETCH_MAX) entries.push(value);
  }
  const sent = Math.max(head.sent, entries.at(-1)?.seq ?? 0);
  // Who claims more than was ever given restored another state, or lies: believe the outbox.
  const done = Math.max(head.done, Math.min(after, head.last));
  outboxHeads.put(tx, { ...head, sent, done }, fp);
  return { entries, last: head.last };
}

async function headOf(tx: Read, fp: string): Promise<OutboxHead> {
  return await outboxHeads.get(tx, fp) ?? { v: 1, last: 0, sent: 0, done: 0 };
}
