/** Plans: list, show with progress, list moves, pause, resume, cancel. */
import { z } from "zod";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { moves, planById, plans } from "../../lib/cluster/records.ts";
import { Budget, Move, MoveState, Plan, PlanState } from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route, tagged } from "../../lib/mesh/route.ts";
import { enterPlanState, putPlan } from "./plan_records.ts";
import { asked, IdCursor, pageOf, PageQuery, requireRevision, Why } from "./shapes.ts";

const PlanId = z.string().regex(/^[0-9a-z]{9,12}-[0-9a-z]{8}$/, "a plan id");
const PlanParams = z.object({ plan: PlanId });

const list = route({
  name: "plans.list",
  method: "GET",
  path: "/v1/plans",
  role: "viewer",
  summary: "List plans, newest first",
  query: PageQuery.extend({ cursor: PlanId.optional(), state: PlanState.optional() }),
  reply: pageOf(Plan),
  async run({ store, scope }, { query }) {
    const page = await store.read(scope, (tx) =>
      plans.scan(tx, keys.plans, {
        limit: query.limit,
        reverse: true,
        after: query.cursor && keys.plan(query.cursor),
      }));
    const all = page.map(({ value }) => value);
    const items = query.state === undefined ? all : all.filter(({ state }) => state === query.state);
    return done({ items, next: all.length < query.limit ? null : all.at(-1)?.id ?? null });
  },
});

const show = route({
  name: "plans.show",
  method: "GET",
  path: "/v1/plans/{plan}",
  role: "viewer",
  summary: "Show one plan and its progress",
  params: PlanParams,
  reply: Plan,
  async run({ store, scope }, { params }) {
    const plan = await store.read(scope, (tx) => planById(tx, params.plan));
    return done(tagged(plan, String(plan.revision)));
  },
});

const listMoves = route({
  name: "plans.moves",
  method: "GET",
  path: "/v1/plans/{plan}/moves",
  role: "viewer",
  summary: "List a plan's moves, of one state if asked",
  params: PlanParams,
  query: PageQuery.extend({ cursor: IdCursor, state: MoveState.optional() }),
  reply: pageOf(Move),
  async run({ store, scope }, { params, query }) {
    return done(
      await store.read(scope, async (tx) => {
        await planById(tx, params.plan);
        const page = await moves.scan(tx, keys.moves(params.plan), {
          limit: query.limit,
          after: query.cursor === undefined ? undefined : keys.move(params.plan, query.cursor),
        });
        const all = page.map(({ value }) => value);
        const items = query.state === undefined ? all : all.filter(({ state }) => state === query.state);
        const last = all.at(-1);
        return { items, next: last === undefined || all.length < query.limit ? null : String(last.system) };
      }),
    );
  },
});

/** Pause, resume and cancel are one route each, alike but for the event. */
function transition(event: "pause" | "resume" | "cancel", summary: string) {
  return route({
    name: `plans.${event}`,
    method: "POST",
    path: `/v1/plans/{plan}/${event}`,
    role: "operator",
    summary,
    params: PlanParams,
    body: z.object({ why: Why }),
    reply: Plan,
    async run(context, input) {
      const plan = await change(context, asked(input), async (c) => {
        const plan = await planById(c.tx, input.params.plan);
        requireRevision(input.ifMatch, plan.revision, `plan "${plan.id}"`);
        return enterPlanState(c, plan, event, input.body.why);
      });
      return done(tagged(plan, String(plan.revision)));
    },
  });
}

const setBudget = route({
  name: "plans.budget",
  method: "PUT",
  path: "/v1/plans/{plan}/budget",
  role: "operator",
  summary: "Change how many of a plan's moves run at once",
  params: PlanParams,
  body: Budget,
  reply: Plan,
  async run(context, input) {
    const plan = await change(context, asked(input), async (c) => {
      const plan = await planById(c.tx, input.params.plan);
      requireRevision(input.ifMatch, plan.revision, `plan "${plan.id}"`);
      c.record({ what: "plan.budget", target: `plan:${plan.id}`, why: "", detail: { ...input.body } });
      return putPlan(c, { ...plan, budget: input.body });
    });
    return done(tagged(plan, String(plan.revision)));
  },
});

export const planRoutes = [
  list,
  show,
  listMoves,
  transition("pause", "Begin no more moves; those under way end"),
  transition("resume", "Go on with a paused plan"),
  transition("cancel", "Begin no more moves and give back those whose system has not been told yet"),
  setBudget,
];
