// deno-lint-ignore-file no-console -- a program speaks through its console
/** What the small programs of the mesh tests share: a host on real parts that runs until a signal. */
import type { Bus } from "../../lib/bus/bus.ts";
import { createLog, type Log } from "../../lib/log.ts";
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { startHost } from "../../lib/mesh/host.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realNet } from "../../lib/mesh/real_net.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { runUntilSignal } from "../../lib/mesh/run.ts";
import { createTrust } from "../../lib/mesh/trust.ts";
import type { Scope } from "../../lib/seams.ts";
import { generateIdentity } from "../../lib/secure/keys.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";

export interface ChildOptions {
  functions: MeshFunction[];
  /** SQLite file of the store. */
  path: string;
  replica: string;
  openBus(scope: Scope, log: Log): Promise<Bus>;
}

/** Prints the host's address once it is up. */
export async function runChild({ functions, path, replica, openBus }: ChildOptions): Promise<void> {
  const log = createLog({ level: "info", nowMs: Date.now, write: (line) => console.error(line) });
  const scope = realScope({ name: "child", log });
  const store = openSqliteStore({ path });
  const bus = await openBus(scope, log);
  const net = realNet();
  const host = await startHost({
    functions,
    scope,
    store,
    bus,
    net,
    crypt: realCrypt(),
    signer: generateIdentity(),
    probe: realProbe(log),
    log,
    cluster: "c-test",
    replica,
    trust: createTrust({
      authenticate: () => Promise.resolve(null),
      identify: (_context, fps) => Promise.resolve(fps.map(() => null)),
    }),
    http: { hostname: "127.0.0.1", port: 0 },
  });
  console.log(host.url);
  await runUntilSignal([host], {
    log,
    async close() {
      await bus.close();
      await store.close();
      net.close();
    },
  });
}
