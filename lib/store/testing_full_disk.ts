/** Commits until the disk refuses, then prints what happened as JSON: `testing_full_disk.ts FILE`, see its test. */
import { isSalarError } from "../errors.ts";
import { realScope } from "../mesh/real_scope.ts";
import { openSqliteStore } from "./sqlite.ts";

const WRITES_MAX = 1_000;
const scope = realScope({ name: "full disk" });
const store = openSqliteStore({ path: Deno.args[0] ?? "" });

async function commitUntilRefused(): Promise<{ acked: number; error: unknown }> {
  for (let acked = 0; acked < WRITES_MAX; acked++) {
    try {
      await store.write(scope, (tx) => Promise.resolve(tx.put(`k/${acked}`, new Uint8Array(20_000))));
    } catch (error) {
      return {
        acked,
        error: isSalarError(error) ? { code: error.code, message: error.message } : String(error),
      };
    }
  }
  return { acked: WRITES_MAX, error: "none" };
}

const outcome = await commitUntilRefused();
const rows = await store.read(scope, (tx) => tx.scan({ from: "", to: "z" }, { limit: 10_000 }));
const line = JSON.stringify({ ...outcome, readable: rows.length });
await Deno.stdout.write(new TextEncoder().encode(line));
