import assert from "node:assert/strict";
import { HostError } from "../transport/transport.ts";
import type { StartAgent } from "./connection.ts";
import { runHosts } from "./hosts.ts";
import { farm, options, outcomes, target } from "./testing.ts";

const STATE = (args: string) => ({
  "s.st": `id: s
state:
  a:
    - ansible.file: {path: /before}
    - ansible.reboot: ${args}
    - ansible.file: {path: /after}
`,
});

/** A host that goes down when it is asked to, and is away for some tries to connect. */
function rebooting({ triesAway = 2, isNewBoot = true, asksFail = false, hangs = false } = {}) {
  let boot = 1;
  let away = 0;
  const asked: string[] = [];
  const { start: agent, runs } = farm(() => ({
    answer: (step) => {
      if (step.kind === "module") return { result: { changed: false } };
      const line = step.commands[0]?.run ?? "";
      asked.push(line);
      if (hangs && boot > 1) return new Promise(() => {});
      if (line.includes("boot_id")) return { rc: 0, stdout: `boot-${boot}\n` };
      if (!line.includes("shutdown")) return { rc: 0 };
      if (asksFail) return { rc: 1, stderr: "not allowed" };
      away = triesAway;
      if (isNewBoot) boot++;
      return new HostError("lost", "the connection broke");
    },
  }));
  const start: StartAgent = (transport, more) => {
    if (away-- > 0) return Promise.reject(new HostError("refused", "nothing listens"));
    return agent(transport, more);
  };
  return { start, runs, asked };
}

Deno.test("a reboot waits for another boot id, over connections that are refused, and the state goes on", async () => {
  const { start, runs, asked } = rebooting();
  const result = await runHosts(start, options(STATE('{msg: "it\'s time"}')));
  assert.deepEqual(outcomes(result), ["h a/0 ok", "h a/1 changed", "h a/2 ok"]);
  const json = result.hosts[0]?.groups[0]?.steps[1]?.responses[0]?.json;
  assert.deepEqual([json?.["rebooted"], json?.["changed"], json?.["failed"]], [true, true, false]);
  assert.match(asked[1] ?? "", /shutdown -r 0 'it'\\''s time'$/);
  const ids = runs.flatMap(({ run }) => run.groups.flatMap(({ steps }) => steps.map(({ id }) => id)));
  assert.deepEqual(ids.filter((id) => id.startsWith("a/")), ["a/0", "a/2"]); // each once
});

Deno.test("a connection that merely broke is no reboot: the step fails in time, and its group ends", async () => {
  const { start } = rebooting({ isNewBoot: false });
  const result = await runHosts(start, options(STATE("{reboot_timeout: 2}")));
  assert.deepEqual(outcomes(result), ["h a/0 ok", "h a/1 failed", "h a/2 not-run"]);
  assert.equal(result.hosts[0]?.groups[0]?.steps[1]?.responses[0]?.message, "h did not come back within 2 s");
  assert.equal(result.hosts[0]?.code, 1);
});

Deno.test("a host that comes back and then hangs is given up in time, too", async () => {
  const { start } = rebooting({ hangs: true, triesAway: 0 });
  const result = await runHosts(start, options(STATE("{reboot_timeout: 2}")));
  assert.deepEqual(outcomes(result), ["h a/0 ok", "h a/1 failed", "h a/2 not-run"]);
  assert.equal(result.hosts[0]?.groups[0]?.steps[1]?.responses[0]?.message, "h did not come back within 2 s");
});

Deno.test("a host that refuses to reboot says why", async () => {
  const { start } = rebooting({ asksFail: true });
  const result = await runHosts(start, options(STATE("{}")));
  assert.equal(
    result.hosts[0]?.groups[0]?.steps[1]?.responses[0]?.message,
    "Reboot command failed. not allowed",
  );
});

Deno.test("a check reboots nothing and says that it would change; this machine is never rebooted", async () => {
  const { start, asked } = rebooting();
  const check = await runHosts(start, options(STATE("{}"), { mode: "check" }));
  assert.deepEqual([outcomes(check), asked], [["h a/0 ok", "h a/1 changed", "h a/2 ok"], []]);
  const local = await runHosts(start, options(STATE("{}"), { targets: [target("local")] }));
  assert.deepEqual([outcomes(local), asked], [["local a/0 ok", "local a/1 failed", "local a/2 not-run"], []]);
});

Deno.test("wait_for_connection waits for a host that is not there yet, also as the first step", async () => {
  const files = {
    "s.st":
      "id: s\nstate:\n  a:\n    - ansible.wait_for_connection: {sleep: 0, timeout: 5}\n    - ansible.ping:\n",
  };
  const { start } = farm(() => ({}));
  let tries = 0;
  const late: StartAgent = (transport, more) =>
    ++tries < 4 ? Promise.reject(new HostError("refused", "nothing listens")) : start(transport, more);
  assert.deepEqual(outcomes(await runHosts(late, options(files))), ["h a/0 ok", "h a/1 ok"]);
});

Deno.test("a run that is cancelled while a host is down ends at once, with an unknown outcome", async () => {
  const ending = new AbortController();
  const { start, asked } = rebooting({ triesAway: 1000 });
  const run = runHosts(start, options(STATE("{}"), { signal: ending.signal }));
  while (asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  ending.abort();
  const result = await run;
  assert.deepEqual(outcomes(result), ["h a/0 ok", "h a/1 unknown", "h a/2 not-run"]);
  assert.equal(result.hosts[0]?.message, "the run was cancelled");
});
