/** Logins over SSH on a real sshd: each kind of key, encrypted ones, ssh-agent, certificates, and what is said when none is taken. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { wireStrings } from "../../lib/nanostate/transport/ssh_key.ts";
import { keyRing } from "../../lib/nanostate/transport/ssh_keyring.ts";
import { run } from "../parts/command.ts";
import { type KeyFormat, makeKey, startSshAgent } from "../parts/sshd.ts";
import { bench, fails, output } from "./ssh_support.ts";

const PASSPHRASE = "correct horse";

for (const type of ["ed25519", "ecdsa", "ecdsa384", "ecdsa521", "rsa"] as const) {
  const formats: KeyFormat[] = type === "ed25519" ? ["RFC4716"] : ["RFC4716", "PEM", "PKCS8"];
  for (const format of formats) {
    Deno.test(`a key in a file logs in: ${type} as ${format}, plain and encrypted`, async () => {
      await using there = await bench();
      const plain = `${there.home}/plain`;
      await there.sshd.authorize(await makeKey(plain, { type, format }));
      const only = (file: string) => there.host({ identityFiles: [file], identitiesOnly: true });
      assert.equal(await output(await only(plain), "echo in"), "in\n");

      const locked = `${there.home}/locked`;
      await there.sshd.authorize(await makeKey(locked, { type, format, passphrase: PASSPHRASE }));
      const asked: string[] = [];
      const keys = keyRing({
        passphrase: (file) => Promise.resolve(asked.push(file) === 1 ? "wrong" : PASSPHRASE),
      });
      const host = await only(locked);
      assert.deepEqual(
        await Promise.all([output(host, "echo 1", { keys }), output(host, "echo 2", { keys })]),
        [
          "1\n",
          "2\n",
        ],
      );
      assert.deepEqual(asked, [locked, locked], "once, and again after the wrong one, for both connections");
      await fails(output(host, "true"), "login", /locked .*is encrypted: add it to ssh-agent/);
    });
  }
}

Deno.test("an Ed25519 key in PKCS#8 logs in, as openssl writes it", async () => {
  await using there = await bench();
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const point = Buffer.from(String(publicKey.export({ format: "jwk" }).x), "base64url");
  await there.sshd.authorize(`ssh-ed25519 ${wireStrings("ssh-ed25519", point).toString("base64")}`);
  const file = `${there.home}/ed25519.pem`;
  await writePkcs8(file, privateKey);
  const host = await there.host({ identityFiles: [file], identitiesOnly: true });
  assert.equal(await output(host, "echo in"), "in\n");
});

Deno.test("a key of a kind that SSH has not is passed over with the way out, and does not hinder others", async () => {
  await using there = await bench();
  const odd = `${there.home}/odd`;
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  await writePkcs8(odd, privateKey);
  await fails(
    output(await there.host({ identityFiles: [odd], identitiesOnly: true }), "true"),
    "login",
    /odd has no private key of a kind that is supported: if ssh takes it, add it to ssh-agent/,
  );
  assert.equal(await output(await there.host({ identityFiles: [odd, there.key] }), "echo other"), "other\n");
});

Deno.test("an encrypted key that the host does not want is not asked for its passphrase", async () => {
  await using there = await bench();
  const locked = `${there.home}/locked`;
  await makeKey(locked, { type: "ed25519", passphrase: PASSPHRASE });
  const keys = keyRing({ passphrase: () => Promise.reject(new Error("asked")) });
  const host = await there.host({ identityFiles: [locked, there.key] });
  assert.equal(await output(host, "echo in", { keys }), "in\n");
});

Deno.test("ssh-agent logs in with each kind of key, and IdentitiesOnly keeps its other keys back", async () => {
  await using there = await bench();
  await using agent = await startSshAgent();
  for (const type of ["ed25519", "ecdsa", "rsa"] as const) {
    const key = `${there.home}/${type}`;
    await there.sshd.authorize(await makeKey(key, { type }));
    await agent.add(key);
    await Deno.remove(key);
    const host = await there.host(
      { identityFiles: [key], identitiesOnly: true },
      `IdentityAgent ${agent.socket}`,
    );
    assert.equal(await output(host, `echo ${type}`), `${type}\n`);
    await Deno.remove(`${key}.pub`);
    await fails(output(host, "true"), "login", /there is no key to try; it takes publickey/);
  }
  const any = await there.host({ identityFiles: [] }, `IdentityFile none\nIdentityAgent ${agent.socket}`);
  assert.equal(await output(any, "echo any"), "any\n");
  const dead = await there.host({}, `IdentityAgent ${there.home}/none`);
  assert.equal(await output(dead, "echo file"), "file\n");
});

Deno.test("a user's certificate logs in, for each kind of key, from a file and by ssh-agent", async () => {
  await using there = await bench({ config: (folder) => `TrustedUserCAKeys ${folder}/ca.pub` });
  const ca = `${there.sshd.folder}/ca`;
  await makeKey(ca, { type: "ed25519" });
  await using agent = await startSshAgent();
  for (const type of ["ed25519", "ecdsa", "rsa"] as const) {
    const key = `${there.home}/${type}`;
    await makeKey(key, { type });
    const only = { identityFiles: [key], identitiesOnly: true };
    await fails(output(await there.host(only), "true"), "login", /not accepted/);
    await run("ssh-keygen", ["-q", "-s", ca, "-I", "ann", "-n", there.user, `${key}.pub`]);
    assert.equal(await output(await there.host(only), `echo ${type}`), `${type}\n`);

    await run("ssh-keygen", ["-q", "-p", "-N", PASSPHRASE, "-f", key]);
    await run("ssh-keygen", ["-q", "-p", "-P", PASSPHRASE, "-N", "", "-f", key]);
    await agent.add(key);
    await Deno.remove(key);
    await Deno.rename(`${key}-cert.pub`, `${key}.signed`);
    const config = `IdentityAgent ${agent.socket}\nCertificateFile ${key}.signed`;
    assert.equal(await output(await there.host(only, config), "echo agent"), "agent\n");
  }
});

Deno.test("a login that fails says which keys were tried, what the host takes and what was passed over", async () => {
  await using there = await bench();
  const wrong = `${there.home}/wrong`;
  await makeKey(wrong, { type: "ed25519" });
  const open = `${there.home}/open`;
  await makeKey(open, { type: "ed25519" });
  await Deno.chmod(open, 0o644);
  await Deno.writeTextFile(`${there.home}/noise`, "no key", { mode: 0o600 });
  const host = await there.host({ identityFiles: [wrong, open, `${there.home}/noise`] });
  await fails(
    output(host, "true"),
    "login",
    /not accepted: \S*wrong SHA256:\S+; it takes publickey; passed over: \S*open can be read by others: chmod 600 it; \S*noise has no private key of a kind/,
  );
});

Deno.test("too many keys are told from wrong ones: IdentitiesOnly is the advice, and helps", async () => {
  await using there = await bench({ config: () => "MaxAuthTries 3" });
  await using agent = await startSshAgent();
  for (let n = 0; n < 5; n++) {
    const key = `${there.home}/key${n}`;
    await makeKey(key, { type: "ed25519" });
    await agent.add(key);
  }
  const config = `IdentityAgent ${agent.socket}`;
  const many = await there.host({ identityFiles: [there.key] }, config);
  await fails(
    output(many, "true"),
    "login",
    /before all keys were tried: set IdentityFile and IdentitiesOnly/,
  );
  const few = await there.host({ identityFiles: [there.key], identitiesOnly: true }, config);
  assert.equal(await output(few, "echo in"), "in\n");
});

async function writePkcs8(path: string, key: KeyObject): Promise<void> {
  await Deno.writeTextFile(path, String(key.export({ type: "pkcs8", format: "pem" })), { mode: 0o600 });
}
