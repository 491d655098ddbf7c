/** `salar plans`: moves of many systems, as one piece of work. */
import { MOVE_STATES, PLAN_STATES } from "../../lib/cluster/types.ts";
import {
  budgetInputs,
  changing,
  type Command,
  type Group,
  listing,
  partsOf,
  PLAN,
  showing,
  WHY,
} from "../command.ts";
import { node, number, state, text, time } from "../columns.ts";
import { EXIT } from "../exit.ts";
import { at, isObject, textAt } from "../json.ts";
import { PLAN_COLUMNS, PLAN_DETAILS } from "../plan_view.ts";
import { openSession, printJson, say } from "../session.ts";
import { watchPlan } from "../watch.ts";

function transition(name: "pause" | "resume" | "cancel", purpose: string) {
  return changing({
    route: `plans.${name}`,
    purpose,
    inputs: [PLAN, WHY],
    said: "Plan {id} is {state}.",
    examples: [`plans ${name} 0mb2x1k9f-3qhq5tza`],
  });
}

const watch: Command = {
  name: "watch",
  purpose: "Follow a plan until it ends",
  inputs: [PLAN],
  examples: ["plans watch 0mb2x1k9f-3qhq5tza"],
  routes: ["plans.show"],
  async run({ world, given, flags }) {
    return await watchPlan(await openSession(world, flags), String(given["plan"]));
  },
};

const BUDGET = [PLAN, ...budgetInputs("body")];

const budget: Command = {
  name: "budget",
  purpose: "Change how many of a plan's moves run at once; what is not given stays",
  inputs: BUDGET,
  examples: ["plans budget 0mb2x1k9f-3qhq5tza --per-node 50"],
  routes: ["plans.budget", "plans.show"],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const { path = {}, body = {} } = await partsOf(session, BUDGET, given);
    // The route takes a whole budget, and a person thinks of one number of it.
    const present = at(await session.api.ask("plans.show", { path }), "budget");
    const plan = await session.api.ask("plans.budget", {
      path,
      body: { ...(isObject(present) ? present : {}), ...body },
    });
    if (flags.json) printJson(world, plan);
    const [perNode, perZone] = [textAt(plan, "budget.perNode"), textAt(plan, "budget.perZone")];
    say(world, `Plan ${textAt(plan, "id")} runs ${perNode} moves per node and ${perZone} per zone at once.`);
    return EXIT.ok;
  },
};

export const plans: Group = {
  name: "plans",
  alias: "plan",
  purpose: "Drains and moves, and how far they are",
  commands: [
    listing({
      route: "plans.list",
      purpose: "List plans, newest first",
      inputs: [{
        as: "--state <state>",
        about: "Only those",
        choices: PLAN_STATES,
        to: "query.state",
      }],
      columns: PLAN_COLUMNS,
      examples: ["plans list --state running", "plans list --limit 10"],
    }),
    showing({
      route: "plans.show",
      purpose: "Show one plan and its progress",
      inputs: [PLAN],
      columns: PLAN_DETAILS,
      examples: ["plans show 0mb2x1k9f-3qhq5tza"],
    }),
    listing({
      route: "plans.moves",
      purpose: "List a plan's moves",
      inputs: [PLAN, {
        as: "--state <state>",
        about: "Only those",
        choices: MOVE_STATES,
        to: "query.state",
      }],
      columns: [
        number("SYSTEM", "system"),
        node("FROM", "from"),
        node("TO", "to"),
        state(),
        time("DEADLINE", "deadlineAtMs"),
        text("REASON", "reason"),
      ],
      examples: ["plans moves 0mb2x1k9f-3qhq5tza --state back"],
    }),
    watch,
    transition("pause", "Begin no more moves; those under way end"),
    transition("resume", "Go on with a paused plan"),
    transition("cancel", "Begin no more moves, and give back those whose system has not been told yet"),
    budget,
  ],
};
