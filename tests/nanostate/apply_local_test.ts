/** `salar state apply --host local`: real modules of both lines of Ansible, on this machine, below one folder. */
import assert from "node:assert/strict";
import { ANSIBLE_VERSIONS, ensureAnsible } from "../parts/ansible.ts";
import { waitFor } from "../parts/wait.ts";
import { apply, inFolder, processesWith, type Ran, startApply } from "./apply_cli.ts";

const ENDED_MS_MAX = 10_000;
const COUNTS = { ok: 0, changed: 0, failed: 0, skipped: 0, unknown: 0, notRun: 0, hosts: 1, unreachable: 0 };

function counts({ summary }: Ran): Record<string, unknown> {
  return Object.fromEntries(Object.keys(COUNTS).map((name) => [name, summary[name]]));
}

/** Modules alone, with parts on the host, with files of ours, and shell steps; everything lies in the folder. */
const MODULES = (folder: string) => `
id: modules
description: Every way a module is done
import: []
state:
  folders:
    - ansible.file: {path: ${folder}/out, state: directory, mode: "0750"}
  contents:
    - ansible.copy: {dest: ${folder}/out/text, content: "one\\ntwo\\n"}
    - ansible.copy: {src: data/file, dest: ${folder}/out/file, mode: preserve}
    - ansible.copy: {src: data/tree/, dest: ${folder}/out/tree/}
    - ansible.lineinfile: {path: ${folder}/out/lines, line: three, create: true}
    - ansible.assemble: {src: ${folder}/out/tree, dest: ${folder}/out/assembled}
  commands:
    - ansible.command: {cmd: "touch ${folder}/out/made", creates: ${folder}/out/made}
    - shell:
        - mark: {run: "echo x > ${folder}/out/mark", creates: ${folder}/out/mark}
        - look: {run: "cat ${folder}/out/mark", changed: never}
  brings:
    - ansible.fetch: {src: ${folder}/out/text, dest: got/, flat: true}
  people ?root:
    - ansible.stat: {path: ${folder}/out}
`;
const FILES = {
  "data/file": "a file\n",
  "data/tree/a": "1\n",
  "data/tree/b": "2\n",
  "modules.fn": 'function root() return fact("user_id") == "root" end\n',
};

for (const version of ANSIBLE_VERSIONS) {
  Deno.test(`modules of ansible-core ${version}: what a check says is what an apply does, and then nothing is left`, async () => {
    const { package: ansible } = await ensureAnsible(version);
    await inFolder(FILES, async (folder) => {
      await Deno.writeTextFile(`${folder}/modules.st`, MODULES(folder));
      const run = (...args: string[]) =>
        apply(folder, ["modules.st", "--host", "local", "--ansible", ansible, "--json", ...args]);

      const check = await run("--check");
      assert.deepEqual([check.code, check.summary["failed"]], [2, 0], check.stdout + check.stderr);

      const first = await run();
      assert.deepEqual([first.code, counts(first)], [0, { ...COUNTS, changed: 9, ok: 2 }], first.stdout);
      assert.equal(await Deno.readTextFile(`${folder}/out/lines`), "three\n");
      assert.equal(await Deno.readTextFile(`${folder}/out/tree/b`), "2\n");
      assert.equal(await Deno.readTextFile(`${folder}/got/text`), "one\ntwo\n");

      const second = await run();
      assert.deepEqual([second.code, counts(second)], [0, { ...COUNTS, ok: 10, skipped: 1 }], second.stdout);
    });
  });
}

const SHELL = (folder: string) => `
id: shell
state:
  a:
    - shell:
        - make: {run: "echo made > ${folder}/made", creates: ${folder}/made}
        - look: {run: "cat ${folder}/made", changed: never}
`;

Deno.test("shell steps need no Ansible; check, apply, check again: the exit codes and the last line tell", async () => {
  await inFolder({}, async (folder) => {
    await Deno.writeTextFile(`${folder}/shell.st`, SHELL(folder));
    const run = (...args: string[]) => apply(folder, ["shell.st", "--host", "local", "--json", ...args]);
    const seen = [];
    for (const args of [["--check"], [], [], ["--check"]]) {
      const { code, summary, stderr } = await run(...args);
      assert.equal(stderr, "");
      seen.push([
        code,
        summary["mode"],
        summary["changed"],
        summary["ok"],
        summary["skipped"],
        summary["exit"],
      ]);
    }
    assert.deepEqual(seen, [
      [2, "check", 1, 0, 1, 2],
      [0, "apply", 1, 1, 0, 0],
      [0, "apply", 0, 1, 1, 0],
      [0, "check", 0, 1, 1, 0],
    ]);
  });
});

Deno.test("a failure is shown with its place and its own words; its group ends, the next one runs; exit code 1", async () => {
  const state = `id: s
state:
  a:
    - shell: [{bad: "echo why >&2; exit 3"}]
    - shell: [{after: "true"}]
  b:
    - shell: [{other: {run: "true", changed: never}}]
`;
  await inFolder({ "s.st": state }, async (folder) => {
    const { code, stdout } = await apply(folder, ["s.st", "--host", "local"]);
    assert.equal(code, 1);
    assert.equal(
      stdout,
      `local
  failed   a/0  shell bad  (s.st:4:7)
           exit code 3
           why
  not-run  a/1  shell after  (s.st:5:7)
           the step a/0 failed

HOST   OK  CHANGED  FAILED  SKIPPED  UNKNOWN  NOT RUN
local   1        0       1        0        0        1
`,
    );
  });
});

Deno.test("a stored plan is carried out as it was looked at, and not on a host that has moved on", async () => {
  const { package: ansible } = await ensureAnsible("2.19.14");
  await inFolder({}, async (folder) => {
    await Deno.writeTextFile(
      `${folder}/s.st`,
      `id: s\nstate:\n  a:\n    - ansible.copy: {dest: ${folder}/text, content: "new\\n"}\n`,
    );
    await Deno.writeTextFile(`${folder}/text`, "old\n");
    const run = (...args: string[]) =>
      apply(folder, ["s.st", "--host", "local", "--ansible", ansible, ...args]);
    const check = await run("--check", "--out", "plan.json");
    assert.equal(check.code, 2, check.stderr);
    assert.match(check.stdout, /^ {11}-old\n {11}\+new$/m);

    await Deno.writeTextFile(`${folder}/text`, "somebody was here\n");
    const refused = await run("--plan", "plan.json");
    assert.equal(refused.code, 1);
    assert.match(refused.stdout, /a\/0 \(ansible\.builtin\.copy\) would change something else than it said/);
    assert.equal(await Deno.readTextFile(`${folder}/text`), "somebody was here\n");

    await Deno.writeTextFile(`${folder}/text`, "old\n");
    const applied = await run("--plan", "plan.json");
    assert.equal(applied.code, 0, applied.stdout + applied.stderr);
    assert.equal(await Deno.readTextFile(`${folder}/text`), "new\n");
  });
});

Deno.test("a secret reaches the host and nothing that is printed", async () => {
  const { package: ansible } = await ensureAnsible("2.14.18");
  const secret = `p'a"s\\s wörd`;
  await inFolder(
    { "secret.txt": `${secret}\n`, "s.fn": 'function key() return secret("db") end\n' },
    async (folder) => {
      await Deno.writeTextFile(
        `${folder}/s.st`,
        `id: s
import: []
state:
  a:
    - ansible.copy: {dest: ${folder}/kept, content: "key={key()}"}
    - ansible.command: {argv: [printf, "%s", "{key()}"]}
    - shell: [{quoted: {run: "cat ${folder}/kept; exit 4"}}]
`,
      );
      const { stdout, stderr } = await apply(folder, [
        ...[
          "s.st",
          "--host",
          "local",
          "--ansible",
          ansible,
          "--json",
          "--diff",
          "--secret",
          "db=file:secret.txt",
        ],
      ]);
      assert.equal(await Deno.readTextFile(`${folder}/kept`), `key=${secret}`);
      const inner = JSON.stringify(secret).slice(1, -1);
      for (const form of [secret, inner, JSON.stringify(inner).slice(1, -1), "s wörd", "s w\\u00f6rd"]) {
        assert.equal((stdout + stderr).includes(form), false, form);
      }
      assert.match(stdout, /"stdout":"key=\*{8}"/);
    },
  );
});

const LONG = (folder: string) => `
id: long
state:
  a:
    - shell: [{sleep: "touch ${folder}/begun; exec sleep 300"}]
    - shell: [{after: "touch ${folder}/after"}]
`;

async function begun(folder: string): Promise<void> {
  await waitFor("the step", 20_000, () => Deno.stat(`${folder}/begun`));
}

Deno.test("Ctrl-C ends everything, and says what was left", async () => {
  await inFolder({}, async (folder) => {
    await Deno.writeTextFile(`${folder}/long.st`, LONG(folder));
    const { child, done } = startApply(folder, ["long.st", "--host", "local", "--json"]);
    await begun(folder);
    child.kill("SIGINT");
    const { code, stderr, summary } = await done;
    assert.deepEqual([code, summary["unknown"], summary["notRun"]], [130, 1, 1]);
    assert.match(stderr, /local: a\/0 was cut off, its outcome is unknown; 1 steps did not run/);
    assert.deepEqual(processesWith(folder), []);
  });
});

Deno.test("the tool is killed in the middle of a step: no process of it stays, nothing after it runs", async () => {
  await inFolder({}, async (folder) => {
    await Deno.writeTextFile(`${folder}/long.st`, LONG(folder));
    const { child, done } = startApply(folder, ["long.st", "--host", "local"]);
    await begun(folder);
    assert.notDeepEqual(processesWith(folder), []);
    child.kill("SIGKILL");
    await done;
    await waitFor("no process", ENDED_MS_MAX, () => processesWith(folder).length === 0);
    await assert.rejects(Deno.stat(`${folder}/after`), Deno.errors.NotFound);
  });
});
