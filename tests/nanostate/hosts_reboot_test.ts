/**
 * `reboot` and `wait_for_connection` over real SSH. A throw-away host shares the kernel of this machine, so its boot is
 * played: asked to reboot, it ends all sessions, is silent for a while, and comes back with another boot id.
 */
import assert from "node:assert/strict";
import { type Host, startHosts } from "../parts/hosts.ts";
import { waitFor } from "../parts/wait.ts";
import { apply, targetOf } from "./hosts_run.ts";

const ASKED_MS_MAX = 20_000;
const AWAY_MS = 1_500;

async function playBoot(host: Host, { id }: { id: string }): Promise<void> {
  await waitFor(
    "the order to reboot",
    ASKED_MS_MAX,
    async () => (await host.exec("test -e /run/asked", { okCodes: [0, 1] })).code === 0,
  );
  host.pause();
  await host.drop();
  await host.exec(`rm /run/asked; echo ${id} >/run/boot`);
  await new Promise((resolve) => setTimeout(resolve, AWAY_MS)); // how long it is away, nothing is waited for
  host.resume();
}

const STATE = `
id: test
state:
  new:
    - ansible.reboot: {reboot_command: touch /run/asked, boot_time_command: cat /run/boot, connect_timeout: 1, reboot_timeout: 8}
    - ansible.wait_for_connection: {timeout: 5, sleep: 0}
    - ansible.command: {cmd: cat /run/boot}
`;

Deno.test("a host that reboots is waited for, and the state goes on; one that only lost its connection is not taken for it", async () => {
  await using hosts = await startHosts({ count: 2 });
  const [rebooting, pretending] = hosts.list;
  assert.ok(rebooting && pretending);
  for (const host of hosts.list) await host.exec("echo before >/run/boot");
  const targets = await Promise.all(hosts.list.map((host) => targetOf(hosts, host)));

  const [result] = await Promise.all([
    apply(STATE, targets),
    playBoot(rebooting, { id: "after" }),
    playBoot(pretending, { id: "before" }),
  ]);

  const [good, bad] = result.hosts.map(({ groups }) =>
    groups.flatMap(({ steps }) => steps.flatMap(({ responses }) => responses))
  );
  assert.deepEqual(good?.map(({ outcome }) => outcome), ["changed", "ok", "changed"], JSON.stringify(good));
  assert.equal(good?.[0]?.json?.["rebooted"], true);
  assert.equal(good?.[2]?.stdout, "after");
  assert.deepEqual(bad?.map(({ outcome }) => outcome), ["failed", "not-run", "not-run"], JSON.stringify(bad));
  assert.match(bad?.[0]?.message ?? "", /8 s/);
});
