/** Answers "what is there after number n?" for any agent, with signed directives. See `outbox.ts` for the rules. */
import type { Context } from "../mesh/context.ts";
import { handOut, hasNews } from "./outbox.ts";
import type { Directives } from "./protocol.ts";
import { directiveFor } from "./statements.ts";

/** Writes only when there is something to hand out or to forget: an idle poll costs one read. */
export async function directivesAfter(context: Context, fp: string, after: number): Promise<Directives> {
  const { store, scope } = context;
  if (!await store.read(scope, (tx) => hasNews(tx, fp, after))) return { directives: [], last: after };
  const { entries, last } = await store.write(scope, (tx) => handOut(tx, fp, after));
  return { directives: entries.map((entry) => directiveFor(context, fp, entry)), last };
}
