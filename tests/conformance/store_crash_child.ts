/**
 * Commits batches until it is killed: `store_crash_child.ts FILE ROUND`.
 *
 * Each batch writes `batch/ROUND/WRITER-N/0…4` and the keys `hot/WRITER/0…2`, all with one value, and is then printed as
 * `WRITER-N`, one a line: an acknowledged batch. Four writers at once, so that commits are grouped.
 */
import { realScope } from "../../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";

const WRITERS = 4;
const BATCHES_MAX = 100_000;
const [path = "", round = ""] = Deno.args;
const scope = realScope({ name: "crash child" });
const store = openSqliteStore({ path });
const encoder = new TextEncoder();

async function writer(writer: number): Promise<void> {
  for (let n = 0; n < BATCHES_MAX; n++) {
    const name = `${writer}-${n}`;
    const small = encoder.encode(`${round}/${name}`);
    await store.write(scope, (tx) => {
      for (let part = 0; part < 5; part++) tx.put(`batch/${round}/${name}/${part}`, small);
      // Some are long, so that a commit spans many pages of the log.
      const hot = n % 5 === 0 ? encoder.encode(`${round}/${name}`.padEnd(30_000, " ")) : small;
      for (let part = 0; part < 3; part++) tx.put(`hot/${writer}/${part}`, hot);
      return Promise.resolve();
    });
    Deno.stdout.writeSync(encoder.encode(`${name}\n`));
  }
}

await Promise.all(Array.from({ length: WRITERS }, (_, i) => writer(i)));
