/**
 * Moves money between accounts: `store_processes_child.ts FILE SEED TRANSFERS`; eight transfers at once.
 * Every transfer also counts itself, in one counter that all processes share.
 */
import { realScope } from "../../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";
import type { Write } from "../../lib/store/store.ts";
import { ACCOUNTS, numberOf, toValue } from "./store_accounts.ts";

const AT_ONCE = 8;
const [path = "", seed = "", transfers = ""] = Deno.args;
const scope = realScope({ name: "processes child" });
const store = openSqliteStore({ path });

async function mover(first: number): Promise<void> {
  for (let n = first; n < Number(transfers); n += AT_ONCE) {
    const from = (n * 7 + Number(seed)) % ACCOUNTS;
    const to = (from + 1 + n % (ACCOUNTS - 1)) % ACCOUNTS;
    await store.write(scope, async (tx) => {
      await add(tx, `account/${from}`, -1);
      await add(tx, `account/${to}`, 1);
      await add(tx, `count/${n % 4}`, 1);
    });
  }
}

async function add(tx: Write, key: string, amount: number): Promise<void> {
  tx.put(key, toValue(numberOf(await tx.get(key)) + amount));
}

await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => mover(i)));
await store.close();
