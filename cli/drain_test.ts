import assert from "node:assert/strict";
import { ADMIN_SILENT_MS_MAX } from "../lib/limits.ts";
import { EXIT } from "./exit.ts";
import { problem } from "./testing.ts";
import { withCluster } from "./testing_cluster.ts";
import { NodeView, Plan, Plans, SystemView } from "../tests/integration/director_replies.ts";

Deno.test("drain asks after the preview, moves on yes, and ends with the plan", async () => {
  await withCluster(async ({ rig, salar, step, nodes: { a1 } }) => {
    const { exit, stdout, stderr } = await salar(["node", "drain", "a1", "--why", "disks"], {
      terminal: true,
      env: { NO_COLOR: "1" },
      stdin: "y\n",
      sleep: () => step(),
    });
    assert.equal(exit, EXIT.ok, stderr);
    assert.match(
      stderr,
      /^3 of 3 systems would move\.\nTO +ZONE +SYSTEMS\na2\.example +a +3\nDrain a1 now\? \[y\/N\] Plan/,
    );
    assert.match(stderr, /\S+ {2}done {2}\[#{24}\] {2}3\/3 there\n$/);
    assert.ok(stderr.includes("\r\x1b[2K"), "the line is written over");
    assert.match(stdout, /^PLAN .*\n\S+ +drain +a1\.example +done +3\/3 +0 +0 +0 /);
    const node = await rig.ask(NodeView, "GET", `/v1/nodes/${a1.fp}`);
    assert.deepEqual([node.state, node.placed], ["drained", 0]);
  });
});

Deno.test("drain changes nothing on no, on --dry-run, and where nobody can be asked", async () => {
  await withCluster(async ({ rig, salar, nodes: { a1 } }) => {
    const no = await salar(["node", "drain", "a1"], { terminal: true, stdin: "\n" });
    assert.deepEqual([no.exit, no.stdout], [EXIT.failed, ""]);
    assert.match(no.stderr, /Nothing is changed\.\n$/);
    const dry = await salar(["node", "drain", "a1", "--dry-run"]);
    assert.equal(dry.exit, EXIT.ok);
    assert.match(dry.stdout, /^3 of 3 systems would move\.\n/);
    const json = JSON.parse((await salar(["node", "drain", "a1", "--dry-run", "--json"])).stdout);
    assert.deepEqual([json.plan, json.preview.total], [null, 3]);
    const nobody = await salar(["node", "drain", "a1"]);
    assert.deepEqual([nobody.exit, nobody.stdout], [EXIT.usage, ""]);
    assert.match(nobody.stderr, /give --yes or --dry-run/);
    assert.equal((await rig.ask(NodeView, "GET", `/v1/nodes/${a1.fp}`)).state, "accepted");
    assert.deepEqual((await rig.ask(Plans, "GET", "/v1/plans")).items, []);
  });
});

Deno.test("the preview names what cannot move, and why", async () => {
  await withCluster(async ({ salar, nodes: { a1 } }) => {
    await a1.show({ localId: 9, machineId: "9".repeat(32), minionId: "old.example" });
    const { stdout } = await salar(["node", "drain", "a1", "--dry-run"]);
    assert.match(stdout, /^3 of 4 systems would move, 1 cannot\.\n/);
    assert.match(stdout, /Stuck:\n +ID +SYSTEM +WHY\n\d+ +old\.example +no client agent/);
  });
});

Deno.test("a plan whose systems came back ends with exit code 6", async () => {
  await withCluster(async ({ salar, step }) => {
    const { exit, stdout, stderr } = await salar(["node", "drain", "a1", "--yes"], {
      sleep: () => step("back"),
    });
    assert.equal(exit, EXIT.planIncomplete, stderr);
    assert.match(stdout, /done +0\/3 +0 +3 +0 /);
    assert.match(stderr, /salar plans moves \S+ --state back\n$/);
  });
});

Deno.test("--no-wait prints the plan's id; another drain of the node says how to come back to it", async () => {
  await withCluster(async ({ salar, step }) => {
    const begun = await salar(["node", "drain", "a1", "--yes", "--no-wait"]);
    assert.match(begun.stdout, /^\S+\n$/);
    const id = begun.stdout.trim();
    const again = await salar(["node", "drain", "a1", "--yes"]);
    assert.equal(again.exit, EXIT.failed);
    assert.ok(again.stderr.includes(`Watch it: salar plans watch ${id}`), again.stderr);
    const watched = await salar(["plans", "watch", id, "--json"], { sleep: () => step() });
    assert.equal(watched.exit, EXIT.ok);
    assert.deepEqual(JSON.parse(watched.stdout).counts.there, 3);
  });
});

Deno.test("Ctrl-C ends the watching, not the plan, and says how to go on", async () => {
  await withCluster(async ({ rig, salar }) => {
    const ending = new AbortController();
    const { exit, stderr } = await salar(["node", "drain", "a1", "--yes"], {
      signal: ending.signal,
      sleep: () => Promise.resolve(ending.abort()),
    });
    assert.equal(exit, EXIT.interrupted);
    const [plan] = (await rig.ask(Plans, "GET", "/v1/plans")).items;
    assert.ok(plan);
    for (const command of ["watch", "pause", "cancel"]) {
      assert.ok(stderr.includes(`salar plans ${command} ${plan.id}`));
    }
    assert.equal(plan.state, "planning");
  });
});

Deno.test("a server that is away for a while does not end the watching", async () => {
  await withCluster(async ({ rig, salar, step }) => {
    let asked = 0;
    const { exit, stderr } = await salar(["node", "drain", "a1", "--yes"], {
      fetch: (request) => ++asked > 3 && asked < 30 ? Promise.resolve(away()) : rig.host.fetch(request),
      sleep: () => step(),
    });
    assert.equal(exit, EXIT.ok, stderr);
    assert.match(stderr, /the server does not answer; trying again/);
  });
});

Deno.test("a server that stays away ends the watching, and only that", async () => {
  await withCluster(async ({ rig, salar }) => {
    let asked = 0;
    let sleptMs = 0;
    const { exit, stderr } = await salar(["node", "drain", "a1", "--yes"], {
      fetch: (request) => ++asked > 3 ? Promise.resolve(away()) : rig.host.fetch(request),
      sleep: (ms) => Promise.resolve(void (sleptMs += ms)),
    });
    assert.equal(exit, EXIT.unreachable);
    assert.ok(sleptMs >= ADMIN_SILENT_MS_MAX && sleptMs < 2 * ADMIN_SILENT_MS_MAX, `after ${sleptMs} ms`);
    assert.match(stderr, /goes on without you/);
  });
});

const away = () => problem("unavailable", 503, "Cannot serve now: store", { retryAfterMs: 500 });

Deno.test("systems move goes where it is told, or says where it would go", async () => {
  await withCluster(async ({ rig, salar, step, systems: [system], nodes: { b1 } }) => {
    assert.equal((await salar(["system", "move", "s0", "--dry-run"])).stdout, "a2.example\n");
    const { exit, stderr } = await salar(["system", "move", "s0", "--to", "b1"], { sleep: () => step() });
    assert.equal(exit, EXIT.ok, stderr);
    assert.equal((await rig.ask(SystemView, "GET", `/v1/systems/${system?.id}`)).node, b1.fp);
  });
});

Deno.test("plans: list, moves, budget, pause, resume, cancel", async () => {
  await withCluster(async ({ rig, salar }) => {
    const id = (await salar(["node", "drain", "a1", "--yes", "--no-wait", "--per-node", "2"])).stdout.trim();
    await rig.tick("advance");
    const plan = () => rig.ask(Plan, "GET", `/v1/plans/${id}`);
    assert.deepEqual((await plan()).budget, { perNode: 2, perZone: 100 });
    assert.equal((await salar(["plan", "budget", id, "--per-zone", "5"])).exit, EXIT.ok);
    assert.deepEqual((await plan()).budget, { perNode: 2, perZone: 5 }, "what is not given stays");
    assert.match((await salar(["plan", "pause", id])).stderr, new RegExp(`Plan ${id} is paused`));
    assert.match((await salar(["plan", "show", id])).stdout, /^STATE +paused$/m);
    assert.equal((await salar(["plan", "resume", id])).exit, EXIT.ok);
    const moves = (await salar(["plan", "moves", id])).stdout;
    assert.match(
      moves,
      /^ +SYSTEM +FROM +TO +STATE +DEADLINE +REASON\n(\d+ +a1\.example +a2\.example .*\n){3}$/,
    );
    assert.equal((await salar(["plan", "cancel", id, "--why", "wrong node"])).exit, EXIT.ok);
    assert.equal(
      (await salar(["plans", "watch", id], { sleep: () => rig.tick("advance") })).exit,
      EXIT.planIncomplete,
    );
    assert.match(
      (await salar(["plans", "list"])).stdout,
      new RegExp(`^${id} +drain +a1\\.example +cancelled`, "m"),
    );
  });
});
