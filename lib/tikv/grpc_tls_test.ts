import assert from "node:assert/strict";
import type { SecureServerOptions } from "node:http2";
import { RpcError, TikvError } from "./errors.ts";
import { answer, serveGrpc } from "./grpc_testing.ts";
import type { TlsOptions } from "./grpc_tls.ts";
import { Kv, Store } from "./methods.ts";
import { createRuntime } from "./runtime.ts";
import { createWire } from "./wire.ts";

interface Identity {
  cert: string;
  key: string;
}

/** Authorities and certificates, as the openssl program makes them, in a folder of this test. */
async function certificates(folder: string) {
  const authority = async (name: string) => {
    await openssl(folder, name, []);
    return await Deno.readTextFile(`${folder}/${name}.pem`);
  };
  const signed = async (name: string, by: string, alternative: string): Promise<Identity> => {
    const extensions = [`subjectAltName=${alternative}`, "basicConstraints=critical,CA:FALSE"];
    const signer = ["-CA", `${folder}/${by}.pem`, "-CAkey", `${folder}/${by}.key`];
    await openssl(folder, name, [...signer, ...extensions.flatMap((each) => ["-addext", each])]);
    const [cert, key] = await Promise.all(
      [`${name}.pem`, `${name}.key`].map((file) => Deno.readTextFile(`${folder}/${file}`)),
    );
    return { cert: cert ?? "", key: key ?? "" };
  };
  return {
    ca: await authority("ca"),
    otherCa: await authority("other_ca"),
    server: await signed("server", "ca", "IP:127.0.0.1,DNS:localhost"),
    elsewhere: await signed("elsewhere", "ca", "DNS:elsewhere.example"),
    client: await signed("client", "ca", "DNS:client.example"),
    stranger: await signed("stranger", "other_ca", "DNS:client.example"),
  };
}

async function openssl(folder: string, name: string, args: string[]): Promise<void> {
  const fresh = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
  ];
  const files = ["-subj", `/CN=${name}`, "-keyout", `${folder}/${name}.key`, "-out", `${folder}/${name}.pem`];
  const { success, stderr } = await new Deno.Command("openssl", { args: [...fresh, ...files, ...args] })
    .output();
  assert.ok(success, new TextDecoder().decode(stderr));
}

async function serve(tls: SecureServerOptions | undefined, port = 0) {
  return await serveGrpc({
    port,
    ...tls === undefined ? {} : { tls },
    onCall: (call) => answer(call, Store.health, () => ({ status: 1 })),
  });
}

/** One call with a client of its own, and how it ends. */
async function outcome(address: string, tls: TlsOptions | undefined): Promise<unknown> {
  const wire = createWire({ runtime: createRuntime(), tls });
  try {
    return await wire.call(address, Store.health, {}, { timeoutMs: 5_000 });
  } catch (error) {
    return error;
  } finally {
    await wire.close();
  }
}

function assertTls(error: unknown, message: RegExp) {
  assert.ok(error instanceof TikvError, String(error));
  assert.equal(error.code, "tls");
  assert.equal(error.retry, false);
  assert.match(error.message, message);
}

Deno.test("connections over TLS", async (test) => {
  const folder = await Deno.makeTempDir();
  const made = await certificates(folder);
  const good = { status: 1 };
  try {
    await test.step("an IP address and a name are accepted where the certificate has them", async () => {
      await using server = await serve(made.server);
      assert.deepEqual(await outcome(server.address, { ca: made.ca }), good);
      assert.deepEqual(await outcome(`localhost:${server.port}`, { ca: made.ca }), good);
    });

    await test.step("a certificate of an unknown authority is refused", async () => {
      await using server = await serve(made.server);
      assertTls(
        await outcome(server.address, { ca: made.otherCa }),
        /connect to 127\.0\.0\.1:\d+: .*certificate/,
      );
      assertTls(await outcome(server.address, {}), /certificate/);
    });

    await test.step("a certificate for another name is refused", async () => {
      await using server = await serve(made.elsewhere);
      assertTls(await outcome(server.address, { ca: made.ca }), /does not match/);
    });

    await test.step("a server without TLS is refused", async () => {
      await using server = await serve(undefined);
      assertTls(await outcome(server.address, { ca: made.ca }), /connect to/);
    });

    await test.step("a client without TLS cannot reach a server with it", async () => {
      await using server = await serve(made.server);
      const error = await outcome(server.address, undefined);
      assert.ok(error instanceof RpcError && !error.sent, String(error));
    });

    await test.step("a server that asks for our certificate gets it; none and a stranger's are refused", async () => {
      await using server = await serve({
        ...made.server,
        ca: made.ca,
        requestCert: true,
        rejectUnauthorized: true,
      });
      assert.deepEqual(await outcome(server.address, { ca: made.ca, ...made.client }), good);
      assertTls(await outcome(server.address, { ca: made.ca }), /check the certificates of both sides/);
      assertTls(await outcome(server.address, { ca: made.ca, ...made.stranger }), /check the certificates/);
    });

    await test.step("nobody there is unavailable, with TLS as without", async () => {
      const server = await serve(made.server);
      await server.close();
      const error = await outcome(server.address, { ca: made.ca });
      assert.ok(error instanceof RpcError && error.status === 14 && !error.sent, String(error));
    });

    await test.step("the batch stream fails with tls as well", async () => {
      await using server = await serve(made.server);
      const wire = createWire({ runtime: createRuntime(), tls: { ca: made.otherCa } });
      assertTls(
        await wire.call(server.address, Kv.get, {}, { timeoutMs: 5_000 }).catch((error) => error),
        /certificate/,
      );
      await wire.close();
    });

    await test.step("files are read again at every dial", async () => {
      const ca = `${folder}/trusted.pem`;
      await Deno.writeTextFile(ca, made.otherCa);
      await using server = await serve(made.server);
      const runtime = createRuntime();
      const wire = createWire({
        runtime,
        tls: { ca, cert: `${folder}/client.pem`, key: `${folder}/client.key` },
      });
      const call = () =>
        wire.call(server.address, Store.health, {}, { timeoutMs: 5_000 }).catch((error) => error);
      for (let calls = 0; calls < 3; calls++) assertTls(await call(), /certificate/);
      await Deno.writeTextFile(ca, made.ca);
      let reply;
      for (let tries = 0; tries < 50 && (reply === undefined || reply instanceof Error); tries++) {
        await runtime.sleep(20);
        reply = await call();
      }
      assert.deepEqual(reply, good);
      await wire.close();
    });

    await test.step("options that are no PEM and no file, or half a pair, are told before a dial", async () => {
      await Deno.writeTextFile(`${folder}/empty.pem`, "");
      assertTls(
        await outcome("127.0.0.1:1", { ca: `${folder}/absent.pem` }),
        /load TLS ca: no PEM text, and no file/,
      );
      assertTls(await outcome("127.0.0.1:1", { ca: `${folder}/empty.pem` }), /it holds no PEM/);
      assertTls(await outcome("127.0.0.1:1", { cert: made.client.cert }), /go together/);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
