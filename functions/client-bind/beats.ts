/** Signs of life of client agents: where they are, and how far away that is. */
import { z } from "zod";
import { assert } from "../../lib/errors.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { SystemBeat } from "../../lib/cluster/protocol.ts";
import { getText, systemBeats } from "../../lib/cluster/records.ts";
import { SalarError } from "../../lib/errors.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";

/** Group commit of the store makes one sync of many of these; see `lib/store/sqlite.ts`. */
export const beatRoute = route({
  name: "beats.add",
  method: "POST",
  path: "/v1/beat",
  role: "system",
  summary: "Tell that a system lives, which master it follows, and how far that is",
  body: SystemBeat,
  reply: z.object({ ok: z.literal(true) }),
  async run({ store, scope }, { body, principal: { fp } }) {
    assert(fp !== null, "an agent has a fingerprint");
    await store.write(scope, async (tx) => {
      const id = await getText(tx, keys.systemByFp(fp));
      if (id === null) throw new SalarError("not-found", `Cannot take beat: no system has agent ${fp}`);
      systemBeats.put(tx, { v: 1, atMs: scope.nowMs(), ...body }, Number(id));
    });
    return done({ ok: true as const });
  },
});
