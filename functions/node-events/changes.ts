/**
 * Database changes of nodes become what the cluster knows of them: the rows as last seen, ids, systems.
 *
 * G1. Position = (origin number, commit LSN, index). A row takes a change only from a higher position than its last, so
 *     redelivery and reordering do no harm; a deleted row leaves a tombstone, a truncated table a mark for rows that
 *     are still on their way.
 * G2. A message is applied in slices of one transaction each; applying a slice again changes nothing.
 * G3. Who is gone is judged by what is there after the message; where more of the transaction follows, or a table was
 *     emptied, when there was time for the rest (`vanishing.ts`).
 */
import { CHANGES_SLICE_MAX, VANISHED_MS } from "../../lib/limits.ts";
import { CHANGES, subjects } from "../../lib/bus/subjects.ts";
import { change } from "../../lib/cluster/change.ts";
import { rowKeyColumns } from "../../lib/cluster/capture_tables.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { Changes, type RowChange } from "../../lib/cluster/protocol.ts";
import { getText, putText, rows } from "../../lib/cluster/records.ts";
import type { Row } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { prefixRange } from "../../lib/store/store.ts";
import { done, handler } from "../../lib/mesh/handler.ts";
import { assert } from "../../lib/errors.ts";
import { type Part, reflect } from "./reflecting.ts";
import { settleAll, type Vanished } from "./vanishing.ts";

export const changesHandler = handler({
  name: "changes",
  subject: subjects.changes("*"),
  stream: CHANGES.name,
  signedBy: { role: "node", kind: "node.changes" },
  input: Changes,
  async run(context, { originNo, lsn, first, more, changes }, { from }) {
    const fp = from.fp;
    assert(fp !== null, "a signed message has a sender");
    const positionOf = (index: number) => positionText(originNo, lsn, first + index);
    const vanished: Vanished[] = [];
    for (const { at, slice } of slices(changes)) {
      if (slice[0]?.op === "truncate") {
        await truncate(context, fp, slice[0].table.toLowerCase(), positionOf(at));
        continue;
      }
      vanished.push(
        ...await change(context, { who: from.id }, async (c) => {
          const part: Part = { c, fp, vanished: [] };
          for (const [index, rowChange] of slice.entries()) {
            await apply(part, rowChange, positionOf(at + index));
          }
          return part.vanished;
        }),
      );
    }
    if (!more) await settleAll(context, { who: from.id }, vanished); // G3
    context.meter.count("row_changes", changes.length);
    return done();
  },
});

/** Runs of row changes of at most CHANGES_SLICE_MAX, and each truncate alone, since it needs transactions of its own. */
function* slices(changes: readonly RowChange[]): Generator<{ at: number; slice: RowChange[] }> {
  for (let at = 0; at < changes.length;) {
    let end = at + 1;
    const isRow = (index: number) => index < changes.length && changes[index]?.op !== "truncate";
    if (isRow(at)) { while (isRow(end) && end - at < CHANGES_SLICE_MAX) end++; }
    yield { at, slice: changes.slice(at, end) };
    at = end;
  }
}

/** Orders as text like the position it stands for. */
function positionText(originNo: number, lsn: string, index: number): string {
  return `${String(originNo).padStart(8, "0")}.${lsn}.${String(index).padStart(9, "0")}`;
}

async function apply(part: Part, { table, op, row, oldKey }: RowChange, position: string): Promise<void> {
  const columns = rowKeyColumns(table);
  if (columns === null) return; // a newer agent publishes a table that this release does not know
  const old = oldKey === null
    ? null
    : await put(part, table, { key: keyText(columns, oldKey), row: null, position });
  const key = keyText(columns, row);
  await put(part, table, { key, row: op === "delete" ? null : { ...old, ...row }, position });
}

/** Columns that an update left out were not changed: they keep their value. Returns the row as it was before. */
async function put(
  part: Part,
  table: string,
  { key, row, position }: { key: string; row: Row["row"]; position: string },
): Promise<Row["row"]> {
  const { c, fp } = part;
  const before = await rows.get(c.tx, fp, table, key);
  const goneAt = before?.position ?? await getText(c.tx, keys.truncated(fp, table)) ?? "";
  if (goneAt >= position) return before?.row ?? null; // G1
  const after = row === null ? null : { ...before?.row, ...row };
  rows.put(c.tx, { v: 1, position, atMs: c.nowMs, row: after }, fp, table, key);
  if (before === null) c.tx.lock(keys.truncated(fp, table));
  await reflect(part, table, { before: before?.row ?? null, after });
  return before?.row ?? null;
}

/** Deletes, as of `position`, every row of the table that the cluster knows; G2 holds for each page. */
async function truncate(context: Context, fp: string, table: string, position: string): Promise<void> {
  if (rowKeyColumns(table) === null) return;
  const who = `node:${fp}`;
  await change(context, { who }, async ({ tx }) => {
    const mark = await getText(tx, keys.truncated(fp, table));
    if (mark === null || mark < position) putText(tx, keys.truncated(fp, table), position);
  });
  const prefix = keys.rows(fp, table);
  let after: string | undefined;
  let isTold = false;
  do { // bounded by the rows of one table of one node
    const cursor: string | undefined = after;
    const tell: boolean = !isTold;
    const page = await change(context, { who }, async (c) => {
      const part: Part = { c, fp, vanished: [] };
      const page = await c.tx.scan(prefixRange(prefix), { limit: CHANGES_SLICE_MAX, after: cursor });
      for (const { key } of page) {
        await put(part, table, { key: key.slice(prefix.length), row: null, position });
      }
      const isNews = part.vanished.length > 0;
      if (isNews && tell) { // one line for all: most often they are there again a moment later
        const why = `table ${table} was emptied; systems not shown again within ${
          VANISHED_MS / 60_000
        } min are gone`;
        c.record({ what: "node.truncate", target: who, why, detail: { table } });
      }
      return { isNews, next: page.length < CHANGES_SLICE_MAX ? undefined : page.at(-1)?.key };
    });
    isTold ||= page.isNews;
    after = page.next;
  } while (after !== undefined);
}

/** The row's key as part of a store key; `~` cannot be in the numbers and ids that identify rows. */
function keyText(columns: readonly string[], row: Record<string, string | null>): string {
  return columns.map((column) => row[column] ?? "").join("~");
}
