/** Directives to node agents: handed out on request, and what their reports set going. */
import { z } from "zod";
import { subjects } from "../../lib/bus/subjects.ts";
import { change } from "../../lib/cluster/change.ts";
import { giveUp, prepared } from "../../lib/cluster/moving.ts";
import { Directives, Fetch, NodeReport } from "../../lib/cluster/protocol.ts";
import { directivesAfter, takeReported } from "../../lib/cluster/outbox.ts";
import { runs } from "../../lib/cluster/records.ts";
import { endRun } from "../../lib/cluster/running.ts";
import { done, handler } from "../../lib/mesh/handler.ts";
import { assert } from "../../lib/errors.ts";

export const fetchHandler = handler({
  name: "fetch",
  subject: subjects.nodeFetch("*"),
  signedBy: { role: "node", kind: "node.fetch" },
  input: Fetch,
  async run(context, { after }, { from }) {
    assert(from.fp !== null, "a signed message has a sender");
    return done<z.infer<typeof Directives>>(await directivesAfter(context, from.fp, after));
  },
});

/**
 * A report tells how a directive ended. The directive itself is read from the outbox and not from the report: an agent
 * can speak of what it was told only, and a report that comes twice finds the move gone on.
 */
export const reportHandler = handler({
  name: "report",
  subject: subjects.nodeReport("*"),
  signedBy: { role: "node", kind: "node.report" },
  input: NodeReport,
  async run(context, report, { from }) {
    const fp = from.fp;
    assert(fp !== null, "a signed message has a sender");
    await change(context, { who: from.id }, async (c) => {
      const entry = await takeReported(c.tx, fp, report.seq);
      if (entry === null) return; // reported before
      if (entry.kind === "directive.key.accept") {
        const { plan, system } = entry.body;
        if (report.outcome === "done") await prepared(c, plan, system);
        else await giveUp(c, plan, system, { reason: report.reason || "refused by the target node" });
        return;
      }
      if (entry.kind === "directive.state.run" && report.outcome === "refused") {
        const run = await runs.get(c.tx, entry.body.run);
        const end = { outcome: "failed" as const, reason: report.reason, progress: null, result: null };
        if (run !== null) await endRun(c, run, end);
        return;
      }
      if (report.outcome === "refused") {
        c.record({
          what: `${entry.kind}.refused`,
          target: `node:${fp}`,
          why: report.reason,
          detail: { seq: report.seq },
        });
      }
    });
    return done({ ok: true });
  },
});
