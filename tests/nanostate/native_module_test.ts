/** The module of examples/native_module: built with a C compiler, run by the agent with and without a Python. */
import assert from "node:assert/strict";
import type { AgentRun, AgentSession, Hash } from "../../lib/nanostate/agent/protocol.ts";
import { startAgent } from "../../lib/nanostate/agent/session.ts";
import type { JsonObject } from "../../lib/nanostate/json.ts";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import { localTransport } from "../../lib/nanostate/transport/local.ts";
import type { Transport } from "../../lib/nanostate/transport/transport.ts";
import { run } from "../parts/command.ts";
import { ensureCompiler } from "../parts/compiler.ts";

const EXAMPLE = new URL("../../examples/native_module/", import.meta.url);
const SOURCES = ["line.c", "arguments.h", "build.sh"];
const MODULE = "ansible.builtin.line";
/** A Python that there is, and one that there is not: then `sh` is the agent. */
const AGENTS = { python: {}, sh: { python: "no-python" } };

for (const [kind, options] of Object.entries(AGENTS)) {
  Deno.test(`an own module in C runs under ${kind}: it says what would change, changes it once, and no more`, async () => {
    await inFolder(async (root) => {
      await build(root);
      const file = `${root}/motd`;
      await Deno.writeTextFile(file, "first");
      const host = new Host(root, options);
      const args = { path: file, line: 'a "second"\t— line' };

      const told = await host.step(args, { check: true });
      assert.deepEqual(told, { result: { failed: false, changed: true, msg: "line added" }, sent: 1 });
      assert.equal(await Deno.readTextFile(file), "first");

      const { result: added } = await host.step(args);
      assert.deepEqual(added, { failed: false, changed: true, msg: "line added" });
      assert.equal(await Deno.readTextFile(file), `first\n${args.line}\n`);
      assert.deepEqual((await host.step(args)).result, { failed: false, changed: false, msg: "" });

      const { result: removed } = await host.step({ path: file, line: "first", state: "absent" });
      assert.deepEqual(removed, { failed: false, changed: true, msg: "line removed" });
      assert.equal(await Deno.readTextFile(file), `${args.line}\n`);

      const { result: refused } = await host.step({ path: file, lien: "x" });
      assert.deepEqual(refused, { failed: true, changed: false, msg: "this module has no argument lien" });
    });
  });

  Deno.test(`a host that is run by ${kind} keeps an own module: only a new build is sent, and that once`, async () => {
    await inFolder(async (root) => {
      await build(root);
      await Deno.writeTextFile(`${root}/motd`, "first\n");
      const host = new Host(root, options);
      const args = { path: `${root}/motd`, line: "first" };
      assert.equal((await host.step(args)).sent, 1);
      assert.equal((await host.step(args)).sent, 0);

      const source = await Deno.readTextFile(`${root}/line.c`);
      await Deno.writeTextFile(`${root}/line.c`, source.replace('!changed ? ""', '!changed ? "as before"'));
      await build(root);
      assert.deepEqual(await host.step(args), {
        result: { failed: false, changed: false, msg: "as before" },
        sent: 1,
      });
      assert.equal((await host.step(args)).sent, 0);
    });
  });
}

Deno.test("an own module is refused for a platform that it was not built for", async () => {
  await inFolder(async (root) => {
    await build(root);
    const library = moduleLibrary({ roots: [root], collections: [], ansible: null });
    await assert.rejects(
      library.bundle([MODULE], { system: "Linux", machine: "riscv64" }),
      /^ModuleError: Cannot find ansible\.builtin\.line: it is not in .*modules/,
    );
  });
});

/** A host whose home is in `root`, as are its own modules; each step is a session of its own. */
class Host {
  constructor(readonly root: string, readonly options: { python?: string }) {}

  async step(args: JsonObject, { check = false } = {}): Promise<{ result: JsonObject; sent: number }> {
    const signal = AbortSignal.timeout(30_000);
    const session = await startAgent(withHome(`${this.root}/home`), {
      become: null,
      signal,
      ...this.options,
    });
    try {
      return await this.#run(session, args, check);
    } finally {
      await session.close();
    }
  }

  async #run(
    session: AgentSession,
    args: JsonObject,
    check: boolean,
  ): Promise<{ result: JsonObject; sent: number }> {
    const library = moduleLibrary({ roots: [this.root], collections: [], ansible: null });
    const { modules, ansible, blobs } = await library.bundle([MODULE], await session.info);
    const step = { id: "motd/0", kind: "module", module: MODULE, args, action: null } as const;
    const plan: AgentRun = {
      groups: [{ steps: [step] }],
      check,
      diff: false,
      onFailure: "end-group",
      stepMs: 10_000,
      environment: {},
      modules,
      ansible,
    };
    let sent = 0;
    const content = (hash: Hash) => {
      sent++;
      return Promise.resolve(blobs.get(hash) ?? assert.fail(`${hash} is not of this bundle`));
    };
    for await (const event of session.run(plan, content)) {
      if (event.type !== "result") continue;
      if (event.result.kind === "module") return { result: event.result.result, sent };
      assert.fail(event.result.kind === "not-run" ? event.result.why : "it is the result of a shell step");
    }
    assert.fail("the run ended without a result");
  }
}

function withHome(home: string): Transport {
  const local = localTransport();
  return { ...local, start: (command, options) => local.start(`export HOME=${home}; ${command}`, options) };
}

async function build(root: string): Promise<void> {
  await ensureCompiler();
  await run("/bin/sh", [`${root}/build.sh`]);
}

/** A state root with the module's sources, and a home. */
async function inFolder(work: (root: string) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${root}/home`);
    for (const name of SOURCES) await Deno.copyFile(new URL(name, EXAMPLE), `${root}/${name}`);
    await work(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}
