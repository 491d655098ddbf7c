/**
 * Directives to client agents by long poll, and the reports that answer them.
 *
 * L1. A poll that finds nothing waits for a hint on the bus; the hint may be lost, so the wait ends with one more look.
 * L2. Subscribing comes before the first look, or a directive given between the two would wait for the next poll.
 */
import { z } from "zod";
import { subjects } from "../../lib/bus/subjects.ts";
import { assert, isSalarError, SalarError } from "../../lib/errors.ts";
import { LONG_POLL_MS } from "../../lib/limits.ts";
import { change } from "../../lib/cluster/change.ts";
import { arrived, giveUp } from "../../lib/cluster/moving.ts";
import { Directives, MoveReport } from "../../lib/cluster/protocol.ts";
import { directivesAfter, takeReported } from "../../lib/cluster/outbox.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";

export const directivesRoute = route({
  name: "directives.list",
  method: "GET",
  path: "/v1/directives",
  role: "system",
  summary: "Get the directives after a number; waits for one when there is none",
  query: z.object({
    after: z.coerce.number().int().min(0).describe("The last directive that is done"),
    waitMs: z.coerce.number().int().min(0).max(LONG_POLL_MS).default(0),
  }),
  reply: Directives,
  waits: true,
  async run(context, { query: { after, waitMs }, principal: { fp } }) {
    assert(fp !== null, "an agent has a fingerprint");
    const now = await directivesAfter(context, fp, after);
    if (now.directives.length > 0 || waitMs === 0) return done(now);
    return done(await waitForHint(context, fp, waitMs, () => directivesAfter(context, fp, after)));
  },
});

async function waitForHint(
  { scope, bus }: Context,
  fp: string,
  waitMs: number,
  look: () => Promise<Directives>,
): Promise<Directives> {
  const hint = Promise.withResolvers<void>();
  const subscription = await bus.subscribe(
    scope,
    subjects.hint(fp),
    {},
    () => Promise.resolve(hint.resolve()),
  );
  try {
    const found = await look(); // L2
    if (found.directives.length > 0) return found;
    await scope.timeout(waitMs, () => hint.promise).catch((error) => {
      if (!isSalarError(error, "deadline")) throw error;
    });
    return await look(); // L1
  } finally {
    await subscription.drain();
  }
}

export const reportRoute = route({
  name: "reports.add",
  method: "POST",
  path: "/v1/reports",
  role: "system",
  summary: "Tell how a directive ended: there, or back at the old master",
  body: MoveReport,
  reply: z.object({ ok: z.literal(true) }),
  async run(context, { body, principal: { fp, id: who } }) {
    assert(fp !== null, "an agent has a fingerprint");
    await change(context, { who }, async (c) => {
      // The directive is read from the outbox: an agent can speak of what it was told only.
      const entry = await takeReported(c.tx, fp, body.seq);
      if (entry === null) return; // reported before
      if (entry.kind !== "directive.move" || entry.epoch !== body.epoch) {
        throw new SalarError("conflict", `Cannot take report: directive ${body.seq} has another epoch`);
      }
      const { plan, system } = entry.body;
      const reason = body.reason || "its new master did not answer";
      if (body.outcome === "there") await arrived(c, plan, system, body.epoch);
      else await giveUp(c, plan, system, { reason, told: true });
    });
    return done({ ok: true as const });
  },
});
