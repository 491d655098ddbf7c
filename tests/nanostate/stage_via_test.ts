/** A node's agent stages another machine: over real SSH with its own key, by a state of its own folder. */
import assert from "node:assert/strict";
import { runNodeAgent } from "../../agents/node/logic.ts";
import { nanostateRunner } from "../../agents/node/real_state_runner.ts";
import { writeState } from "../../agents/node/state.ts";
import { memoryDisk, ModelNode } from "../../agents/node/testing.ts";
import { nodeTrust } from "../../agents/node/trust.ts";
import { director } from "../../functions/director/director.ts";
import { nodeEvents } from "../../functions/node-events/node_events.ts";
import { clientBind } from "../../functions/client-bind/client_bind.ts";
import { ClusterRig, nodeFacts } from "../../lib/cluster/testing.ts";
import { silentLog } from "../../lib/log.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realDisk } from "../../lib/mesh/real_disk.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import { CLUSTER, clusterKey } from "../../lib/mesh/testing.ts";
import { NodeView, Run, Staged } from "../integration/director_replies.ts";
import { type Host, type Hosts, startHosts } from "../parts/hosts.ts";
import { waitFor } from "../parts/wait.ts";

const END_MS_MAX = 60_000;
/** The second group waits until somebody has enrolled the machine, as the real one waits for its agent. */
const STATE = `id: node-staging
description: Leaves the token, and waits for the agent
import: []
state:
  token:
    - shell:
        - token: {run: "umask 77; cat > /root/token <<'END'\\n{secret('join_token')}\\nEND", creates: /root/token}
  verified:
    - shell:
        - enrolled: "for n in $(seq 300); do [ -e /root/enrolled ] && exit 0; sleep 0.1; done; exit 1"
  zone:
    - shell:
        - zone: "echo {param('zone')} > /root/zone"
`;

interface Helper extends AsyncDisposable {
  rig: ClusterRig;
  fp: string;
  states: string;
  stage(host: string): Promise<Run>;
  /** As it ended. */
  ended(run: Run): Promise<Run>;
}

/** A cluster, and one node in it whose agent runs here. */
async function startHelper(
  { privateKeyPath, knownHostsPath }: Pick<Hosts, "privateKeyPath" | "knownHostsPath">,
): Promise<Helper> {
  const rig = await ClusterRig.start([director, nodeEvents, clientBind]);
  await rig.must("POST", "/v1/zones", { name: "z" });
  const key = rig.newKey();
  const token = await rig.joinToken("node", "z");
  assert.equal((await rig.enrol("node", key, { ...nodeFacts("helper", key), token })).status, 200);
  const folder = await Deno.makeTempDir();
  const states = `${folder}/states`;
  await Deno.mkdir(states);
  await Deno.writeTextFile(`${states}/node-staging.st`, STATE);
  const disk = memoryDisk();
  await writeState(disk, "/agent", {
    v: 1,
    fp: key.fp,
    zone: "z",
    cluster: CLUSTER,
    clusterKey: clusterKey.spki.toBase64(),
    done: 0,
    reports: [],
  });
  const ending = new AbortController();
  const ssh = { keyFile: privateKeyPath, knownHostsFile: knownHostsPath, user: "root" };
  const agent = runNodeAgent(rig.context.scope.child("agent", ending.signal), {
    bus: rig.context.bus,
    disk,
    folder: "/agent",
    trust: nodeTrust(key, realCrypt()),
    api: new ModelNode(),
    source: null,
    probe: realProbe(silentLog),
    log: silentLog,
    runner: nanostateRunner({
      disk: realDisk(),
      statesFolders: [states],
      secretsFolder: `${folder}/secrets`,
      ansibleFolder: null,
      ssh,
    }),
  }).catch(() => {});
  const runAt = (id: string) => rig.ask(Run, "GET", `/v1/runs/${id}`);
  return {
    rig,
    fp: key.fp,
    states,
    stage: async (host) => {
      const body = { host, zone: "z", via: key.fp };
      return (await rig.ask(Staged, "POST", "/v1/stagings", body)).run;
    },
    ended: ({ id }) =>
      waitFor(`the end of run ${id}`, END_MS_MAX, async () => {
        const run = await runAt(id);
        if (run.endedAtMs === null) throw new Error(JSON.stringify(run));
        return run;
      }),
    async [Symbol.asyncDispose]() {
      ending.abort();
      await agent;
      await rig.end();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

const nameOf = ({ address, port }: Host) => `${address}:${port}`;

/** The machine's agent enrols with the token that lies there. */
async function enrolOn({ rig }: Helper, host: Host): Promise<string> {
  const token = await waitFor("the token on the machine", END_MS_MAX, async () => {
    const { stdout } = await host.exec("cat /root/token");
    return stdout.trim();
  });
  const key = rig.newKey();
  const answer = await rig.enrol("node", key, { ...nodeFacts(host.name, key), token });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  await host.exec("touch /root/enrolled");
  return key.fp;
}

Deno.test("a node's agent stages a machine over SSH; what fails there is told with its reason", async () => {
  await using hosts = await startHosts({ count: 2 });
  const [first, second] = hosts.list;
  assert.ok(first !== undefined && second !== undefined);
  await using helper = await startHelper(hosts);
  const { rig } = helper;

  const staging = await helper.stage(nameOf(first));
  const fp = await enrolOn(helper, first);
  const run = await helper.ended(staging);
  assert.deepEqual([run.state, run.progress.done, run.progress.total], ["done", 3, 3], run.reason);
  assert.equal((await rig.ask(NodeView, "GET", `/v1/nodes/${fp}`)).state, "staged");
  assert.equal((await first.exec("cat /root/zone")).stdout, "z\n");

  const other = await helper.stage(nameOf(second));
  const otherFp = await enrolOn(helper, second);
  await second.exec("mkdir /root/zone");
  const failed = await helper.ended(other);
  assert.equal(failed.state, "failed");
  assert.match(failed.reason, /^zone\/0 \(.*node-staging\.st:\d+:\d+\), zone: exit code \d+: .*directory/i);
  const { state, reason } = await rig.ask(NodeView, "GET", `/v1/nodes/${otherFp}`);
  assert.equal(state, "failed");
  assert.match(reason, /to bring it back: salar state apply node-restore --host/);
  const said = JSON.stringify([await rig.must("GET", `/v1/runs/${run.id}/result`), rig.lines]);
  assert.ok(!said.includes("sj1."), "the join token is said nowhere");
});

Deno.test("a machine whose key is not known, or that is not there, fails the staging without a login", async () => {
  await using hosts = await startHosts({ count: 1 });
  const [host] = hosts.list;
  assert.ok(host !== undefined);
  const empty = await Deno.makeTempFile();
  try {
    await using helper = await startHelper({ ...hosts, knownHostsPath: empty });
    const run = await helper.ended(await helper.stage(nameOf(host)));
    assert.equal(run.state, "failed");
    assert.match(run.reason, /key/i);
    await host.stop();
    const gone = await helper.ended(await helper.stage(nameOf(host)));
    assert.equal(gone.state, "failed");
    assert.match(gone.reason, /Cannot connect|refused/i);
  } finally {
    await Deno.remove(empty);
  }
});

Deno.test("cancelled in the cluster, nothing of the staging runs on the machine any more", async () => {
  await using hosts = await startHosts({ count: 1 });
  const [host] = hosts.list;
  assert.ok(host !== undefined);
  await using helper = await startHelper(hosts);
  const run = await helper.stage(nameOf(host));
  const runs = async (text: string) => (await host.processes()).some((line) => line.includes(text));
  await waitFor("the step that waits", END_MS_MAX, () => runs("/root/enrolled"));
  await helper.rig.must("POST", `/v1/runs/${run.id}/cancel`, { why: "enough" });
  assert.equal((await helper.ended(run)).state, "cancelled");
  await waitFor("an idle machine", END_MS_MAX, async () => (await host.processes()).length === 0);
});
