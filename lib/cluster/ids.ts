/**
 * Cluster ids: what the gateway calls an entity, whatever node it lives on.
 *
 * I1. Below 2³¹, never given twice, stable for good: clients cache them for days.
 * I2. System ids lie above 1000010000 as on every Uyuni server, since scripts rely on it.
 * Drawn at random and not counted: a counter would be one key that every registration of the cluster fights for.
 * Source: docs on the wire, section 11 ("Ids of several servers").
 */
import { SalarError } from "../errors.ts";
import { STORE_PAGE_ENTRIES } from "../limits.ts";
import { toText } from "../store/record.ts";
import type { Read, Write } from "../store/store.ts";
import type { Change } from "./change.ts";
import { keys } from "./keys.ts";
import { getText, putNumber, putText } from "./records.ts";

/** Kinds of entities that have cluster ids. */
export type IdKind = "system" | "channel";

const FIRST: Record<IdKind, number> = { system: 1_000_010_000, channel: 101 };
const AFTER_LAST = 2 ** 31;
const DRAWS_MAX = 50;

/** The id of the entity with this natural key, the same on every node; given at the first call. */
export async function idByName(change: Change, kind: IdKind, name: string): Promise<number> {
  const known = await getText(change.tx, keys.idByName(kind, name));
  if (known !== null) return Number(known);
  const id = await newClusterId(change, kind, name);
  putNumber(change.tx, keys.idByName(kind, name), id);
  return id;
}

async function newClusterId({ tx, draw }: Change, kind: IdKind, name: string): Promise<number> {
  for (let attempt = 0; attempt < DRAWS_MAX; attempt++) {
    const id = FIRST[kind] + draw(AFTER_LAST - FIRST[kind]);
    if (await tx.get(keys.idTaken(kind, id)) !== null) continue;
    putText(tx, keys.idTaken(kind, id), name);
    return id;
  }
  throw new SalarError("unavailable", `Cannot give a ${kind} id: ${DRAWS_MAX} draws were all taken`);
}

/** Remembers that `id` is called `localId` on node `fp`. */
export async function mapLocalId(
  tx: Write,
  kind: IdKind,
  { fp, localId, id }: { fp: string; localId: number; id: number },
): Promise<void> {
  if (await getText(tx, keys.idOf(kind, fp, localId)) === String(id)) return;
  putNumber(tx, keys.idOf(kind, fp, localId), id);
  putNumber(tx, keys.localOf(kind, fp, id), localId);
}

export async function clusterIdOf(
  tx: Read,
  kind: IdKind,
  fp: string,
  localId: number,
): Promise<number | null> {
  return numberAt(await getText(tx, keys.idOf(kind, fp, localId)));
}

/** As `clusterIdOf`, for many: in the order of `localIds`, page by page. */
export async function clusterIdsOf(
  tx: Read,
  kind: IdKind,
  fp: string,
  localIds: readonly number[],
): Promise<(number | null)[]> {
  const ids: (number | null)[] = [];
  for (let at = 0; at < localIds.length; at += STORE_PAGE_ENTRIES) {
    const page = localIds.slice(at, at + STORE_PAGE_ENTRIES);
    const values = await tx.getMany(page.map((localId) => keys.idOf(kind, fp, localId)));
    ids.push(...values.map((value) => numberAt(value === null ? null : toText(value))));
  }
  return ids;
}

export async function localIdOf(tx: Read, kind: IdKind, fp: string, id: number): Promise<number | null> {
  return numberAt(await getText(tx, keys.localOf(kind, fp, id)));
}

function numberAt(text: string | null): number | null {
  return text === null ? null : Number(text);
}
