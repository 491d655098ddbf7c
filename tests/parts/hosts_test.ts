/** Throw-away hosts do what tests of nanostates rely on: log in, refuse, fall silent, fill up, and leave nothing behind. */
import assert from "node:assert/strict";
import { type Host, type Hosts, startHosts } from "./hosts.ts";
import { exists } from "./cache.ts";
import { run } from "./command.ts";
import { waitFor } from "./wait.ts";

function ssh(
  hosts: Hosts,
  host: Host,
  command: string,
  user = "root",
): Promise<{ code: number; stdout: string }> {
  const options = { BatchMode: "yes", UserKnownHostsFile: hosts.knownHostsPath, ConnectTimeout: "2" };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  const where = ["-i", hosts.privateKeyPath, "-p", `${host.port}`, `${user}@${host.address}`];
  return run("ssh", ["-F", "none", ...flags, ...where, command], {
    okCodes: [0, 1, 3, 255],
    limitMs: 10_000,
  });
}

function first({ list }: Hosts): Host {
  const [host] = list;
  assert.ok(host);
  return host;
}

Deno.test("three hosts have names, disks and users of their own", async () => {
  await using hosts = await startHosts({ count: 3 });
  for (const host of hosts.list) {
    assert.deepEqual(await ssh(hosts, host, "hostname; exit 3"), { code: 3, stdout: `${host.name}\n` });
    assert.equal((await ssh(hosts, host, "touch /etc/mark && ls /etc/mark")).stdout, "/etc/mark\n");
    assert.equal((await ssh(hosts, host, "sudo -n id -u", "bob")).stdout, "0\n");
    assert.equal((await ssh(hosts, host, "sudo -n id -u", "ann")).code, 1);
    const withPassword = await ssh(hosts, host, `echo ${hosts.password} | sudo -S -p '' id -u`, "ann");
    assert.equal(withPassword.stdout, "0\n");
  }
  const [one, two] = hosts.list;
  assert.ok(one && two);
  const direct = hosts.enter(["ssh-keyscan", "-t", "ed25519", two.innerAddress]);
  const { stdout } = await run("nsenter", direct.slice(1));
  assert.ok(stdout.includes(two.hostKey) && two.hostKey !== one.hostKey);
});

Deno.test("a host without Python has none", async () => {
  await using hosts = await startHosts({ count: 1, base: "no-python" });
  assert.equal((await ssh(hosts, first(hosts), "command -v python3 || echo none")).stdout, "none\n");
});

Deno.test("a host can be paused, cut off, dropped, filled and stopped", async () => {
  await using hosts = await startHosts({ count: 1, diskMb: 16, delayMs: 20 });
  const host = first(hosts);
  const can = async () => (await ssh(hosts, host, "true")).code === 0;

  host.pause();
  assert.equal(await can(), false);
  host.resume();
  await waitFor("it resumes", 5_000, can);

  await host.cut();
  assert.equal(await can(), false);
  await host.heal();
  await waitFor("it is back", 20_000, can);

  const sleeping = ssh(hosts, host, "sleep 60");
  await waitFor("a session", 5_000, async () => (await host.processes()).some((line) => line === "sleep 60"));
  await host.drop();
  assert.equal((await sleeping).code, 255);

  await host.fill("/root");
  assert.equal((await ssh(hosts, host, "echo full >/root/file")).code, 1);

  await host.stop();
  await assert.rejects(Deno.connect({ hostname: host.address, port: host.port }), /refused/);
});

Deno.test("nothing is left of hosts, nor of those whose test was killed", async () => {
  const program = `
    import { startHosts } from "${new URL("hosts.ts", import.meta.url)}";
    const hosts = await startHosts({ count: 2 });
    console.log(JSON.stringify({ pids: hosts.list.map(({ pid }) => pid), file: hosts.privateKeyPath }));
    await new Promise((resolve) => setTimeout(resolve, 60_000));`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-"],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(program));
  await writer.close();
  const reader = child.stdout.getReader();
  const { pids, file }: { pids: number[]; file: string } = JSON.parse(
    new TextDecoder().decode((await reader.read()).value),
  );
  await reader.cancel();
  child.kill("SIGKILL");
  await child.status;
  await waitFor("all ended", 5_000, () => pids.every((pid) => !isAlive(pid)));
  await waitFor("the folder is removed", 10_000, async () => !await exists(file));
});

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}
