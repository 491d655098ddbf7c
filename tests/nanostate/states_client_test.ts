/** The client agent of a package, put on a throw-away host by the state that ships, enrols with a real director. */
import assert from "node:assert/strict";
import { packageAgent } from "../../tasks/package.ts";
import { startHosts } from "../parts/hosts.ts";
import { waitFor } from "../parts/wait.ts";
import { startClusterFor } from "./staging_cluster.ts";
import { changes, faults, shippedStates } from "./staging_host.ts";

const NAME = "web-1.example";
const MACHINE_ID = "0123456789abcdef0123456789abcdef";
const ENROLLED_MS_MAX = 30_000;

/** What is there of a minion that its Uyuni server registered, as far as the agent asks to enrol. `salt-call` is imitated. */
const MINION = `
  echo ${MACHINE_ID} >/etc/machine-id
  mkdir -p /etc/salt/minion.d /etc/salt/pki/minion
  echo 'master: uyuni-1.example' >/etc/salt/minion.d/susemanager.conf
  cat >/usr/local/bin/salt-call <<'END'
#!/bin/sh
echo '{"local": {"id": "${NAME}", "machine_id": "${MACHINE_ID}"}}'
END
  chmod 755 /usr/local/bin/salt-call
  openssl genrsa 2048 2>/dev/null | openssl rsa -pubout 2>/dev/null >/etc/salt/pki/minion/minion.pub`;

Deno.test("client-agent: needs a minion; enrols, also when its first token was of no use; a second run changes nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const { archive } = await packageAgent("client-agent", folder);
  const hosts = stack.use(await startHosts({ count: 1, diskMb: 700 }));
  const [host] = hosts.list;
  assert.ok(host);
  const cluster = stack.use(await startClusterFor(host));
  await cluster.call("POST", "/v1/zones", { name: "berlin" });
  const { token } = await cluster.call<{ token: string }>("POST", "/v1/join-tokens", {
    kind: "system",
    zone: "berlin",
  });
  const states = await shippedStates(hosts);
  const params = { package: archive, director_url: cluster.directorUrl, name: NAME, init: "sysv" };
  const apply = (join_token: string) =>
    states.apply(host, "client-agent", { params, secrets: { join_token } });

  const lonely = await apply(token);
  assert.match(faults(lonely), /^failed is there: .*there is no Salt minion; register the system first/);
  assert.deepEqual(changes(lonely), []);

  await host.exec(MINION);
  const useless = await apply(token.slice(0, -4) + "AAAA");
  assert.equal(useless.code, 0, faults(useless));
  await waitFor(
    "the agent's complaint",
    ENROLLED_MS_MAX,
    async () => (await host.exec("cat /var/log/salar-client.log")).stdout.includes("join token"),
  );

  const second = await apply(token);
  assert.deepEqual([faults(second), changes(second)], ["", [
    "installed/2 ansible.builtin.copy",
    "started/9 restart",
  ]]);
  await waitFor("the system", ENROLLED_MS_MAX, async () => {
    const { items } = await cluster.call<{ items: { name: string }[] }>("GET", "/v1/systems");
    return items.some(({ name }) => name === NAME);
  });
  const third = await apply(token);
  assert.deepEqual([faults(third), changes(third)], ["", []]);

  const said = JSON.stringify([lonely, useless, second, third]) +
    (await host.exec("cat /var/log/salar-client.log; ps -e -o args=")).stdout;
  assert.equal(said.includes(token), false, "the token is said nowhere");
});
