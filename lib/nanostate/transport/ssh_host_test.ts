import assert from "node:assert/strict";
import fc from "fast-check";
import { algorithmsFrom } from "./ssh_algorithms.ts";
import { SshConfigError } from "./ssh_config.ts";
import { type Overrides, parseDestination, resolveHost } from "./ssh_host.ts";

Deno.test("resolveHost() puts overrides, the files and OpenSSH's defaults together", async () => {
  await using home = await folder({
    ".ssh/config":
      "Include conf.d/*.conf\nHost web\n  HostName %h.example.org\n  User deploy\n  IdentityFile ~/keys/%r@%n\n",
    ".ssh/conf.d/10-first.conf":
      "Host *\n  ServerAliveInterval 1m30s\n  UserKnownHostsFile ${KNOWN}/k none\n  AddressFamily inet\n",
    ".ssh/conf.d/20-second.conf": "Host *\n  ServerAliveInterval 5\n",
    ".ssh/conf.d/skipped": "Host *\n  User skipped\n",
  });
  const environment = { HOME: home.path, USER: "ann", KNOWN: "/known", SSH_AUTH_SOCK: "/agent" };
  const config = [`${home.path}/.ssh/config`, `${home.path}/absent`];
  const host = await resolveHost("web", { config, environment, overrides: { port: 2222 } });
  assert.deepEqual(host, {
    name: "web",
    hostName: "web.example.org",
    port: 2222,
    user: "deploy",
    hostKeyAlias: null,
    trust: "known-only",
    knownHosts: ["/known/k", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
    newKnownHosts: "/known/k",
    hashKnownHosts: false,
    identityFiles: [`${home.path}/keys/deploy@web`],
    certificateFiles: [],
    identitiesOnly: false,
    agent: "/agent",
    algorithms: algorithmsFrom(new Map()),
    bindAddress: null,
    family: 4,
    connectMs: null,
    keepaliveMs: 90_000,
    keepaliveCountMax: 3,
    jumps: [],
  });
  const plain = await resolveHost("root@other:2200", {
    config: [],
    environment: { HOME: "/h", LOGNAME: "ann" },
  });
  assert.deepEqual([plain.user, plain.hostName, plain.port, plain.agent], ["root", "other", 2200, null]);
  assert.deepEqual(plain.identityFiles, ["/h/.ssh/id_rsa", "/h/.ssh/id_ecdsa", "/h/.ssh/id_ed25519"]);
  assert.equal(plain.newKnownHosts, "/h/.ssh/known_hosts");
});

Deno.test("resolveHost() leads through each jump host once, by its own way, with trust but no user of the host", async () => {
  const jumps = async (name: string, overrides: Overrides = {}) => {
    const host = await resolved(
      "Host inner\n ProxyJump ann@gate:2200,mid\nHost gate\n ProxyJump outer\nHost mid\n ProxyJump gate\n",
      name,
      overrides,
    );
    return host.jumps.map(({ user, name, port, trust }) => `${user}@${name}:${port} ${trust}`);
  };
  const way = ["me@outer:22 on-first-use", "ann@gate:2200 on-first-use", "me@mid:22 on-first-use"];
  assert.deepEqual(await jumps("inner", { user: "root", port: 1, trust: "on-first-use" }), way);
  assert.deepEqual(await jumps("inner", { proxyJump: "none" }), []);
  assert.deepEqual(await jumps("mid"), ["me@outer:22 known-only", "me@gate:22 known-only"]);
});

Deno.test("resolveHost() names the line of what it refuses", async () => {
  const refuses = (text: string, message: RegExp) =>
    assert.rejects(
      resolved(text, "a"),
      (error) => error instanceof SshConfigError && message.test(error.message),
    );
  await refuses("StrictHostKeyChecking no", /config:1: .*use accept-new/);
  await refuses("Port 99999", /config:1: port has to be a number from 1 to 65535, not "99999"/);
  await refuses("ConnectTimeout soon", /config:1: connecttimeout has to be a time/);
  await refuses("IdentitiesOnly maybe", /config:1: identitiesonly has to be yes or no/);
  await refuses("IdentityFile ~bob/key", /config:1: ~user in "~bob\/key" is not supported/);
  await refuses("IdentityFile %L", /config:1: %L in/);
  await refuses("IdentityFile ${NOPE}/x", /config:1: \$\{NOPE\} in/);
  await refuses("Host a\nProxyJump b\nHost b\nProxyJump a", /more than 8 hosts: a ring/);
  await refuses("Include config", /too many files include each other/);
  assert.equal((await resolved("StrictHostKeyChecking accept-new", "a")).trust, "on-first-use");
  assert.equal(
    (await resolved("StrictHostKeyChecking no", "a", { trust: "known-only" })).trust,
    "known-only",
  );
});

Deno.test("resolveHost() finds the agent that the configuration names", async () => {
  const agent = async (value: string) => (await resolved(`IdentityAgent ${value}`, "a")).agent;
  assert.equal(await agent("none"), null);
  assert.equal(await agent("SSH_AUTH_SOCK"), "/agent");
  assert.equal(await agent("$OTHER"), "/other");
  assert.equal(await agent("/run/%u.sock"), "/run/me.sock");
});

Deno.test("parseDestination() reads user, host and port, and addresses with colons", () => {
  const parts = (text: string) => Object.values(parseDestination(text));
  assert.deepEqual(parts("web"), ["web", null, null]);
  assert.deepEqual(parts("ann@b@web:22"), ["web", "ann@b", 22]);
  assert.deepEqual(parts("[fe80::1]:2222"), ["fe80::1", null, 2222]);
  assert.deepEqual(parts("ann@::1"), ["::1", "ann", null]);
  assert.deepEqual(parts("ssh://ann@web:22/"), ["web", "ann", 22]);
  for (const text of ["", "-oProxyCommand=x", "a b", "web:0", "web:70000", "ann@"]) {
    assert.throws(() => parseDestination(text), SshConfigError, text);
  }
  fc.assert(fc.property(fc.string(), (text) => {
    try {
      assert.equal(typeof parseDestination(text).host, "string");
    } catch (error) {
      assert.ok(error instanceof SshConfigError, String(error));
    }
  }));
});

async function resolved(config: string, name: string, overrides: Overrides = {}) {
  await using home = await folder({ ".ssh/config": config });
  const environment = { HOME: home.path, USER: "me", SSH_AUTH_SOCK: "/agent", OTHER: "/other" };
  return await resolveHost(name, { config: [`${home.path}/.ssh/config`], environment, overrides });
}

async function folder(files: Record<string, string>) {
  const path = await Deno.makeTempDir();
  for (const [name, text] of Object.entries(files)) {
    await Deno.mkdir(`${path}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(`${path}/${name}`, text);
  }
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
