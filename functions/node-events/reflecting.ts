/** What a changed row means for the cluster: ids, systems, and the proof that a moved system has arrived. */
import { z } from "zod";
import type { Change } from "../../lib/cluster/change.ts";
import { rows } from "../../lib/cluster/records.ts";
import { channelShown, profileShown } from "../../lib/cluster/showing.ts";
import { MachineId, MinionId } from "../../lib/cluster/types.ts";
import { vanish, type Vanished } from "./vanishing.ts";

/** An id of a node's database: what is no number is no row of Uyuni. */
const LocalId = z.string().regex(/^\d{1,15}$/);
const NAME_CHARS_MAX = 253;

type Values = Record<string, string | null>;
type RowPair = { before: Values | null; after: Values | null };

/** Part of a node's changes, in one transaction. */
export interface Part {
  c: Change;
  fp: string;
  /** Profiles that the part took away. */
  vanished: Vanished[];
}

/** Carries one row's change into the cluster's own records. */
export async function reflect(part: Part, table: string, { before, after }: RowPair): Promise<void> {
  const { c, fp, vanished } = part;
  if (table === "rhnchannel" && after?.["label"]) {
    const localId = LocalId.safeParse(after["id"]);
    if (localId.success) await channelShown(c, fp, { localId: Number(localId.data), label: after["label"] });
  }
  if (table === "rhnserver" || table === "suseminioninfo") {
    const serverId = LocalId.safeParse((after ?? before)?.[table === "rhnserver" ? "id" : "server_id"]);
    if (!serverId.success) return;
    const gone = after === null ? await vanish(c, fp, Number(serverId.data)) : null;
    if (gone !== null) vanished.push(gone);
    if (after !== null) await profileSeen(c, fp, serverId.data);
  }
}

/** A profile is two rows, which may come in any order: nothing happens before both are there. */
async function profileSeen(c: Change, fp: string, serverId: string): Promise<void> {
  const server = (await rows.get(c.tx, fp, "rhnserver", serverId))?.row;
  const minion = (await rows.get(c.tx, fp, "suseminioninfo", serverId))?.row;
  const machineId = MachineId.safeParse(server?.["machine_id"]);
  const minionId = MinionId.safeParse(minion?.["minion_id"]);
  if (!machineId.success || !minionId.success) return;

  await profileShown(c, fp, {
    localId: Number(serverId),
    machineId: machineId.data,
    minionId: minionId.data,
    name: (server?.["name"] || minionId.data).slice(0, NAME_CHARS_MAX),
  });
}
