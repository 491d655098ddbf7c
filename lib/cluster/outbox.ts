/**
 * The outbox: directives in order, numbered per recipient, kept until the recipient reports how each ended.
 *
 * O1. A number is given in the transaction of the decision, so replicas, restarts and resends cannot double it.
 * O2. Entries are unsigned at rest and signed when handed out: an old entry is never stale, a stolen store says nothing.
 * O3. What was handed out cannot be withdrawn; what was withdrawn is never handed out.
 * O4. A directive with an epoch is valid for DIRECTIVE_MS from when it was given, and not handed out any more after
 *     that: whoever waits for its end must know when it cannot begin any more.
 * O5. An entry ends with its report, in the transaction of what the report sets going: the second report finds none.
 */
import { OUTBOX_FETCH_MAX } from "../limits.ts";
import type { Context } from "../mesh/context.ts";
import type { Read, Write } from "../store/store.ts";
import type { Change } from "./change.ts";
import { keys } from "./keys.ts";
import type { Directive, Directives, OutboxEntry, OutboxHead } from "./protocol.ts";
import { outbox, outboxHeads } from "./records.ts";
import { directiveFor, isExpired } from "./statements.ts";

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

/**
 * After which number an agent that remembers nothing begins: all before it has been reported, or withdrawn. What it was
 * given since an enrolment whose answer it never got is still ahead of it.
 */
export async function reportedUpTo(tx: Read, fp: string): Promise<number> {
  const [oldest] = await outbox.scan(tx, keys.outboxPrefix(fp), { limit: 1 });
  return oldest === undefined ? (await headOf(tx, fp)).last : oldest.value.seq - 1;
}

/** Takes an entry back unless its recipient may have it already; its number stays used. */
export async function withdraw(tx: Write, fp: string, seq: number): Promise<boolean> {
  const head = await headOf(tx, fp);
  if (head.sent >= seq) return false;
  outbox.delete(tx, fp, seq);
  tx.lock(keys.outboxHead(fp)); // O3: a hand-out that runs now must see the entry gone
  return true;
}

/** The entry that a report speaks of, taken out of the outbox (O5); null when it was reported before, or never given. */
export async function takeReported(tx: Write, fp: string, seq: number): Promise<OutboxEntry | null> {
  const entry = await outbox.get(tx, fp, seq);
  if (entry !== null) outbox.delete(tx, fp, seq);
  return entry;
}

/**
 * What `fp` is told when it asks for the directives after `after`: signed, in order, at most OUTBOX_FETCH_MAX.
 * Writes only when there is something to hand out: an idle poll costs one read.
 */
export async function directivesAfter(context: Context, fp: string, after: number): Promise<Directives> {
  const { store, scope } = context;
  const { entries, head } = await store.read(scope, async (tx) => ({
    entries: await entriesAfter(tx, fp, after, scope.nowMs()),
    head: await headOf(tx, fp),
  }));
  const newest = entries.at(-1);
  if (newest === undefined) return { directives: [], last: head.last };
  const handed = newest.seq <= head.sent
    ? entries
    : await store.write(scope, (tx) => handOut(tx, fp, after, scope.nowMs()));
  return { directives: handed.map((entry) => directiveFor(context, fp, entry)), last: head.last };
}

/** O3. The entries are read again, since one may have been withdrawn since the look. */
async function handOut(tx: Write, fp: string, after: number, nowMs: number): Promise<OutboxEntry[]> {
  const entries = await entriesAfter(tx, fp, after, nowMs);
  const head = await headOf(tx, fp);
  outboxHeads.put(tx, { ...head, sent: Math.max(head.sent, entries.at(-1)?.seq ?? 0) }, fp);
  return entries;
}

async function entriesAfter(tx: Read, fp: string, after: number, nowMs: number): Promise<OutboxEntry[]> {
  const page = await outbox.scan(tx, keys.outboxPrefix(fp), {
    limit: OUTBOX_FETCH_MAX,
    after: keys.outbox(fp, after),
  });
  return page.map(({ value }) => value).filter((entry) => !isExpired(entry, nowMs));
}

async function headOf(tx: Read, fp: string): Promise<OutboxHead> {
  return await outboxHeads.get(tx, fp) ?? { v: 1, last: 0, sent: 0 };
}
