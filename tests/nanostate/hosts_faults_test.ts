/**
 * Hosts that do wrong, all in one run: each gets the result that fits it, and none disturbs the others.
 *
 * A host that breaks in the middle of a step has that step as "unknown", not as failed, and it is not run again.
 */
import assert from "node:assert/strict";
import type { HostResult, RunEvent } from "../../lib/nanostate/run/result.ts";
import { type Host, type Hosts, startHosts } from "../parts/hosts.ts";
import { apply, noneLeft, steps, targetOf, type TargetOptions } from "./hosts_run.ts";

const STATE = `
id: test
description: A host of which something may be wrong
state:
  shell:
    - shell:
        - mark: {run: touch /var/mark, creates: /var/mark}
  module:
    - ansible.copy: {dest: /etc/probe, content: "one\\n"}
  slow:
    - shell:
        - wait: {run: test ! -e /etc/slow || sleep 300, changed: never}
  last:
    - shell:
        - end: {run: "true", changed: never}
`;
const GOOD = ["shell/0: changed", "module/0: changed", "slow/0: ok", "last/0: ok"];
const AGAIN = ["shell/0: skipped", "module/0: ok", "slow/0: ok", "last/0: ok"];
const NOT_RUN = ["shell/0: not-run", "module/0: not-run", "slow/0: not-run", "last/0: not-run"];
const LIMITS = { connectMs: 4_000, runMs: 15_000 };

interface Case {
  /** What is wrong. */
  name: string;
  /** What happens to it before the run. */
  before?: (host: Host) => Promise<unknown> | void;
  /** And when its step `slow` runs. */
  during?: (host: Host) => Promise<unknown> | void;
  options?: (hosts: Hosts) => TargetOptions;
  code: number;
  message: RegExp;
  steps: string[];
}

const REFUSES = "refuses";
const good = { code: 0, message: /^$/, steps: GOOD };
const slow = (host: Host) => host.exec("touch /etc/slow");
const NOISE =
  "i=0; while [ $i -lt 200 ]; do echo 'Welcome! Today is a good day, mind the step.'; i=$((i+1)); done";

const CASES: readonly Case[] = [
  { name: "nothing is wrong", ...good },
  {
    name: REFUSES,
    before: (host) => host.stop(),
    code: 255,
    message: /nothing listens there/,
    steps: NOT_RUN,
  },
  {
    name: "takes the connection and says nothing",
    before: (host) => host.pause(),
    code: 255,
    message: /did not answer within 4 s/,
    steps: NOT_RUN,
  },
  {
    name: "has another host key",
    options: ({ knownHostsPath }) => ({ knownHosts: `${knownHostsPath}.other` }),
    code: 255,
    message: /another key is known/,
    steps: NOT_RUN,
  },
  {
    name: "its sshd dies in the middle of a step",
    before: slow,
    during: (host) => host.drop(),
    code: 255,
    message: /closed by the other side/,
    steps: ["shell/0: changed", "module/0: changed", "slow/0: unknown", "last/0: not-run"],
  },
  {
    name: "its link falls silent in the middle of a step",
    before: slow,
    during: (host) => host.cut(),
    code: 255,
    message: /did not finish within 15 s/,
    steps: ["shell/0: changed", "module/0: changed", "slow/0: unknown", "last/0: not-run"],
  },
  {
    name: "has no room on its disk",
    before: (host) => host.fill("/root"),
    code: 1,
    message: /space|room/,
    steps: ["shell/0: changed", "module/0: failed", "slow/0: ok", "last/0: ok"],
  },
  {
    name: "has a full /tmp",
    before: (host) =>
      host.exec("mount -t tmpfs -o size=64k tmp /tmp; cat /dev/zero >/tmp/full", { okCodes: [1] }),
    ...good,
  },
  {
    name: "its login shell prints a novel first",
    before: (host) => host.exec(`echo "${NOISE}" >>/root/.bashrc; echo "${NOISE}" >>/etc/profile`),
    ...good,
  },
  { name: "its login shell is fish", before: (host) => host.exec("chsh -s /usr/bin/fish root"), ...good },
  { name: "its login shell is csh", before: (host) => host.exec("chsh -s /bin/tcsh root"), ...good },
  {
    name: "sudo takes the password",
    options: ({ password }) => become(password),
    ...good,
  },
  {
    name: "sudo does not take the password",
    options: () => become("guess"),
    code: 255,
    message: /sudo does not take the password/,
    steps: NOT_RUN,
  },
  { name: "sudo asks for none", options: () => ({ user: "bob", become: { user: "root" } }), ...good },
];

function become(password: string): TargetOptions {
  return { user: "ann", become: { user: "root", password: () => Promise.resolve(password) } };
}

Deno.test("hosts with all kinds of faults in one run: each has its own result, and the good ones are done", async () => {
  await using hosts = await startHosts({ count: CASES.length });
  await using bare = await startHosts({ count: 1, base: "no-python", name: "bare" });
  await using far = await startHosts({ count: 1, name: "far", delayMs: 25 });
  const cases = CASES.map((each, index) => ({ ...each, host: hostOf(hosts, index) }));
  for (const { before, host } of cases) await before?.(host);
  await Deno.writeTextFile(`${hosts.knownHostsPath}.other`, otherKeys(hosts));
  const targets = await Promise.all([
    ...cases.map(async ({ options, host }) => await targetOf(hosts, host, options?.(hosts))),
    targetOf(bare, hostOf(bare)),
    targetOf(far, hostOf(far)),
  ]);
  const onEvent = (event: RunEvent) => {
    if (event.type !== "begin" || event.step !== "slow/0") return;
    const met = cases.find(({ host }) => host.name === event.host);
    met?.during?.(met.host);
  };

  const first = await apply(STATE, targets, { limits: LIMITS, onEvent });
  for (const { name, host, code, message, steps: expected } of cases) {
    const result = resultOf(first.hosts, host);
    const seen = { code: result.code, steps: steps(result) };
    assert.deepEqual(seen, { code, steps: expected }, `${name}: ${result.message}`);
    assert.match(whatItSays(result), message, name);
  }
  assert.deepEqual(steps(resultOf(first.hosts, hostOf(far))), GOOD);
  const withoutPython = resultOf(first.hosts, hostOf(bare));
  assert.deepEqual(steps(withoutPython), [
    "shell/0: changed",
    "module/0: failed",
    "slow/0: ok",
    "last/0: ok",
  ]);
  assert.match(whatItSays(withoutPython), /Python/);
  assert.equal(first.counts.unreachable, cases.filter(({ code }) => code === 255).length);

  const fine = targets.filter(({ name }) => resultOf(first.hosts, { name }).code === 0);
  const second = await apply(STATE, fine, { limits: LIMITS });
  for (const result of second.hosts) assert.deepEqual(steps(result), AGAIN, result.host);
  for (const { host, during } of cases) if (during !== undefined) await host.heal();
  await noneLeft({ list: cases.filter(({ name }) => name !== REFUSES).map(({ host }) => host) });
});

Deno.test("a run that is cancelled in the middle of a step leaves no process on any host", async () => {
  await using hosts = await startHosts({ count: 5 });
  await using bare = await startHosts({ count: 1, base: "no-python", name: "bare" });
  const list = [...hosts.list, ...bare.list];
  for (const host of list) await slow(host);
  const targets = await Promise.all([
    ...hosts.list.map((host) => targetOf(hosts, host)),
    targetOf(bare, hostOf(bare)),
  ]);
  const cancel = new AbortController();
  const begun = new Set<string>();
  const result = await apply(STATE, targets, {
    signal: cancel.signal,
    onEvent(event) {
      if (event.type !== "begin" || event.step !== "slow/0") return;
      begun.add(event.host);
      if (begun.size === list.length) cancel.abort();
    },
  });
  for (const host of result.hosts) {
    assert.match(host.message, /cancelled/);
    assert.deepEqual(steps(host).slice(2), ["slow/0: unknown", "last/0: not-run"]);
  }
  await noneLeft({ list });
});

/** Of the host, and of what failed there. */
function whatItSays({ message, groups }: HostResult): string {
  const responses = groups.flatMap(({ steps }) => steps.flatMap((step) => step.responses));
  const failed = responses.filter(({ outcome }) => outcome === "failed").map((response) => response.message);
  return [message, ...failed].join("\n").trim();
}

function hostOf({ list }: Hosts, index = 0): Host {
  const host = list[index];
  assert.ok(host);
  return host;
}

/** Each host has the key of the one after it. */
function otherKeys({ list }: Hosts): string {
  return list.map(({ address, port }, index) =>
    `[${address}]:${port} ${list[(index + 1) % list.length]?.hostKey}\n`
  ).join("");
}

function resultOf(results: readonly HostResult[], { name }: { name: string }): HostResult {
  const result = results.find(({ host }) => host === name);
  assert.ok(result, name);
  return result;
}
