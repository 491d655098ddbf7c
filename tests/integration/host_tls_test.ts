/** HTTPS of the functions' program: whom it is trusted by, what it says to others, and which files it refuses. */
import assert from "node:assert/strict";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { realNet } from "../../lib/mesh/real_net.ts";
import { isSalarError } from "../../lib/errors.ts";
import { type Certificate, makeCertificate } from "../parts/tls.ts";
import { refusedStart, startFunctions } from "./functions_program.ts";

const scope = realScope({ name: "test" });

/** Two authorities, each with a server certificate. */
async function withCertificates(
  test: (ours: Certificate, other: Certificate) => Promise<void>,
): Promise<void> {
  const folders = [await Deno.makeTempDir(), await Deno.makeTempDir()];
  try {
    const [ours, other] = await Promise.all(folders.map((folder) => makeCertificate(folder)));
    assert.ok(ours && other);
    await test(ours, other);
  } finally {
    await Promise.all(folders.map((folder) => Deno.remove(folder, { recursive: true })));
  }
}

const filesOf = ({ certFile, keyFile }: Certificate) => [
  ...["--http-cert-file", certFile],
  ...["--http-key-file", keyFile],
];

async function healthOf(url: string, caFile: string | null): Promise<unknown> {
  const net = realNet({ caPem: caFile && await Deno.readTextFile(caFile) });
  try {
    return await (await net.request(scope, new Request(`${url}/healthz`))).json();
  } finally {
    net.close();
  }
}

Deno.test("HTTPS: who trusts the authority is answered; another authority, none and plain HTTP fail cleanly", async () => {
  await withCertificates(async (ours, other) => {
    await using program = await startFunctions({ args: filesOf(ours) });
    const { url } = program;
    assert.match(url, /^https:/);
    const refused = (reason: RegExp) => (error: unknown) =>
      isSalarError(error, "unavailable") && reason.test(error.message);

    assert.deepEqual(await healthOf(url, ours.caFile), { alive: true });
    await assert.rejects(healthOf(url, other.caFile), refused(/certificate/));
    await assert.rejects(healthOf(url, null), refused(/certificate/));
    await assert.rejects(healthOf(url.replace("https:", "http:"), null), refused(/HTTP/));
    assert.deepEqual(await healthOf(url, ours.caFile), { alive: true }, "and it serves on");
    assert.equal(await program.stop(), 0, program.log());
    assert.doesNotMatch(program.log(), /"level":"(warn|error)"|[Uu]ncaught/);
  });
});

Deno.test("HTTPS: a renewed certificate counts from the next start", async () => {
  await withCertificates(async (ours, other) => {
    const args = filesOf(ours);
    await using before = await startFunctions({ args });
    await Deno.copyFile(other.certFile, ours.certFile);
    await Deno.copyFile(other.keyFile, ours.keyFile);
    assert.deepEqual(await healthOf(before.url, ours.caFile), { alive: true });
    await using after = await startFunctions({ args });
    assert.deepEqual(await healthOf(after.url, other.caFile), { alive: true });
  });
});

Deno.test("HTTPS: files that are missing, no PEM or no pair refuse the start, each named by its key", async () => {
  await withCertificates(async (ours, other) => {
    const absent = `${ours.certFile}.absent`;
    const cases: [Partial<Certificate>, RegExp[]][] = [
      [{ certFile: absent, keyFile: absent }, [
        /httpCertFile: .*absent is not there/,
        /httpKeyFile: .*is not there/,
      ]],
      [{ certFile: ours.keyFile }, [/httpCertFile: .* holds no PEM certificate/]],
      [{ keyFile: ours.certFile }, [/httpKeyFile: .* holds no PEM private key/]],
      [{ keyFile: other.keyFile }, [/httpKeyFile: .* is not the key of /]],
    ];
    for (const [files, reasons] of cases) {
      const { code, said } = await refusedStart({ args: filesOf({ ...ours, ...files }) });
      assert.equal(code, 1, said);
      for (const reason of reasons) assert.match(said, reason);
      assert.doesNotMatch(said, /PRIVATE KEY-|^\s+at /m);
    }
    const half = await refusedStart({ args: ["--http-cert-file", ours.certFile] });
    assert.match(half.said, /--http-cert-file: goes with httpKeyFile/);
    const open = await refusedStart({ args: ["--http-host", "0.0.0.0"] });
    assert.match(open.said, /--http-host: is not loopback, so httpCertFile and httpKeyFile are needed/);
    const authority = await refusedStart({ args: ["--node-ca-file", ours.keyFile] });
    assert.match(authority.said, /nodeCaFile: .* holds no PEM certificate/);
  });
});
