import assert from "node:assert/strict";
import { packageAgent, type Program } from "./package.ts";

/** As on a fresh host: no network, no home, nothing in the environment. */
async function runOffline(
  program: string,
  args: string[],
): Promise<{ code: number; out: string; err: string }> {
  const command = new Deno.Command("unshare", {
    args: ["--net", program, ...args],
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin" },
    cwd: "/",
  });
  const { code, stdout, stderr } = await command.output();
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, out: decode(stdout), err: decode(stderr) };
}

async function sha256sum(path: string): Promise<string> {
  const { stdout } = await new Deno.Command("sha256sum", { args: [path] }).output();
  return new TextDecoder().decode(stdout).split(" ")[0] ?? "";
}

const AGENTS: [Program, string, string][] = [
  ["node-agent", "salar-node", "--nats-servers=127.0.0.1:4222"],
  ["client-agent", "salar-client", "--director-url=https://salar.example"],
];

for (const [program, command, needed] of AGENTS) {
  Deno.test(`packageAgent() makes a ${program} that runs without network, home and cache`, async () => {
    const to = await Deno.makeTempDir();
    try {
      const { archive } = await packageAgent(program, to);
      const folder = `${to}/unpacked`;
      await Deno.mkdir(folder);
      const tar = ["-xzf", archive, "-C", folder, "--strip-components=1"];
      assert.equal((await new Deno.Command("tar", { args: tar }).output()).code, 0);
      const help = await runOffline(`${folder}/${command}`, ["--help"]);
      assert.match(help.out, new RegExp(`^${command}: `), help.err);
      const config = await runOffline(`${folder}/${command}`, ["config", needed]);
      assert.match(
        config.out,
        /^joinTokenFile +\[secret\] in \/etc\/salar\/join-token +default$/m,
        config.err,
      );

      const sums = await new Deno.Command("sha256sum", {
        args: ["--check", "--strict", "SHA256SUMS"],
        cwd: folder,
      }).output();
      assert.equal(sums.code, 0);
    } finally {
      await Deno.remove(to, { recursive: true });
    }
  });
}

Deno.test("packageAgent() keeps the agent within the permissions of deno.json", async () => {
  const to = await Deno.makeTempDir();
  try {
    const { folder } = await packageAgent("node-agent", to);
    const secret = `${to}/secret`;
    await Deno.writeTextFile(secret, "{}");
    const { code, err } = await runOffline(`${folder}/salar-node`, ["status", "--config", secret]);
    assert.equal(code, 1);
    assert.match(err, /Requires read access/);
  } finally {
    await Deno.remove(to, { recursive: true });
  }
});

Deno.test("packageAgent() gives the same bytes for the same source, under a name that says so", async () => {
  const [one, two] = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  try {
    const first = await packageAgent("client-agent", one);
    const again = await packageAgent("client-agent", one); // over itself
    const second = await packageAgent("client-agent", two);
    assert.equal(first.archive, again.archive);
    assert.equal(first.archive.slice(one.length), second.archive.slice(two.length));
    assert.match(first.archive, /\/salar-client-agent-\d+\.\d+\.\d+-[0-9a-f]{12}\.tar\.gz$/);
    assert.equal(await sha256sum(first.archive), await sha256sum(second.archive));
    // Not where this machine keeps what it downloaded: elsewhere it is another place.
    assert.doesNotMatch(await Deno.readTextFile(`${first.folder}/agent.js`), /^\/\/ \.\.\//m);
  } finally {
    await Deno.remove(one, { recursive: true });
    await Deno.remove(two, { recursive: true });
  }
});
