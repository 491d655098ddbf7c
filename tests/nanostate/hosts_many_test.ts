/** One state on 1, 10 and 50 hosts with real sshd, and what is left of it there. */
import assert from "node:assert/strict";
import { noCounts } from "../../lib/nanostate/run/counts.ts";
import { startHosts } from "../parts/hosts.ts";
import { apply, noneLeft, steps, targetOf } from "./hosts_run.ts";

const STATE = `
id: test
description: A small host
state:
  files:
    - ansible.copy: {dest: /etc/probe, content: "one\\n", mode: "0640"}
    - ansible.lineinfile: {path: /etc/probed, line: two, create: true}
  marks:
    - shell:
        - mark: {run: touch /root/mark, creates: /root/mark}
        - look: {run: id -un, changed: never}
`;

for (const count of [1, 10, 50]) {
  Deno.test(`${count} hosts: everything changes at first, nothing the second time, no process stays`, async () => {
    await using hosts = await startHosts({ count });
    const targets = await Promise.all(hosts.list.map((host) => targetOf(hosts, host)));
    const all = { ...noCounts(), hosts: count, unreachable: 0 };

    const first = await apply(STATE, targets);
    assert.deepEqual(first.counts, { ...all, changed: 3 * count, ok: count });
    for (const host of first.hosts) {
      assert.deepEqual(steps(host), ["files/0: changed", "files/1: changed", "marks/0: changed, ok"]);
    }
    for (const host of hosts.list) {
      const { stdout } = await host.exec("cat /etc/probe /etc/probed; stat -c %a /etc/probe; ls /root");
      assert.equal(stdout, "one\ntwo\n640\nmark\n");
    }

    const second = await apply(STATE, targets);
    assert.deepEqual(second.counts, { ...all, ok: 3 * count, skipped: count });
    await noneLeft(hosts);
  });
}
