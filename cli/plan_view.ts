/** What is shown of a plan. */
import { node, number, ratio, state, text, time } from "./columns.ts";

export const PLAN_COLUMNS = [
  text("PLAN", "id"),
  text("KIND", "kind"),
  node("NODE", "node"),
  state(),
  ratio("THERE", "counts.there", "counts.total"),
  number("ACTIVE", "counts.active"),
  number("BACK", "counts.back"),
  number("STUCK", "counts.stuck"),
  time("BEGUN", "createdAtMs"),
];

export const PLAN_DETAILS = [
  ...PLAN_COLUMNS,
  number("QUEUED", "counts.queued"),
  time("ENDED", "endedAtMs"),
  time("DEADLINE", "deadlineAtMs"),
  number("PER NODE", "budget.perNode"),
  number("PER ZONE", "budget.perZone"),
  text("BY", "who"),
  text("REASON", "reason"),
  number("REVISION", "revision"),
];
