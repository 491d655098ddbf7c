/**
 * Logins by password and by questions: on a real host whose sshd takes passwords; where questions or two proofs are
 * wanted, which need PAM in OpenSSH, the far side is ssh2's own server.
 */
import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { resolveHost, type SshHost } from "../../lib/nanostate/transport/ssh_host.ts";
import type { Questions } from "../../lib/nanostate/transport/ssh_login.ts";
import { startHosts } from "../parts/hosts.ts";
import { makeKey } from "../parts/sshd.ts";
import { fails, output } from "./ssh_support.ts";

const PASSWORD = "s3cret";

Deno.test("a password logs in to a real sshd, after the keys that it does not take, and a wrong one does not", async () => {
  await using hosts = await startHosts({ count: 1 });
  const [there] = hosts.list;
  assert.ok(there);
  const folder = await Deno.makeTempDir();
  try {
    await makeKey(`${folder}/key`, { type: "ed25519" });
    const host = await resolveHost(`ann@${there.address}:${there.port}`, {
      config: [],
      environment: { HOME: folder, USER: "me" },
      overrides: { knownHosts: [hosts.knownHostsPath], identityFiles: [`${folder}/key`] },
    });
    const asked: string[] = [];
    const ask = (password: string) => ({
      password: (address: string) => Promise.resolve(asked.push(address) ? password : null),
    });
    assert.equal(await output(host, "whoami", { ask: ask(hosts.password) }), "ann\n");
    assert.deepEqual(asked, [`ann@${there.address}:${there.port}`]);
    await fails(
      output(host, "true", { ask: ask("no") }),
      "login",
      /key SHA256:\S+, a password; it takes publickey, password/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a password logs in; a wrong one is asked for again, three times in all, and is in no message", async () => {
  await using there = await serve(["password"]);
  const given = ["wrong", PASSWORD];
  const password = () => Promise.resolve(given.shift() ?? null);
  assert.equal(await output(there.host, "x", { ask: { password } }), "ann by password\n");

  let asked = 0;
  const wrong = () => Promise.resolve(`${PASSWORD}${asked++}`);
  const work = output(there.host, "x", { ask: { password: wrong } });
  await fails(work, "login", /not accepted: a password, a password, a password; it takes password/);
  await assert.rejects(
    work,
    (error: Error) => !JSON.stringify([error.message, error.stack]).includes(PASSWORD),
  );
  assert.equal(asked, 3);
});

Deno.test("the same password is not tried again, and nothing is tried where nobody is asked", async () => {
  await using there = await serve(["password"]);
  const before = there.attempts.length;
  await fails(
    output(there.host, "x", { ask: { password: () => Promise.resolve("no") } }),
    "login",
    /a password; it/,
  );
  assert.deepEqual(there.attempts.slice(before), ["none", "password"]);
  await fails(output(there.host, "x"), "login", /there is no key to try; it takes password/);
  await fails(
    output(there.host, "x", { ask: { password: () => Promise.resolve(null) } }),
    "login",
    /no key to try/,
  );
  await fails(
    output(there.host, "x", { ask: { password: () => Promise.reject(new Error("gone")) } }),
    "login",
    /no key/,
  );
});

Deno.test("a host that only asks questions gets the password for the one that is hidden, and answers for others", async () => {
  await using one = await serve(["keyboard-interactive"], [{ prompt: "Password: ", echo: false }]);
  const password = () => Promise.resolve(PASSWORD);
  assert.equal(await output(one.host, "x", { ask: { password } }), "ann by keyboard-interactive\n");

  const prompts = [{ prompt: "Password: ", echo: false }, { prompt: "Code: ", echo: true }];
  await using two = await serve(["keyboard-interactive"], prompts);
  const asked: Questions[] = [];
  const answers = (questions: Questions) => {
    asked.push(questions);
    return Promise.resolve([PASSWORD, "42"]);
  };
  assert.equal(await output(two.host, "x", { ask: { answers } }), "ann by keyboard-interactive\n");
  assert.equal(asked.length, 1);
  assert.deepEqual(asked[0]?.prompts, [{ text: "Password: ", echo: false }, { text: "Code: ", echo: true }]);
  await fails(output(two.host, "x", { ask: { password } }), "login", /it takes keyboard-interactive/);
});

Deno.test("a host that wants a key and then a password gets both", async () => {
  await using there = await serve(["publickey", "password"], [], { both: true });
  const ask = { password: () => Promise.resolve(PASSWORD) };
  const folder = await Deno.makeTempDir();
  try {
    await makeKey(`${folder}/key`, { type: "ed25519" });
    const host = { ...there.host, identityFiles: [`${folder}/key`] };
    assert.equal(await output(host, "x", { ask }), "ann by password\n");
    assert.deepEqual(there.attempts, ["publickey", "publickey", "password"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the clock stands still while people think", async () => {
  await using there = await serve(["password"]);
  const password = async () => {
    await new Promise((resolve) => setTimeout(resolve, 600));
    return PASSWORD;
  };
  assert.equal(await output(there.host, "x", { ask: { password }, connectMs: 400 }), "ann by password\n");
});

interface FarSide extends AsyncDisposable {
  host: SshHost;
  /** Methods in the order of their attempts. */
  attempts: string[];
}

/** A server that takes these methods, and tells by which one somebody came in. */
async function serve(
  methods: ssh2.AuthenticationType[],
  prompts: ssh2.Prompt[] = [],
  { both = false } = {},
): Promise<FarSide> {
  const folder = await Deno.makeTempDir();
  const line = await makeKey(`${folder}/host`, { type: "ed25519" });
  const attempts: string[] = [];
  const key = await Deno.readTextFile(`${folder}/host`);
  const server = new ssh2.Server({ hostKeys: [key] }, (client) => {
    let isKnown = false;
    client.on("error", () => {}); // the client hangs up after its last attempt
    client.on("authentication", (context) => {
      attempts.push(context.method);
      const refuse = () => context.reject(both && isKnown ? ["password"] : methods);
      const enter = (isRight: boolean) => isRight ? context.accept() : refuse();
      if (!methods.includes(context.method)) return refuse();
      if (context.method === "password") return enter(context.password === PASSWORD && (!both || isKnown));
      if (context.method === "publickey") {
        if (context.signature === undefined) return context.accept();
        isKnown = true;
        return context.reject(["password"], true);
      }
      if (context.method !== "keyboard-interactive") return refuse();
      context.prompt(prompts, (answers) => {
        const want = [PASSWORD, "42"].slice(0, prompts.length);
        enter(JSON.stringify(answers) === JSON.stringify(want));
      });
    });
    client.on("session", (accept) => {
      accept().on("exec", (accept) => {
        const channel = accept();
        channel.write(`ann by ${attempts.at(-1)}\n`);
        channel.exit(0);
        channel.end();
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await Deno.writeTextFile(`${folder}/known_hosts`, `[127.0.0.1]:${port} ${line}\n`);
  const host = await resolveHost(`ann@127.0.0.1:${port}`, {
    config: [],
    environment: { HOME: folder, USER: "ann" },
    overrides: { knownHosts: [`${folder}/known_hosts`] },
  });
  return {
    host,
    attempts,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
      await Deno.remove(folder, { recursive: true });
    },
  };
}
