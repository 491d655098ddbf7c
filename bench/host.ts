/** A real host for benchmarks: functions on the embedded store, without an HTTP port. */
import type { Bus } from "../lib/bus/bus.ts";
import { createBroker } from "../lib/bus/in_process.ts";
import { credentials } from "../lib/cluster/credentials.ts";
import { createLog } from "../lib/log.ts";
import type { MeshFunction } from "../lib/mesh/function.ts";
import { type Host, startHost } from "../lib/mesh/host.ts";
import { printError } from "../lib/mesh/real_program.ts";
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { realNet } from "../lib/mesh/real_net.ts";
import { realProbe } from "../lib/mesh/real_probe.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import { createTrust } from "../lib/mesh/trust.ts";
import type { Scope } from "../lib/seams.ts";
import { generateIdentity, type Identity } from "../lib/secure/keys.ts";
import { openSqliteStore } from "../lib/store/sqlite.ts";
import type { Store } from "../lib/store/store.ts";

export const CLUSTER = "c-bench";

export interface BenchHost {
  host: Host;
  scope: Scope;
  store: Store;
  clusterKey: Identity;
  /** A client of the host's bus. */
  bus: Bus;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface BenchHostOptions {
  functions: readonly MeshFunction[];
  /** A file in a folder that is removed afterwards, every commit synced as in production; or memory. */
  medium: "file" | "memory";
  /** Connects to another bus than one in this process. */
  connect?: (scope: Scope) => Promise<Bus>;
}

export async function startBenchHost(options: BenchHostOptions): Promise<BenchHost> {
  const { functions, medium, connect } = options;
  const log = createLog({ level: "error", nowMs: Date.now, write: printError });
  const ending = new AbortController();
  const scope = realScope({ name: "bench", log, signal: ending.signal });
  const folder = await Deno.makeTempDir({ prefix: "salar-bench-" });
  const store = openSqliteStore({ path: medium === "memory" ? ":memory:" : `${folder}/salar.db` });
  const broker = createBroker(scope, { log });
  const open = connect ?? (() => Promise.resolve(broker.connect()));
  const [bus, own] = [await open(scope), await open(scope)];
  const net = realNet();
  const clusterKey = generateIdentity();
  const host = await startHost({
    functions,
    scope,
    store,
    bus: own,
    net,
    crypt: realCrypt(),
    signer: clusterKey,
    probe: realProbe(log),
    log,
    cluster: CLUSTER,
    replica: "bench",
    trust: createTrust(credentials),
    http: null,
  });
  return {
    host,
    scope,
    store,
    clusterKey,
    bus,
    async [Symbol.asyncDispose]() {
      await host.drain();
      await Promise.all([bus.close(), own.close()]);
      await store.close();
      ending.abort();
      net.close();
      await Deno.remove(folder, { recursive: true });
    },
  };
}
