/** Whether the machine that answers is the host that was meant, shown with OpenSSH's own keys, files and certificates. */
import assert from "node:assert/strict";
import type { Overrides } from "../../lib/nanostate/transport/ssh_host.ts";
import type { TrustedKey } from "../../lib/nanostate/transport/ssh_trust.ts";
import { run } from "../parts/command.ts";
import { makeKey, publicLine } from "../parts/sshd.ts";
import { type Bench, bench, fails, knownLine, output } from "./ssh_support.ts";

Deno.test("a host of which no key is known is refused, with the line that would make it known", async () => {
  await using there = await bench();
  await Deno.writeTextFile(there.knownHosts, "");
  const line = (await knownLine(there.sshd)).trim();
  const message = await refusal(there);
  assert.match(message, /Cannot trust 127.0.0.1: no key of it is known; it shows ssh-ed25519 SHA256:/);
  assert.ok(message.endsWith(`: ${line}`), message);
  assert.ok(message.includes(await fingerprintOf(there.sshd.hostKey("ed25519"))), message);
  assert.doesNotMatch(await there.sshd.log(), /Accepted|userauth/i);

  await Deno.writeTextFile(there.knownHosts, `${line}\n`);
  assert.equal(await output(await there.host(), "echo known"), "known\n");
});

Deno.test("trust on first use writes the key down, once, tells it, and refuses the next other key", async () => {
  await using there = await bench();
  const file = `${there.home}/fresh/known_hosts`;
  const told: TrustedKey[] = [];
  const overrides: Overrides = { trust: "on-first-use", knownHosts: [file] };
  const host = await there.host(overrides);
  const onTrusted = (key: TrustedKey) => told.push(key);
  assert.equal(await output(host, "echo 1", { onTrusted }), "1\n");
  assert.equal(await output(host, "echo 2", { onTrusted }), "2\n");
  const fingerprint = await fingerprintOf(there.sshd.hostKey("ed25519"));
  assert.deepEqual(told, [{ host: "127.0.0.1", type: "ssh-ed25519", fingerprint, file }]);
  assert.equal(await Deno.readTextFile(file), await knownLine(there.sshd));
  assert.equal(((await Deno.stat(file)).mode ?? 0) & 0o777, 0o600);

  await renewHostKey(there);
  await fails(
    output(host, "true", { onTrusted }),
    "host-key",
    /another key is known at \S+fresh\/known_hosts:1\./,
  );
  assert.equal(told.length, 1);
});

Deno.test("trust on first use appends to a file without a last newline, and hashes names where ssh would", async () => {
  await using there = await bench();
  const other = `other ${await publicLine(there.key)}`;
  await Deno.writeTextFile(there.knownHosts, other);
  const host = await there.host({ trust: "on-first-use" }, "HashKnownHosts yes");
  await output(host, "true");
  const lines = (await Deno.readTextFile(there.knownHosts)).split("\n");
  assert.equal(lines[0], other);
  assert.match(lines[1] ?? "", /^\|1\|/);
  assert.equal(lines.length, 3);
  const found = await run("ssh-keygen", ["-F", `[127.0.0.1]:${there.sshd.port}`, "-f", there.knownHosts]);
  assert.match(found.stdout, /found: line 2/);
  assert.equal(await output(await there.host(), "echo known"), "known\n");
});

Deno.test("a key that cannot be written down is not trusted", async () => {
  await using there = await bench();
  const file = `${there.key}/known_hosts`; // below a file there is no folder
  const host = await there.host({ trust: "on-first-use", knownHosts: [file] });
  await fails(output(host, "true"), "host-key", /its key cannot be written to \S+; make that writable/);
});

Deno.test("a changed key is refused with its place and what to do, and nothing is sent to the host", async () => {
  await using there = await bench();
  await renewHostKey(there);
  const message = await refusal(there);
  assert.match(message, /known_hosts:1\. Somebody may be in between\./);
  assert.match(message, /ssh-keygen -R '\[127.0.0.1\]:\d+' -f '/);
  assert.doesNotMatch(await there.sshd.log(), /Accepted/);
});

Deno.test("a revoked key is refused", async () => {
  await using there = await bench();
  const revoked = `@revoked * ${await publicLine(there.sshd.hostKey("ed25519"))}\n`;
  await Deno.writeTextFile(there.knownHosts, revoked, { append: true });
  assert.match(await refusal(there), /which is revoked at \S+:2$/);
});

Deno.test("names that ssh-keygen -H has hashed are found", async () => {
  await using there = await bench();
  await run("ssh-keygen", ["-q", "-H", "-f", there.knownHosts]);
  assert.match(await Deno.readTextFile(there.knownHosts), /^\|1\|/);
  assert.equal(await output(await there.host(), "echo hashed"), "hashed\n");
});

Deno.test("of a host with several keys the known one is asked for, whichever it is", async () => {
  const hostKeys = ["ed25519", "ecdsa", "ecdsa384", "ecdsa521", "rsa"] as const;
  await using there = await bench({ hostKeys });
  for (const type of hostKeys) {
    await Deno.writeTextFile(there.knownHosts, await knownLine(there.sshd, type));
    assert.equal(await output(await there.host(), `echo ${type}`), `${type}\n`);
  }
});

Deno.test("algorithms that the configuration leaves are used, each of ours works, and none in common is told", async () => {
  await using there = await bench({ config: () => "Ciphers +aes128-cbc\nLogLevel DEBUG1" });
  const { algorithms } = await there.host();
  const uses = async (keyword: string, name: string) => {
    assert.equal(await output(await there.host({}, `${keyword} ${name}`), "echo x"), "x\n");
    assert.ok((await there.sshd.log()).includes(name), name);
  };
  for (const name of algorithms.kex) await uses("KexAlgorithms", name);
  for (const name of algorithms.ciphers) await uses("Ciphers", name);
  for (const name of algorithms.macs) await uses("Ciphers aes256-ctr\nMACs", name);

  await using narrow = await bench({ config: () => "Ciphers aes128-cbc" });
  await fails(output(await narrow.host(), "true"), "protocol", /no matching C->S cipher/);
});

Deno.test("HostKeyAlias is what the host is known by", async () => {
  await using there = await bench();
  await Deno.writeTextFile(
    there.knownHosts,
    `db.example ${await publicLine(there.sshd.hostKey("ed25519"))}\n`,
  );
  assert.equal(await output(await there.host({}, "HostKeyAlias DB.example"), "echo db"), "db\n");
});

for (const authority of ["ed25519", "ecdsa", "rsa"] as const) {
  for (const type of ["ed25519", "ecdsa", "rsa"] as const) {
    Deno.test(`an ${authority} authority vouches for a host's ${type} key by certificate`, async () => {
      await using there = await certified({ authority, type, names: "127.0.0.1" });
      assert.equal(await output(await there.host(), "echo vouched"), "vouched\n");
      assert.doesNotMatch(await Deno.readTextFile(there.knownHosts), /^\[/m, "only the authority is known");
    });
  }
}

Deno.test("a certificate for another host, of another time, or for none does not count", async () => {
  const refuses = async (options: Partial<CertificateOptions>, message: RegExp) => {
    await using there = await certified({
      authority: "ed25519",
      type: "ed25519",
      names: "127.0.0.1",
      ...options,
    });
    assert.match(await refusal(there), message);
  };
  await refuses(
    { names: "other,third" },
    /certificate "h" of the authority at \S+:1 does not count: it is for other, third/,
  );
  await refuses({ validity: "20200101:20210101" }, /it was valid until 202[01]-/);
  await refuses({ validity: "20990101:21000101" }, /it is valid only from 209/);
  await refuses({ names: "" }, /it is for no host/);
});

Deno.test("a certificate of an authority that is not known, or not for this host, leaves the key to be judged", async () => {
  await using there = await certified({
    authority: "ed25519",
    type: "ed25519",
    names: "127.0.0.1",
    for: "*.other",
  });
  assert.match(await refusal(there), /no key of it is known/);
  await Deno.writeTextFile(there.knownHosts, await knownLine(there.sshd), { append: true });
  assert.equal(await output(await there.host(), "echo key"), "key\n");
});

Deno.test("a revoked authority vouches for nobody", async () => {
  await using there = await certified({ authority: "ed25519", type: "ed25519", names: "127.0.0.1" });
  const revoked = `@revoked * ${await publicLine(`${there.sshd.folder}/ca`)}\n`;
  await Deno.writeTextFile(there.knownHosts, revoked, { append: true });
  assert.match(await refusal(there), /it or its authority is revoked at \S+:2/);
});

for (const type of ["ed25519", "rsa"] as const) {
  Deno.test(`the connection outlives renewals of its keys, by an ${type} certificate and by a key new to us`, async () => {
    await using there = await certified({ authority: "ed25519", type, names: "127.0.0.1" });
    const renewals = async () => (await there.sshd.log()).match(/rekey/g)?.length ?? 0;
    const send = "head -c 9000000 /dev/zero | tr '\\0' x";
    assert.equal((await output(await there.host(), send)).length, 9_000_000);
    const before = await renewals();
    assert.ok(before >= 9, `${before} renewals`);

    await Deno.writeTextFile(there.knownHosts, "");
    const told: TrustedKey[] = [];
    const host = await there.host({ trust: "on-first-use" });
    const text = await output(host, send, { onTrusted: (key) => told.push(key) });
    assert.equal(text.length, 9_000_000);
    assert.equal(told.length, 1);
    assert.ok(await renewals() >= before + 9);
  });
}

interface CertificateOptions {
  authority: "ed25519" | "ecdsa" | "rsa";
  type: "ed25519" | "ecdsa" | "rsa";
  /** Of the host, with commas between. */
  names: string;
  validity?: string;
  /** Hosts that the authority is known for. @default all */
  for?: string;
}

/** An sshd with a certificate, whose authority is all that is known. Renews its keys each megabyte. */
async function certified(options: CertificateOptions): Promise<Bench> {
  const { authority, type, names, validity } = options;
  const there = await bench({
    hostKeys: [type],
    config: (folder) => `HostCertificate ${folder}/host_${type}-cert.pub\nRekeyLimit 1M\nLogLevel DEBUG1`,
  });
  const ca = `${there.sshd.folder}/ca`;
  const line = await makeKey(ca, { type: authority });
  const principals = names === "" ? [] : ["-n", names];
  const time = validity === undefined ? [] : ["-V", validity];
  const key = there.sshd.hostKey(type);
  await run("ssh-keygen", ["-q", "-s", ca, "-I", "h", "-h", ...principals, ...time, `${key}.pub`]);
  await there.sshd.restart();
  await Deno.writeTextFile(there.knownHosts, `@cert-authority ${options.for ?? "*"} ${line}\n`);
  return there;
}

async function renewHostKey({ sshd }: Bench): Promise<void> {
  const key = sshd.hostKey("ed25519");
  await Deno.remove(key);
  await Deno.remove(`${key}.pub`);
  await makeKey(key, { type: "ed25519" });
  await sshd.restart();
}

async function refusal(there: Bench): Promise<string> {
  const host = await there.host();
  let message = "";
  await fails(
    output(host, "true").catch((error: Error) => {
      message = error.message;
      throw error;
    }),
    "host-key",
    /^Cannot trust /,
  );
  return message;
}

async function fingerprintOf(key: string): Promise<string> {
  return (await run("ssh-keygen", ["-l", "-f", `${key}.pub`])).stdout.split(" ")[1] ?? "";
}
