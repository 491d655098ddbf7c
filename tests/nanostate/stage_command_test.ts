/**
 * `salar nodes stage` and `salar nodes run` as people use them: a used Uyuni server on a throw-away host becomes a node, over
 * real SSH, and its packaged agent then runs a state that the director names.
 */
import assert from "node:assert/strict";
import { packageAgent } from "../../tasks/package.ts";
import { ensureAnsible } from "../parts/ansible.ts";
import { startClusterFor } from "./staging_cluster.ts";
import { faults, PARAMS, SECRETS, startUyuniHost, type UyuniHost } from "./staging_host.ts";

const CLONE = new URL("../..", import.meta.url).pathname;
const NAME = "uyuni-1";

interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

/** The tool in the host's network, where its cluster is, with the permissions that it has. */
function toolIn(uyuni: UyuniHost, home: string) {
  const main = ["run", "--quiet", "--config", `${CLONE}deno.json`, "-P=cli", `${CLONE}cli/main.ts`];
  return async (...args: string[]): Promise<Ran> => {
    const { code, stdout, stderr } = await new Deno.Command("nsenter", {
      args: [`--net=/proc/${uyuni.host.pid}/ns/net`, Deno.execPath(), ...main, ...args],
      cwd: home,
      clearEnv: true,
      env: {
        PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
        HOME: home,
        USER: "root",
        DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
        SALAR_SERVER: "http://127.0.0.1:8480",
        SALAR_TOKEN_FILE: `${home}/admin.token`,
      },
      stdin: "null",
    }).output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  };
}

const LOCAL_STATE = `id: who-am-i
description: Shows whom the agent is
import: []
state:
  shown:
    - shell:
        - user: {run: id -un, changed: never}
        - mark: {run: "echo '{param('word')}' > /var/lib/salar-node/mark", creates: /var/lib/salar-node/mark}
`;

Deno.test("salar stages a used server, accepts it, and has its agent run a state", async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const { archive } = await packageAgent("node-agent", folder);
  const uyuni = stack.use(await startUyuniHost());
  await uyuni.addSystem("web-1");
  const cluster = stack.use(await startClusterFor(uyuni.host));
  await cluster.call("POST", "/v1/zones", { name: "berlin" });
  const { token } = await cluster.call<{ token: string }>("POST", "/v1/tokens", {
    name: "test",
    role: "admin",
  });

  await Deno.mkdir(`${folder}/.ssh`, { mode: 0o700 });
  await Deno.copyFile(uyuni.hosts.privateKeyPath, `${folder}/.ssh/id_ed25519`);
  await Deno.chmod(`${folder}/.ssh/id_ed25519`, 0o600);
  await Deno.copyFile(uyuni.hosts.knownHostsPath, `${folder}/.ssh/known_hosts`);
  await Deno.writeTextFile(`${folder}/admin.token`, token);
  await Deno.writeTextFile(`${folder}/database`, SECRETS.database_password);
  await Deno.writeTextFile(`${folder}/uyuni`, SECRETS.uyuni_password);
  const salar = toolIn(uyuni, folder);

  const { package: ansible } = await ensureAnsible("2.19.14");
  const params = {
    ...PARAMS,
    package: archive,
    director_url: cluster.directorUrl,
    nats_servers: cluster.natsServers,
    name: NAME,
    uyuni_url: "http://127.0.0.1:8080",
  };
  const host = `root@${uyuni.host.innerAddress}`;
  const stage = (...more: string[]) =>
    salar(
      ...["node", "stage", host, "--zone", "berlin", "--ansible", ansible],
      ...Object.entries(params).flatMap(([name, value]) => ["--param", `${name}=${value}`]),
      ...["--secret", "database_password=file:database", "--secret", "uyuni_password=file:uyuni", ...more],
    );
  const nodeState = async () => {
    const { items } = await cluster.call<{ items: { name: string; state: string; reason: string }[] }>(
      "GET",
      "/v1/nodes",
    );
    return items.find(({ name }) => name === NAME);
  };

  const rehearsed = await stage("--dry-run");
  assert.equal(rehearsed.code, 1, rehearsed.stderr);
  assert.match(
    rehearsed.stderr,
    /failed +staging\/\d+ +shell systems .*\n.*\n.*1 systems are registered here/,
  );
  assert.match(rehearsed.stderr, /Nothing is changed, and nothing has begun/);

  const refused = await stage();
  assert.equal(refused.code, 1, refused.stderr);
  assert.match(refused.stderr, /is failed: .*systems are registered here; .* give the parameter wipe=yes/);
  assert.match(refused.stderr, /salar state apply node-restore --host/);
  assert.equal(await nodeState(), undefined, "nobody has enrolled");

  const broken = await stage(
    "--wipe",
    "--param",
    "package=/nowhere/salar-node-agent-0.1.0-0123456789ab.tar.gz",
  );
  assert.equal(broken.code, 1, broken.stderr);
  assert.match(broken.stderr, /is failed: staging\/\d+ .*there is no such file/);
  await uyuni.host.exec("test -s /etc/salar/join-token"); // good for nothing now: the next one takes its place

  const staged = await stage("--wipe");
  assert.equal(staged.code, 0, staged.stderr);
  assert.equal((await nodeState())?.state, "staged");
  assert.equal(await uyuni.sql("select count(*) from rhnServer"), "0");

  const again = await stage("--wipe");
  assert.equal(again.code, 1);
  assert.match(again.stderr, /it is node "uyuni-1", staged; accept it, or remove it first/);
  assert.equal((await salar("node", "accept", NAME)).code, 0);

  await uyuni.host.exec(
    `install -d -m 755 /etc/salar/states && cat >/etc/salar/states/who.st <<'END'\n${LOCAL_STATE}END`,
  );
  const word = ["--param", "word=hello"];
  const planned = await salar("node", "run", NAME, "who-am-i", "--check", ...word);
  assert.equal(planned.code, 0, planned.stderr);
  const ran = await salar("node", "run", NAME, "who-am-i", ...word);
  assert.equal(ran.code, 0, ran.stderr);
  assert.equal((await uyuni.host.exec("cat /var/lib/salar-node/mark")).stdout, "hello\n");
  const id = /^\S+/m.exec(ran.stdout.split("\n")[1] ?? "")?.[0] ?? "";
  assert.match((await salar("run", "result", id)).stdout, /shown +shell +user +fine +salar\n/);
  const unknown = await salar("node", "run", NAME, "no-such-state");
  assert.equal(unknown.code, 1);
  assert.match(unknown.stderr, /is failed: it has no state "no-such-state" in \/etc\/salar\/states/);

  // A state that becomes PostgreSQL's superuser: nothing for an agent that is salar, until it is made root; and back.
  const verify = () => salar("node", "run", NAME, "node-verify", "--param", "verify_api=no");
  const agentAs = async (agent_user: string) => {
    const applied = await uyuni.apply("node-agent", {
      params: { ...params, agent_user },
      secrets: { join_token: "an enrolled agent asks for none" },
    });
    assert.equal(applied.code, 0, faults(applied));
  };
  assert.match((await verify()).stderr, /is failed: verified\/0 .*non-root/);
  await agentAs("root");
  const verified = await verify();
  assert.equal(verified.code, 0, verified.stderr);
  await agentAs("salar");
  assert.match((await verify()).stderr, /is failed: verified\/0 .*non-root/);

  const said =
    [refused, broken, staged, ran, verified].map(({ stdout, stderr }) => stdout + stderr).join("") +
    JSON.stringify(await cluster.call("GET", "/v1/events?limit=1000")) +
    (await uyuni.host.exec("cat /var/log/salar-node.log; ps -e -o args=")).stdout;
  for (const secret of [...Object.values(SECRETS), "sj1."]) {
    assert.ok(!said.includes(secret), "a secret is said nowhere");
  }
});
