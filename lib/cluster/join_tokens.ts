/**
 * The uses of a join token: counted in parts, so that the many machines of one image enrol side by side.
 *
 * J1. A token's uses are shared out among JOIN_TOKEN_PARTS counters, or one each where it has fewer; a use takes from one
 *     with some left. The shares add up to what the token allows, and two that take from one counter meet: never is
 *     there one use more.
 * J2. Whoever finds a part used up looks at all: a token is refused only when it is used up.
 * J3. A use meets the revocation of its token.
 */
import { JOIN_TOKEN_PARTS } from "../limits.ts";
import { entries } from "../store/record.ts";
import type { Read, Write } from "../store/store.ts";
import type { Change } from "./change.ts";
import { keys } from "./keys.ts";
import { joinUses } from "./records.ts";
import type { JoinToken } from "./types.ts";

/** Takes one use of the token; false when there is none left. */
export async function takeUse(
  { tx, draw }: Pick<Change, "tx" | "draw">,
  { id, uses }: Pick<JoinToken, "id" | "uses">,
): Promise<boolean> {
  tx.lock(keys.joinToken(id)); // J3
  const parts = Math.min(uses, JOIN_TOKEN_PARTS);
  // Drawn: those who come at once, and those who lost a part to another, spread.
  if (await takeFrom(tx, id, uses, draw(parts))) return true;
  const taken = await usesByPart(tx, id);
  const free = Array.from({ length: parts }, (_, part) => part)
    .filter((part) => (taken.get(part) ?? 0) < shareOf(part, uses));
  const part = free.length === 0 ? undefined : free[draw(free.length)]; // J2
  return part !== undefined && await takeFrom(tx, id, uses, part);
}

/** How many enrolments the token still allows. */
export async function usesLeft(tx: Read, { id, uses }: Pick<JoinToken, "id" | "uses">): Promise<number> {
  const taken = await usesByPart(tx, id);
  return uses - [...taken.values()].reduce((sum, used) => sum + used, 0);
}

/** Removes the token and what was counted of it. */
export async function removeJoinToken(tx: Write, id: string): Promise<void> {
  tx.delete(keys.joinToken(id));
  for await (const { key } of entries(tx, keys.joinUses(id))) tx.delete(key); // JOIN_TOKEN_PARTS at most
}

async function takeFrom(tx: Write, id: string, uses: number, part: number): Promise<boolean> {
  const used = (await joinUses.get(tx, id, part))?.used ?? 0;
  if (used >= shareOf(part, uses)) return false;
  joinUses.put(tx, { v: 1, part, used: used + 1 }, id, part);
  return true;
}

async function usesByPart(tx: Read, id: string): Promise<Map<number, number>> {
  const all = await Array.fromAsync(joinUses.all(tx, keys.joinUses(id)));
  return new Map(all.map(({ part, used }) => [part, used]));
}

/** J1. How many of `uses` fall to a part. */
function shareOf(part: number, uses: number): number {
  return Math.floor(uses / JOIN_TOKEN_PARTS) + (part < uses % JOIN_TOKEN_PARTS ? 1 : 0);
}
