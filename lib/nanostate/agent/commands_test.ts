/** Commands and their guards: both agents keep to the same rules, so each test runs with both. */
import assert from "node:assert/strict";
import type { WireCommandResult, WireResult } from "./protocol.ts";
import {
  all,
  outcomes,
  processesWith,
  results,
  runOf,
  shellGroup,
  type TestHost,
  testHost,
} from "./testing_host.ts";

for (const kind of ["python", "sh"] as const) {
  const check = (name: string, body: (host: TestHost) => Promise<void>) =>
    Deno.test(`the ${kind} agent ${name}`, async () => {
      await using host = await testHost({ hasPython: kind === "python" });
      await body(host);
    });

  check("says what it is", async (host) => {
    const session = await host.start();
    const { stdout } = await new Deno.Command("id", { args: ["-un"] }).output();
    const user = new TextDecoder().decode(stdout).trim();
    const { python, ...info } = await session.info;
    assert.deepEqual(info, { kind, user, system: "Linux", machine: Deno.build.arch });
    assert.equal(python === null, kind === "sh");
    await session.close();
  });

  check("gives both outputs, the exit code and the outcome of each command", async (host) => {
    const [step] = await shell(host, [
      { run: "printf 'out\\n'; printf 'err\\n' >&2" },
      { run: "exit 2", ok: [0, 2] },
      { run: "echo 3 changed", changed: "^[1-9]" },
      { run: "echo 0 changed", changed: "^[1-9]" },
      { run: "echo something", changed: "never" },
      { run: "printf 'no end of line, \\303\\244 \\377'" },
      { run: "exit 7" },
      { run: "true" },
    ]);
    const seen = step.map(({ name, timedOut: _, ...rest }) => ({ name, ...rest }));
    const fine = { stderr: "", why: "", rc: 0 };
    assert.deepEqual(seen, [
      { ...fine, name: "c0", outcome: "changed", stdout: "out\n", stderr: "err\n" },
      { ...fine, name: "c1", outcome: "changed", stdout: "", rc: 2 },
      { ...fine, name: "c2", outcome: "changed", stdout: "3 changed\n" },
      { ...fine, name: "c3", outcome: "ok", stdout: "0 changed\n" },
      { ...fine, name: "c4", outcome: "ok", stdout: "something\n" },
      { ...fine, name: "c5", outcome: "changed", stdout: "no end of line, ä \uFFFD" },
      { ...fine, name: "c6", outcome: "failed", stdout: "", rc: 7, why: "exit code 7" },
      { ...fine, name: "c7", outcome: "not-run", stdout: "", rc: null, why: "an earlier command failed" },
    ]);
  });

  check("skips by its guards, in their order", async (host) => {
    await Deno.writeTextFile(`${host.home}/it is there`, "");
    const path = `${host.home}/it*there`;
    const [step] = await shell(host, [
      { run: "true", creates: path, removes: "/nowhere" },
      { run: "true", removes: `${host.home}/nothing*`, unless: "true" },
      { run: "true", unless: "true", onlyif: "false" },
      { run: "true", onlyif: "exit 3" },
      { run: "true", removes: path, creates: `${host.home}/nothing*`, unless: "false", onlyif: "true" },
    ]);
    assert.deepEqual(step.map(({ outcome, why }) => `${outcome} ${why}`), [
      `skipped creates: ${path} is there`,
      `skipped removes: ${host.home}/nothing* is not there`,
      "skipped unless: it succeeded",
      "skipped onlyif: exit code 3",
      "changed ",
    ]);
  });

  check(
    "takes an empty guard for none, and a pattern that is none for a step that cannot run",
    async (host) => {
      const empty = { creates: "", removes: "", unless: "", onlyif: "", once: "" };
      const session = await host.start();
      const groups = [
        shellGroup("a", [{ run: "true", ...empty }]),
        shellGroup("b", [{ run: `touch ${host.home}/touched` }, { run: "true", changed: "(" }], [{
          run: "true",
        }]),
      ];
      const [a, b, after] = await results(session, runOf({ groups }));
      const [planned] = await results(session, runOf({ groups, check: true }));
      await session.close();
      assert.deepEqual(outcomes([a, b, after].flatMap((each) => each ?? [])), {
        "a/0": ["changed"],
        "b/0": ["cannot"],
        "b/1": ["not-run"],
      });
      assert.ok(b?.kind === "not-run");
      assert.match(b.why, /^changed of c1 is no regular expression: /);
      assert.deepEqual(outcomes(planned === undefined ? [] : [planned]), { "a/0": ["unknown"] });
      assert.deepEqual(await names(host.home, /touched/), []);
    },
  );

  check("does what is to be done once a single time, unless it failed", async (host) => {
    const commands = [{ run: "echo ran", once: "it's me" }, { run: "exit 1", once: "other" }];
    const first = await shell(host, commands);
    const second = await shell(host, commands);
    assert.deepEqual(first[0].map(({ outcome }) => outcome), ["changed", "failed"]);
    assert.deepEqual(second[0].map(({ outcome, why }) => `${outcome} ${why}`), [
      "skipped once: it ran before",
      "failed exit code 1",
    ]);
  });

  check("runs nothing in check mode but guards, and says what it cannot tell", async (host) => {
    const session = await host.start();
    const touch = `touch ${host.home}/touched`;
    const run = runOf({
      check: true,
      groups: [shellGroup("g", [
        { run: touch },
        { run: touch, creates: "/nowhere" },
        { run: touch, unless: "false" },
        { run: touch, once: "key" },
        { run: touch, unless: "true" },
        { run: touch, changed: "never" },
        { run: touch, unless: "false", changed: "x" },
      ])],
    });
    const found = outcomes(await results(session, run))["g/0"];
    await session.close();
    assert.deepEqual(found, ["unknown", "changed", "changed", "changed", "skipped", "skipped", "unknown"]);
    assert.deepEqual(await names(host.home, /touched|local/), []);
  });

  check("looks in check mode, until something above would change", async (host) => {
    const session = await host.start();
    const sees = { run: "echo seen", changed: "never" };
    const fails = { run: "exit 3", changed: "never" };
    const change = { run: `touch ${host.home}/touched`, creates: "/nowhere" };
    const run = runOf({
      check: true,
      groups: [shellGroup("g", [sees, fails], [sees, change, fails]), shellGroup("h", [sees, fails])],
    });
    const found = await results(session, run);
    const later = await results(session, { ...run, open: true, groups: [shellGroup("g", [sees])] });
    await session.close();
    assert.deepEqual(outcomes(found), {
      "g/0": ["ok", "failed"],
      "g/1": ["ok", "changed", "skipped"],
      "h/0": ["skipped", "skipped"],
    });
    assert.deepEqual(outcomes(later), { "g/0": ["skipped"] });
    assert.deepEqual(await names(host.home, /touched/), []);
  });

  check("ends a group, the run or nothing after a failure", async (host) => {
    const groups = [
      shellGroup("a", [{ run: "false" }, { run: "true" }], [{ run: "true" }]),
      shellGroup("b", [{ run: "true" }]),
    ];
    const session = await host.start();
    const found = async (onFailure: "end-group" | "end-run" | "go-on") =>
      outcomes(await results(session, runOf({ groups, onFailure })));
    assert.deepEqual(await found("end-group"), {
      "a/0": ["failed", "not-run"],
      "a/1": ["not-run"],
      "b/0": ["changed"],
    });
    assert.deepEqual(await found("end-run"), {
      "a/0": ["failed", "not-run"],
      "a/1": ["not-run"],
      "b/0": ["not-run"],
    });
    assert.deepEqual(await found("go-on"), {
      "a/0": ["failed", "changed"],
      "a/1": ["changed"],
      "b/0": ["changed"],
    });
    await session.close();
  });

  check("ends a group before a step whose needs, of other groups, did not go well", async (host) => {
    const groups = [
      shellGroup("a", [{ run: "true" }], [{ run: "false" }], [{ run: "true" }]),
      needing("b", ["a/0"]),
      needing("c", ["a/0", "a/1"]),
      needing("d", ["a/2"]),
      needing("e", ["of/another/run"]),
      shellGroup("f", [{ run: "true" }]),
    ];
    const session = await host.start();
    const run = runOf({ groups, onFailure: "end-group" });
    const found = await results(session, run);
    assert.deepEqual(outcomes(found), {
      "a/0": ["changed"],
      "a/1": ["failed"],
      "a/2": ["not-run"],
      "b/0": ["changed"],
      "b/1": ["changed"],
      "c/0": ["not-run"],
      "c/1": ["not-run"],
      "d/0": ["not-run"],
      "d/1": ["not-run"],
      "e/0": ["not-run"],
      "e/1": ["not-run"],
      "f/0": ["changed"],
    });
    const again = outcomes(await results(session, { ...run, check: true }));
    await session.close();
    assert.equal(Object.values(again).flat().includes("not-run"), false);
  });

  check("ends a step that takes too long, with all that it started, and goes on", async (host) => {
    const session = await host.start();
    const long = `sleep 4321.${Deno.pid}`;
    const groups = [
      shellGroup("a", [{ run: `${long} & ${long}; true` }, { run: "true" }]),
      shellGroup("b", [{ run: "true" }]),
    ];
    const [a, b] = await results(session, runOf({ groups, stepMs: 1000 }));
    assert.deepEqual(outcomes([a, b].flatMap((each) => each ?? [])), {
      "a/0": ["failed", "not-run"],
      "b/0": ["changed"],
    });
    assert.ok(a?.kind === "shell");
    const { rc, timedOut, why } = a.commands[0] ?? {};
    assert.deepEqual({ rc, timedOut, why }, {
      rc: null,
      timedOut: true,
      why: "ended: it took longer than 1 s",
    });
    assert.deepEqual(await processesWith(long), []);
    await session.close();
  });

  check("leaves no process behind when the session is closed in the middle of a step", async (host) => {
    const session = await host.start();
    const long = `sleep 4322.${Deno.pid}`;
    const events = session.run(
      runOf({ groups: [shellGroup("a", [{ run: `${long} & ${long}; true` }])] }),
      none,
    );
    for await (const event of events) {
      if (event.type === "begin") break;
    }
    await session.close();
    assert.deepEqual(await processesWith(long), []);
  });

  check(
    "does not wait for what a finished command left in the background, and lets it live",
    async (host) => {
      const session = await host.start();
      const mark = `sleep 4323.${Deno.pid}`;
      const [step] = await results(
        session,
        runOf({ groups: [shellGroup("a", [{ run: `${mark} & echo started` }])] }),
      );
      assert.ok(step?.kind === "shell");
      assert.equal(step.commands[0]?.stdout, "started\n");
      await session.close();
      const left = await processesWith(mark);
      for (const pid of left) Deno.kill(pid);
      assert.equal(left.length, 1);
    },
  );

  check("cuts a long output in the middle, and says how much is missing", async (host) => {
    const [step] = await shell(host, [{
      run: "printf 'first\\n'; head -c 12000000 /dev/zero | tr '\\0' x; echo last",
    }], [
      "head",
      "tr",
    ]);
    const { stdout = "" } = step[0] ?? {};
    const missing = 12_000_011 - 10 * 1024 * 1024;
    assert.ok(stdout.startsWith("first\nxxx") && stdout.endsWith("xxxlast\n"));
    assert.ok(stdout.includes(`x\n[${missing} bytes left out]\nx`));
  });

  check("gives commands the run's environment, no input and not the channel", async (host) => {
    const session = await host.start();
    const run = runOf({
      environment: { GREETING: "it's 'quoted'" },
      groups: [shellGroup("a", [{ run: "echo $GREETING; cat; ls /proc/self/fd | wc -l" }])],
    });
    const [step] = await results(session, run);
    await session.close();
    // As many as a command has that is started from here: what this process itself was given, too.
    const { stdout } = await new Deno.Command("sh", { args: ["-c", "ls /proc/self/fd | wc -l"] }).output();
    assert.ok(step?.kind === "shell");
    assert.equal(step.commands[0]?.stdout, `it's 'quoted'\n${new TextDecoder().decode(stdout)}`);
  });

  check("passes over what a login prints", async (host) => {
    const first = `printf 'welcome\\n%.0s' 1 2 3 4 5; echo nanostate:0:python.; echo warning >&2;`;
    const session = await host.start({ first });
    const found = await results(session, runOf({ groups: [shellGroup("a", [{ run: "true" }])] }));
    await session.close();
    assert.deepEqual(outcomes(found), { "a/0": ["changed"] });
  });

  check("tells what begins before it ends", async (host) => {
    const session = await host.start();
    const events = await all(
      session.run(runOf({ groups: [shellGroup("a", [{ run: "true" }], [{ run: "true" }])] }), none),
    );
    await session.close();
    const seen = events.map((event) =>
      event.type === "result"
        ? `result ${event.result.step}`
        : event.type === "begin"
        ? `begin ${event.step}`
        : "?"
    );
    assert.deepEqual(seen, ["begin a/0", "result a/0", "begin a/1", "result a/1"]);
  });
}

type Commands = Parameters<typeof shellGroup>[1];

/** The results of one step of these commands, for each session that was started. */
async function shell(
  host: TestHost,
  commands: Commands,
  more: string[] = [],
): Promise<[WireCommandResult[]]> {
  for (const tool of more) await Deno.symlink(`/usr/bin/${tool}`, `${host.home}/bin/${tool}`).catch(() => {});
  const session = await host.start();
  const [step] = await results(session, runOf({ groups: [shellGroup("g", commands)] }));
  await session.close();
  return [commandsOf(step)];
}

function commandsOf(step: WireResult | undefined): WireCommandResult[] {
  assert.ok(step?.kind === "shell");
  return [...step.commands];
}

function none(): Promise<never> {
  return Promise.reject(new Error("nothing is asked for here"));
}

async function names(folder: string, pattern: RegExp): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(folder));
  return entries.map(({ name }) => name).filter((name) => pattern.test(name));
}

/** Two steps, of which the first needs others. */
function needing(name: string, needs: readonly string[]) {
  const [first, ...rest] = shellGroup(name, [{ run: "true" }], [{ run: "true" }]).steps;
  assert.ok(first !== undefined);
  return { steps: [{ ...first, needs }, ...rest] };
}
