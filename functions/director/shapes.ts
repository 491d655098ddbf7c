/** Shapes that several of the director's routes share: pages, who asked, revisions. */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { PAGE_LIMIT, PAGE_LIMIT_MAX } from "../../lib/limits.ts";
import { ClusterId, Fp } from "../../lib/cluster/types.ts";
import type { RouteInput } from "../../lib/mesh/route.ts";

export const PageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(PAGE_LIMIT_MAX).default(PAGE_LIMIT)
    .describe("At most this many items"),
  cursor: z.string().regex(/^[A-Za-z0-9_./-]{1,200}$/).optional().describe("`next` of the page before"),
});
/** The cursor of a list by cluster id. */
export const IdCursor = z.coerce.number().pipe(ClusterId).optional();

/** A page of items; `next` is null on the last one. A page may hold fewer items than asked and still have a next. */
export function pageOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}

export const Why = z.string().max(500).default("").describe("Reason, kept in the audit");
export const FpParams = z.object({ fp: Fp });

/** `If-Match` names the revision that the caller has seen. @throws {SalarError} `stale` */
export function requireRevision(ifMatch: string | null, revision: number, what: string): void {
  if (ifMatch === null || ifMatch === String(revision)) return;
  throw new SalarError(
    "stale",
    `Cannot change ${what}: you have seen revision ${ifMatch}, it is now ${revision}`,
    {
      detail: { revision },
    },
  );
}

/** What `change()` needs to know of a request. */
export function asked(
  { principal, token }: Pick<RouteInput<unknown, unknown, unknown>, "principal" | "token">,
) {
  return { who: principal.id, token };
}
