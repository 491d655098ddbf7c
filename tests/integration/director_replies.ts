/** What the director answers, by the schemas of its own routes: tests read answers through these. */
import { z } from "zod";
import { DrainPreview } from "../../functions/director/drain.ts";
import { ForcePreview } from "../../functions/director/force_remove.ts";
import { NodeView } from "../../functions/director/nodes.ts";
import { pageOf } from "../../functions/director/shapes.ts";
import { JoinTokenView } from "../../functions/director/tokens.ts";
import { AuditEntry, Move, Plan, Run, System, Zone } from "../../lib/cluster/types.ts";

export { SystemView } from "../../functions/director/systems.ts";
export { NodeView, Plan, Run, Zone };

export const Nodes = pageOf(NodeView);
export const Systems = pageOf(System);
export const JoinTokens = pageOf(JoinTokenView);
export const Plans = pageOf(Plan);
export const Moves = pageOf(Move);
export const Events = pageOf(AuditEntry);
/** A plan has begun. */
export const Begun = z.object({ plan: Plan });
/** `dryRun` of a drain. */
export const Previewed = z.object({ preview: DrainPreview });
export const Removed = z.object({ node: NodeView });
export const ForcePreviewed = z.object({ node: NodeView, preview: ForcePreview });
export const Runs = pageOf(Run);
/** A staging has begun: by its tool with a token, by a node's agent without. */
export const Staged = z.object({ run: Run, token: z.string().nullable() });
