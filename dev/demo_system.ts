/**
 * One system of the demo: the real client agent's logic, with a minion that lives in memory.
 *
 * The minion reads its master from the files that the agent writes, as a real one does, and is connected when that
 * master's node is up and has accepted its key.
 */
import { runClientAgent } from "../agents/client/logic.ts";
import type { Minion } from "../agents/client/minion.ts";
import { clientTrust } from "../agents/client/trust.ts";
import type { Log } from "../lib/log.ts";
import type { Crypt, Disk, Net, Probe, Scope } from "../lib/seams.ts";
import type { Identity } from "../lib/secure/keys.ts";
import type { DemoNode } from "./demo_node.ts";

export interface DemoSystemOptions {
  name: string;
  identity: Identity;
  machineId: string;
  /** PEM of the minion's key. */
  minionKey: string;
  directorUrl: string;
  nodeOf(master: string): DemoNode | null;
  net: Net;
  disk: Disk;
  crypt: Crypt;
  probe: Probe;
  log: Log;
  joinToken(): Promise<string>;
}

/** Runs until the scope ends. */
export async function runDemoSystem(scope: Scope, options: DemoSystemOptions): Promise<void> {
  const { name, identity, crypt, log } = options;
  const minion = memoryMinion(options);
  await minion.restart(scope); // where it was before, if it was anywhere
  await runClientAgent(scope, {
    ...options,
    folder: `systems/${name}`,
    trust: clientTrust(identity, crypt),
    minion,
    log: log.with({ system: name }),
  });
}

function memoryMinion({ name, machineId, minionKey, disk, nodeOf }: DemoSystemOptions): Minion {
  const layout = {
    dropIn: `systems/${name}/zz-salar.conf`,
    masterKey: `systems/${name}/minion_master.pub`,
    kept: [],
  };
  let connectedTo: string | null = null;

  async function master(): Promise<string | null> {
    const bytes = await disk.read(layout.dropIn);
    return /^master: "([^"]+)"$/m.exec(new TextDecoder().decode(bytes ?? new Uint8Array()))?.[1] ?? null;
  }

  return {
    layout,
    async setting() {
      const named = await master();
      return {
        master: named,
        namedIn: named === null ? [] : [{ file: layout.dropIn, master: named }],
        problems: [],
      };
    },
    facts: () => Promise.resolve({ minionId: name, machineId, minionKey }),
    async restart() {
      connectedTo = null;
      const named = await master();
      const node = named === null ? null : nodeOf(named);
      if (await node?.connect({ minionId: name, machineId, minionKey })) connectedTo = named;
      return { ok: true };
    },
    verify(_scope, wanted) {
      const ok = connectedTo === wanted && (nodeOf(wanted)?.isUp() ?? false);
      return Promise.resolve(ok ? { ok } : { ok, reason: `master ${wanted} does not answer` });
    },
  };
}
