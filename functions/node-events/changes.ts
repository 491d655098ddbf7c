/**
 * Database changes of nodes become what the cluster knows of them: the rows as last seen, ids, systems.
 *
 * G1. Position = (origin number, commit LSN, index). A row takes a change only from a higher position than its last, so
 *     redelivery and reordering do no harm; a deleted row leaves a tombstone, a truncated table a mark for rows that
 *     are still on their way.
 * G2. A message is applied in slices of one transaction each; applying a slice again changes nothing.
 */
import { CHANGES_SLICE_MAX } from "../../lib/limits.ts";
import { CHANGES, subjects } from "../../lib/bus/subjects.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { rowKeyColumns } from "../../lib/cluster/capture_tables.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { Changes, type RowChange } from "../../lib/cluster/protocol.ts";
import { getText, putText, rows } from "../../lib/cluster/records.ts";
import type { Row } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { prefixRange } from "../../lib/store/store.ts";
import { done, handler } from "../../lib/mesh/handler.ts";
import { assert } from "../../lib/errors.ts";
import { reflect } from "./reflecting.ts";

export const changesHandler = handler({
  name: "changes",
  subject: subjects.changes("*"),
  stream: CHANGES.name,
  signedBy: { role: "node", kind: "node.changes" },
  input: Changes,
  async run(context, { originNo, lsn, first, changes }, { from }) {
    const fp = from.fp;
    assert(fp !== null, "a signed message has a sender");
    const positionOf = (index: number) => positionText(originNo, lsn, first + index);
    for (const { at, slice } of slices(changes)) {
      if (slice[0]?.op === "truncate") {
        await truncate(context, fp, slice[0].table.toLowerCase(), positionOf(at));
        continue;
      }
      await change(context, { who: from.id }, async (c) => {
        for (const [index, rowChange] of slice.entries()) {
          await apply(c, fp, rowChange, positionOf(at + index));
        }
      });
    }
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

async function apply(
  c: Change,
  fp: string,
  { table, op, row, oldKey }: RowChange,
  position: string,
): Promise<void> {
  const columns = rowKeyColumns(table);
  if (columns === null) return; // a newer agent publishes a table that this release does not know
  const old = oldKey === null
    ? null
    : await put(c, fp, table, { key: keyText(columns, oldKey), row: null, position });
  const key = keyText(columns, row);
  await put(c, fp, table, { key, row: op === "delete" ? null : { ...old, ...row }, position });
}

/** Columns that an update left out were not changed: they keep their value. Returns the row as it was before. */
async function put(
  c: Change,
  fp: string,
  table: string,
  { key, row, position }: { key: string; row: Row["row"]; position: string },
): Promise<Row["row"]> {
  const before = await rows.get(c.tx, fp, table, key);
  const goneAt = before?.position ?? await getText(c.tx, keys.truncated(fp, table)) ?? "";
  if (goneAt >= position) return before?.row ?? null; // G1
  const after = row === null ? null : { ...before?.row, ...row };
  rows.put(c.tx, { v: 1, position, atMs: c.nowMs, row: after }, fp, table, key);
  if (before === null) c.tx.lock(keys.truncated(fp, table));
  await reflect(c, fp, table, { before: before?.row ?? null, after });
  return before?.row ?? null;
}

/** Deletes, as of `position`, every row of the table that the cluster knows; G2 holds for each page. */
async function truncate(context: Context, fp: string, table: string, position: string): Promise<void> {
  if (rowKeyColumns(table) === null) return;
  await change(context, { who: `node:${fp}` }, async ({ tx }) => {
    const mark = await getText(tx, keys.truncated(fp, table));
    if (mark === null || mark < position) putText(tx, keys.truncated(fp, table), position);
  });
  const prefix = keys.rows(fp, table);
  let after: string | undefined;
  do { // bounded by the rows of one table of one node
    const cursor: string | undefined = after;
    after = await change(context, { who: `node:${fp}` }, async (c) => {
      const page = await c.tx.scan(prefixRange(prefix), { limit: CHANGES_SLICE_MAX, after: cursor });
      for (const { key } of page) {
        await put(c, fp, table, { key: key.slice(prefix.length), row: null, position });
      }
      return page.length < CHANGES_SLICE_MAX ? undefined : page.at(-1)?.key;
    });
  } while (after !== undefined);
}

/** The row's key as part of a store key; `~` cannot be in the numbers and ids that identify rows. */
function keyText(columns: readonly string[], row: Record<string, string | null>): string {
  return columns.map((column) => row[column] ?? "").join("~");
}
