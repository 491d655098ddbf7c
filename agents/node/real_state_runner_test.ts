import assert from "node:assert/strict";
import type { RunProgress } from "../../lib/cluster/types.ts";
import { realDisk } from "../../lib/mesh/real_disk.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { type NanostateOptions, nanostateRunner } from "./real_state_runner.ts";
import type { RunOrder } from "./state_runner.ts";

const STATE = `
id: marker
description: Leaves a mark
import: []
state:
  mark:
    - shell:
        - mark: {run: "echo '{colour()}' > {file()}", creates: "{file()}"}
  told:
    - shell:
        - say: {run: "echo {secret('join_token')}; echo {secret('pass')} >&2; exit 3"}
    - shell:
        - never: "true"
  after:
    - shell:
        - never: "true"
`;
const FUNCTIONS = `
function file() return param("file") end
function colour() return param("colour") end
`;

async function withFolder(
  test: (at: { folder: string; options: NanostateOptions }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/states`);
    await Deno.mkdir(`${folder}/secrets`);
    await Deno.writeTextFile(`${folder}/states/marker.st`, STATE);
    await Deno.writeTextFile(`${folder}/states/marker.fn`, FUNCTIONS);
    await Deno.writeTextFile(`${folder}/states/broken.st`, "id: broken\nstate:\n  a b c\n");
    await Deno.writeTextFile(`${folder}/secrets/pass`, "hidden-away\n");
    await test({
      folder,
      options: {
        disk: realDisk(),
        statesFolders: [`${folder}/none`, `${folder}/states`],
        secretsFolder: `${folder}/secrets`,
        ansibleFolder: null,
        ssh: null,
      },
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const order = (folder: string, more: Partial<RunOrder> = {}): RunOrder => ({
  nanostate: "marker",
  check: false,
  host: null,
  params: { file: `${folder}/mark`, colour: "red" },
  ...more,
});

Deno.test("nanostateRunner() refuses what is not in its folders, a state that is wrong, and a host without a key", async () => {
  await withFolder(async ({ folder, options }) => {
    const runner = nanostateRunner(options);
    assert.equal(await runner.refusal(order(folder)), null);
    assert.match(
      await runner.refusal(order(folder, { nanostate: "other" })) ?? "",
      /^it has no state "other" in .*none, .*states$/,
    );
    assert.match(
      await runner.refusal(order(folder, { nanostate: "broken" })) ?? "",
      /^its state is wrong: .*broken\.st/,
    );
    assert.match(
      await runner.refusal(order(folder, { host: "h" })) ?? "",
      /no key to reach hosts with \(stagingKeyFile\).*no password passes this way/,
    );
  });
});

Deno.test("nanostateRunner() runs a state here, tells each step, and what failed, without a secret", async () => {
  await withFolder(async ({ folder, options }) => {
    const runner = nanostateRunner(options);
    const scope = realScope({ name: "test" });
    const told: RunProgress[] = [];
    const onProgress = (progress: RunProgress) => void told.push(progress);
    const joinToken = "sj1.token-of-a-staging";

    const checked = await runner.run(scope, order(folder, { check: true }), { joinToken, onProgress });
    assert.deepEqual(
      [checked.outcome, checked.progress?.counts.failed],
      ["done", 0],
      JSON.stringify(checked),
    );
    await assert.rejects(Deno.stat(`${folder}/mark`), Deno.errors.NotFound, "a check changes nothing");

    told.length = 0;
    const end = await runner.run(scope, order(folder), { joinToken, onProgress });
    assert.equal(await Deno.readTextFile(`${folder}/mark`), "red\n");
    assert.equal(end.outcome, "failed");
    assert.match(end.reason, /^told\/0 \(.*marker\.st:\d+:\d+\), say: .*\*{8}$/);
    assert.deepEqual([end.progress?.done, end.progress?.total, end.progress?.counts.notRun], [2, 4, 2]);
    assert.deepEqual(told.map(({ done, total }) => [done, total]).at(-1), [4, 4]);
    assert.ok(told.some(({ step }) => step === "told/0"));
    assert.equal(end.result?.["Id"], "marker");
    const all = JSON.stringify([end, told]);
    assert.ok(!all.includes("hidden-away") && !all.includes("token-of-a-staging"), all);
  });
});

Deno.test("nanostateRunner() ends with its scope, and leaves no process", async () => {
  await withFolder(async ({ folder, options }) => {
    const state =
      `id: long\ndescription: d\nimport: []\nstate:\n  wait:\n    - shell:\n        - wait: "echo $$ > {file()}; exec sleep 600"\n`;
    await Deno.writeTextFile(`${folder}/states/long.st`, state);
    await Deno.writeTextFile(`${folder}/states/long.fn`, FUNCTIONS);
    const ending = new AbortController();
    const scope = realScope({ name: "test", signal: ending.signal });
    const pidFile = `${folder}/pid`;
    const running = nanostateRunner(options).run(
      scope,
      order(folder, { nanostate: "long", params: { file: pidFile } }),
      { joinToken: null, onProgress: () => {} },
    );
    const pid = await textOf(pidFile);
    ending.abort();
    const end = await running;
    assert.equal(end.outcome, "cancelled");
    await assert.rejects(Deno.stat(`/proc/${pid.trim()}`), Deno.errors.NotFound);
  });
});

/** What the file holds, as soon as it holds anything. */
async function textOf(path: string): Promise<string> {
  for (let tries = 0; tries < 500; tries++) {
    const text = await Deno.readTextFile(path).catch(() => "");
    if (text.endsWith("\n")) return text;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${path} was not written within 10 s`);
}
