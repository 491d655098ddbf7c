import assert from "node:assert/strict";
import { isSalarError, SalarError } from "../../lib/errors.ts";
import type { Net } from "../../lib/seams.ts";
import { dropInText } from "./minion.ts";
import { type Commands, findSalt, saltMinion } from "./salt_minion.ts";
import { Clock, type Files, memoryDisk, PEM_A } from "./testing.ts";

const FOLDER = "/etc/salt";
const DROP_IN = "/etc/salt/minion.d/zz-salar.conf";

function filesOf(texts: Record<string, string>): Files {
  return new Map(Object.entries(texts).map(([path, text]) => [path, new TextEncoder().encode(text)]));
}

/** A minion over these files, with answers by the words of the call: exit code and what Salt returns. */
function minionOver(
  files: Files,
  answers: Record<string, [code: number, value?: unknown]> = {},
  net: Partial<Net> = {},
) {
  const calls: string[] = [];
  const commands: Commands = {
    run(_scope, argv) {
      const call = argv.join(" ");
      calls.push(call);
      const answer = Object.entries(answers).find(([words]) => call.includes(words));
      assert.ok(answer, `unexpected call: ${call}`);
      const [code, value] = answer[1];
      return Promise.resolve({
        code,
        stdout: value === undefined ? "no JSON" : JSON.stringify({ local: value }),
      });
    },
  };
  const reachable: Net = {
    request: () => Promise.reject(new Error("no HTTP")),
    connectMs: () => Promise.resolve(1),
  };
  const minion = saltMinion({
    disk: memoryDisk(files),
    net: { ...reachable, ...net },
    commands,
    configFolder: FOLDER,
    restart: ["restart-it"],
    saltCall: ["salt-call"],
    verifyMs: 5_000,
  });
  return { minion, calls };
}

Deno.test("findSalt() prefers Uyuni's bundle, and finds nothing where there is nothing", async () => {
  const classic = { "/r/etc/salt/minion.d/susemanager.conf": "master: a\n" };
  const bundle = { "/r/etc/venv-salt-minion/minion": "" };
  assert.equal(await findSalt(memoryDisk(new Map()), "/r"), null);
  assert.equal((await findSalt(memoryDisk(filesOf(classic)), "/r"))?.configFolder, "/r/etc/salt");
  const both = await findSalt(memoryDisk(filesOf({ ...classic, ...bundle })), "/r");
  assert.deepEqual(both, {
    kind: "bundle",
    configFolder: "/r/etc/venv-salt-minion",
    service: "venv-salt-minion",
    saltCall: "venv-salt-call",
  });
});

Deno.test("setting() takes the last file that names a master, in Salt's order", async () => {
  const cases: [Record<string, string>, string | null][] = [
    [{}, null],
    [{ [`${FOLDER}/minion`]: "# only a comment\n" }, null],
    [{ [`${FOLDER}/minion`]: "master: main\n" }, "main"],
    [{ [`${FOLDER}/minion`]: "master: main\n", [`${FOLDER}/minion.d/a.conf`]: "master: 'a' # old\n" }, "a"],
    [{ [`${FOLDER}/minion.d/b.conf`]: "master: b\n", [`${FOLDER}/minion.d/a.conf`]: "master: a\n" }, "b"],
    [{ [`${FOLDER}/minion.d/B.conf`]: "master: B\n", [`${FOLDER}/minion.d/a.conf`]: "master: a\n" }, "a"],
    [{ [`${FOLDER}/minion.d/a.conf`]: '{"id": "x", "master": "json"}' }, "json"],
    [{ [`${FOLDER}/minion.d/a.conf`]: "master:\n  - one\n  - two\n" }, "one,two"],
    [{ [`${FOLDER}/minion.d/a.conf`]: "grains:\n  master: nested\n" }, null],
    [
      {
        [`${FOLDER}/minion.d/.hidden.conf`]: "master: x\n",
        [`${FOLDER}/minion.d/a.conf.bak`]: "master: y\n",
      },
      null,
    ],
    [{ [`${FOLDER}/minion.d/susemanager.conf`]: "master: a\n", [DROP_IN]: dropInText("b") }, "b"],
  ];
  for (const [texts, master] of cases) {
    const setting = await minionOver(filesOf(texts)).minion.setting();
    assert.equal(setting.master, master, JSON.stringify(texts));
    assert.deepEqual(setting.problems, []);
  }
});

Deno.test("setting() names every file with a master, and what would outdo the drop-in", async () => {
  const { minion } = minionOver(filesOf({
    [`${FOLDER}/minion`]: "master: main\n",
    [`${FOLDER}/minion.d/broken.conf`]: "master: [a\n",
    [`${FOLDER}/minion.d/list.conf`]: "- a\n",
    [`${FOLDER}/minion.d/zzz.conf`]: "master: late\n",
  }));
  const { namedIn, problems } = await minion.setting();
  assert.deepEqual(namedIn, [
    { file: `${FOLDER}/minion`, master: "main" },
    { file: `${FOLDER}/minion.d/zzz.conf`, master: "late" },
  ]);
  assert.deepEqual(problems, [
    `${FOLDER}/minion.d/broken.conf cannot be read as YAML: mend it`,
    `${FOLDER}/minion.d/list.conf cannot be read as YAML: mend it`,
    `${FOLDER}/minion.d/zzz.conf names a master and is read after ${DROP_IN}: rename it or take the line out`,
  ]);
});

Deno.test("facts() come from Salt's grains and its key file", async () => {
  const key = { [`${FOLDER}/pki/minion/minion.pub`]: PEM_A };
  const machineId = "ab".repeat(16);
  const grains = { id: "client-1", machine_id: machineId };
  const { minion } = minionOver(filesOf(key), { "grains.item id machine_id": [0, grains] });
  assert.deepEqual(await minion.facts(new Clock().scope()), {
    minionId: "client-1",
    machineId,
    minionKey: PEM_A,
  });
});

Deno.test("facts() says what is missing on a minion that was never started", async () => {
  const { minion } = minionOver(new Map(), { "grains.item": [0, { id: "../etc" }] });
  await assert.rejects(minion.facts(new Clock().scope()), (error) => {
    assert.ok(isSalarError(error, "unavailable"));
    assert.match(error.message, /minion id, grain machine_id, key pki\/minion\/minion\.pub not usable/);
    return true;
  });
});

Deno.test("restart() tells the exit code of its command", async () => {
  const { minion } = minionOver(new Map(), { "restart-it": [5] });
  assert.deepEqual(await minion.restart(new Clock().scope()), {
    ok: false,
    reason: "the minion's restart ended with code 5",
  });
});

const CONNECTED = "--local status.master b connected=False";

/** Runs `verify` to its end in virtual time. */
async function verify(answers: Record<string, [number, unknown?]>, net: Partial<Net> = {}) {
  const { minion, calls } = minionOver(new Map(), answers, net);
  const clock = new Clock();
  const holder: { outcome?: unknown } = {};
  const run = minion.verify(clock.scope(), "b").then((outcome) => holder.outcome = outcome);
  await clock.runUntil("the verdict", () => holder.outcome !== undefined);
  return { outcome: await run, calls, tookMs: clock.ms };
}

Deno.test("verify() is content only when the daemon is connected and the master answers", async () => {
  const good = await verify({ [CONNECTED]: [0, true], "test.ping": [0, true] });
  assert.deepEqual(good.outcome, { ok: true });
  assert.deepEqual(good.calls, [
    `salt-call -c ${FOLDER} --out=json ${CONNECTED}`,
    `salt-call -c ${FOLDER} --out=json test.ping`,
  ]);
});

Deno.test("verify() gives up after its limit, with the first thing that was missing", async () => {
  const refused: Partial<Net> = {
    connectMs: () => Promise.reject(new SalarError("unavailable", "Cannot reach b: refused")),
  };
  const cases: [Record<string, [number, unknown?]>, Partial<Net>, RegExp][] = [
    [{}, refused, /^nobody answers at b:4505 /],
    [{ [CONNECTED]: [0, false] }, {}, /^the minion has not connected to b: /],
    [{ [CONNECTED]: [124] }, {}, /^the minion has not connected to b: /],
    [{ [CONNECTED]: [0, true], "test.ping": [124] }, {}, /^b does not answer salt-call$/],
    [{ [CONNECTED]: [0, true], "test.ping": [0, false] }, {}, /^b does not answer salt-call$/],
    [{ [CONNECTED]: [0, true], "test.ping": [0] }, {}, /^b does not answer salt-call$/],
  ];
  for (const [answers, net, reason] of cases) {
    const { outcome, tookMs } = await verify(answers, net);
    assert.ok(!outcome.ok);
    assert.match(outcome.reason, reason);
    assert.equal(tookMs, 5_000);
  }
});

Deno.test("verify() waits for a minion that connects late", async () => {
  const answers: Record<string, [number, unknown?]> = { [CONNECTED]: [0, false], "test.ping": [0, true] };
  const { minion } = minionOver(new Map(), answers);
  const clock = new Clock();
  const holder: { ok?: boolean } = {};
  minion.verify(clock.scope(), "b").then(({ ok }) => holder.ok = ok);
  await clock.runUntil("some tries", () => clock.ms >= 3_000);
  answers[CONNECTED] = [0, true];
  await clock.runUntil("the verdict", () => holder.ok !== undefined);
  assert.equal(holder.ok, true);
});
