/**
 * What a node's agent tells of a run that it does: begun, how far, ended. The answer says whether it shall stop, and
 * gives a staging its join token: made when it begins and in this answer only, so that the store never holds it.
 */
import { subjects } from "../../lib/bus/subjects.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { NodeRun, type RunAnswer } from "../../lib/cluster/protocol.ts";
import { runById } from "../../lib/cluster/records.ts";
import { beginRun, endRun, heard, putRunToken, RUNS_OVER } from "../../lib/cluster/running.ts";
import type { Run } from "../../lib/cluster/types.ts";
import { assert, SalarError } from "../../lib/errors.ts";
import { done, handler } from "../../lib/mesh/handler.ts";
import { type MintedToken, mintJoinToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";

export const runHandler = handler({
  name: "run",
  subject: subjects.nodeRun("*"),
  signedBy: { role: "node", kind: "node.run" },
  input: NodeRun,
  async run(context, told, { from }) {
    assert(from.fp !== null, "a signed message has a sender");
    const fp = from.fp;
    const minted = mintJoinToken(context.scope.random.bytes(TOKEN_RANDOM_BYTES), context.signer.fp);
    const run = await change(context, { who: from.id }, async (c) => {
      const run = await runById(c.tx, told.run);
      // As if it were not there: an agent learns nothing of the runs of others.
      if (run.by !== fp) {
        throw new SalarError("not-found", `Cannot find run "${told.run}": it is not this node's`);
      }
      return await afterwards(c, run, { told, minted });
    });
    const stop = run.state === "cancelling" || RUNS_OVER.includes(run.state);
    const token = told.what === "begin" && run.staging !== null && !stop ? minted.token.reveal() : null;
    return done<RunAnswer>({ ok: true, stop, token });
  },
});

async function afterwards(
  c: Change,
  run: Run,
  { told, minted }: { told: NodeRun; minted: MintedToken },
): Promise<Run> {
  switch (told.what) {
    case "begin": {
      const begun = beginRun(c, run);
      return begun.state === "running" ? await putRunToken(c, begun, minted) : begun;
    }
    case "progress":
      return heard(c, beginRun(c, run), told.progress);
    case "end":
      return await endRun(c, run, told.end);
  }
}
