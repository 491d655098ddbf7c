import assert from "node:assert/strict";
import { nodeFacts } from "../lib/cluster/testing.ts";
import { runHosts } from "../lib/nanostate/run/hosts.ts";
import { type Answer, farm, target } from "../lib/nanostate/run/testing.ts";
import { NodeView, Run, Runs } from "../tests/integration/director_replies.ts";
import { EXIT } from "./exit.ts";
import type { Ran, TestOptions } from "./testing.ts";
import { type TestCluster, withCluster } from "./testing_cluster.ts";

const HOST = "n9.example";
const STATE = `
id: node-staging
description: Stages
import: []
state:
  stop:
    - shell:
        - stop: "stop {param('zone')} {param('wipe', 'no')}"
  agent:
    - shell:
        - token: "install {secret('join_token')} {secret('pass')}"
  start:
    - shell:
        - start: "start"
`;
const FILES = { "/states/node-staging.st": STATE, "/here/pass": "a-password\n" };
const SECRET = ["--secret", "pass=file:pass"];

interface Staging extends TestCluster {
  /** `salar node stage n9.example --zone a` with more. */
  stage(more?: readonly string[], options?: TestOptions): Promise<Ran>;
  /** Command lines that ran on the host. */
  lines: string[];
  run(): Promise<Run>;
  node(): Promise<NodeView | undefined>;
}

/** A host whose agent enrols with the token that it is given. `answer` may make a command end otherwise. */
async function withStaging(
  test: (staging: Staging) => Promise<void>,
  answer: (name: string, cluster: TestCluster) => Answer | null | Promise<Answer | null> = () => null,
): Promise<void> {
  await withCluster(async (cluster) => {
    const { rig, salar } = cluster;
    const lines: string[] = [];
    const hosts = farm(() => ({
      async answer(step, run, name) {
        if (run.check) return { outcome: "unknown" };
        const line = step.kind === "shell" ? step.commands.find((each) => each.name === name)?.run ?? "" : "";
        lines.push(line);
        const other = await answer(name, cluster);
        if (other !== null) return other;
        const token = /^install (\S+)/.exec(line)?.[1];
        if (token !== undefined) {
          const key = rig.newKey();
          const { status } = await rig.enrol("node", key, { ...nodeFacts("n9", key), name: HOST, token });
          if (status !== 200) return { rc: 1, stderr: `enrolment gives ${status}` };
        }
        return { rc: 0 };
      },
    }));
    await test({
      ...cluster,
      lines,
      stage: (more = SECRET, options = {}) =>
        salar(["node", "stage", HOST, "--zone", "a", ...more], {
          nanostates: {
            shipped: "/states",
            ways: () => ({ address }) => Promise.resolve(target(address).transport),
            run: (wanted) => runHosts(hosts.start, wanted),
          },
          ...options,
          files: { ...FILES, ...options.files },
        }),
      async run() {
        const [run, ...others] = (await rig.ask(Runs, "GET", "/v1/runs")).items;
        assert.ok(run !== undefined && others.length === 0);
        return await rig.ask(Run, "GET", `/v1/runs/${run.id}`);
      },
      async node() {
        const page = await rig.must("GET", "/v1/nodes");
        return NodeView.array().parse(Object(page).items).find(({ name }) => name === HOST);
      },
    });
  });
}

Deno.test("stage runs the state with the join token, and ends with a staged node that can be accepted", async () => {
  await withStaging(async ({ stage, lines, run, node, salar }) => {
    const { exit, stdout, stderr } = await stage([...SECRET, "--wipe", "--why", "more room"]);
    assert.equal(exit, EXIT.ok, stderr);
    assert.match(lines.join("\n"), /^stop a yes\ninstall sj1\.\S+ a-password\nstart$/);
    assert.match(stdout, /^RUN +STATE +IS .*\n\S+ +node-staging +done +- +n9\.example +3\/3/);
    assert.match(stderr, /n9\.example is staged; it takes systems after: salar nodes accept [0-9a-f]{64}/);
    const { state, params, progress, reason } = await run();
    assert.deepEqual([state, params, progress.done, reason], ["done", { wipe: "yes", zone: "a" }, 3, ""]);
    assert.equal((await node())?.state, "staged");
    assert.equal((await salar(["node", "accept", HOST])).exit, EXIT.ok);
  });
});

Deno.test("no secret is in what stage prints, in the store, in the result or in a log", async () => {
  await withStaging(async ({ rig, stage, run, lines }) => {
    const { stdout, stderr } = await stage();
    const token = /sj1\.\S+/.exec(lines.join())?.[0] ?? "";
    assert.ok(token !== "");
    const result = await rig.must("GET", `/v1/runs/${(await run()).id}/result`);
    const kept: string[] = [];
    await rig.read(async (tx) => {
      for (const { value } of await tx.scan({ from: "a", to: "~" }, { limit: 10_000 })) {
        kept.push(new TextDecoder().decode(value));
      }
    });
    assert.ok(kept.some((text) => text.includes("node-staging")), "the store was read");
    const all = [stdout, stderr, JSON.stringify(result), JSON.stringify(rig.lines), ...kept].join("\n");
    for (const secret of ["a-password", token, token.split(".")[2] ?? token]) {
      assert.ok(!all.includes(secret), secret);
    }
  });
});

Deno.test("a state that fails ends stage with the reason and the way back, on the node, too", async () => {
  await withStaging(
    async ({ stage, run, node }) => {
      const { exit, stderr } = await stage();
      assert.equal(exit, EXIT.failed);
      assert.match(stderr, /is failed: start\/0 \(.*node-staging\.st:\d+:\d+\), start: .*no disk/);
      assert.match(
        stderr,
        /To bring the host back to what it was: salar state apply node-restore --host n9\.example/,
      );
      assert.equal((await run()).state, "failed");
      const found = await node();
      assert.deepEqual([found?.state, found?.reason.includes("node-restore --host n9.example")], [
        "failed",
        true,
      ]);
      assert.equal((await stage()).exit, EXIT.failed, "again, from where it was");
    },
    (name) => name === "start" ? { rc: 3, stderr: "no disk\n" } : null,
  );
});

Deno.test("a dry run asks the cluster, checks the machine, and begins nothing", async () => {
  await withStaging(async ({ rig, stage, lines }) => {
    const { exit, stderr } = await stage([...SECRET, "--dry-run"]);
    assert.equal(exit, EXIT.ok, stderr);
    assert.match(stderr, /Nothing is changed, and nothing has begun\.\n$/);
    assert.deepEqual([lines, (await rig.ask(Runs, "GET", "/v1/runs")).items], [[], []]);
    const refused = await stage([...SECRET, "--dry-run", "--zone", "nowhere"]);
    assert.equal(refused.exit, EXIT.notFound);
  });
});

Deno.test("what is wrong here is told before the cluster hears of it; what it refuses, before the machine does", async () => {
  await withStaging(async ({ rig, stage, lines }) => {
    for (
      const [more, exit, told] of [
        [["--secret", "pass=file:gone"], EXIT.usage, /there is no file gone/],
        [["--secret", "pass=secret-value"], EXIT.usage, /its source is env:VARIABLE, file:PATH or prompt/],
        [[...SECRET, "--state", "other"], EXIT.notFound, /Cannot find the state "other"/],
        [[...SECRET, "--no-wait"], EXIT.usage, /give --via NODE/],
        [["--via", "a1", ...SECRET], EXIT.usage, /via a node with --secret\n.*no password passes that way/s],
        [["--via", "a1", "--become-password", "prompt"], EXIT.usage, /via a node with --become-password/],
      ] as const
    ) {
      const ran = await stage(more);
      assert.equal(ran.exit, exit, ran.stderr);
      assert.match(ran.stderr, told);
      assert.ok(!ran.stderr.includes("secret-value"));
    }
    assert.deepEqual((await rig.ask(Runs, "GET", "/v1/runs")).items, []);
    await rig.node(HOST, { zone: "a" });
    const { exit, stderr } = await stage();
    assert.equal(exit, EXIT.failed);
    assert.match(
      stderr,
      /Cannot stage "n9\.example": it is node "n9\.example", accepted; drain and remove it first/,
    );
    assert.deepEqual(lines, []);
  });
});

Deno.test("Ctrl-C ends it on the machine, and the cluster hears that at once", async () => {
  const ending = new AbortController();
  await withStaging(
    async ({ stage, run, node }) => {
      const { exit } = await stage(SECRET, { signal: ending.signal });
      assert.equal(exit, EXIT.interrupted);
      assert.equal((await run()).state, "cancelled");
      assert.equal((await node())?.state, "failed");
    },
    (name) => {
      if (name === "start") ending.abort();
      return null;
    },
  );
});

Deno.test("a staging that is cancelled in the cluster ends here within RUN_PROGRESS_MS", async () => {
  await withStaging(
    async ({ stage, run }) => {
      const { exit, stderr } = await stage();
      assert.equal(exit, EXIT.failed);
      assert.match(stderr, /is cancelled: /);
      assert.equal((await run()).state, "cancelled");
    },
    async (name, { salar, rig }) => {
      if (name !== "start") return null;
      const [run] = (await rig.ask(Runs, "GET", "/v1/runs")).items;
      assert.equal((await salar(["runs", "cancel", run?.id ?? ""])).exit, EXIT.ok);
      return await new Promise<null>(() => {}); // the command goes on until it is ended
    },
  );
});

Deno.test("via a node: its agent is told, and the tool only watches", async () => {
  await withStaging(async ({ rig, stage, lines, nodes: { a1 }, run }) => {
    const begun = await stage(["--via", "a1", "--no-wait"]);
    assert.equal(begun.exit, EXIT.ok, begun.stderr);
    const { id, state, by } = await run();
    assert.deepEqual([begun.stdout, state, by], [id + "\n", "waiting", a1.fp]);
    const [told] = await a1.fetch();
    assert.ok(told?.kind === "directive.state.run");
    await a1.tell({ what: "begin", run: id });
    assert.deepEqual(lines, []);
    assert.equal((await stage(["--via", "a1"])).exit, EXIT.failed, "one at a time");
    await a1.tell({
      what: "end",
      run: id,
      end: { outcome: "failed", reason: "no way there", progress: null, result: null },
    });
    await rig.tick("runs");
    assert.equal((await run()).state, "failed");
  });
});
