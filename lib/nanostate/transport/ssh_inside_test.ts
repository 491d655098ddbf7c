/** Against ssh2's own server, made to show a certificate: what holds of that is that its key has to sign. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { generateKeyPairSync, sign } from "node:crypto";
import { type AddressInfo, connect as connectTcp } from "node:net";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { parseCertificate } from "./ssh_certificate.ts";
import { offerCertificates, useCertifiedKey } from "./ssh_inside.ts";
import { certificateOf, newKey, type TestKey } from "./ssh_testing.ts";

const TYPE = "ssh-ed25519-cert-v01@openssh.com";

Deno.test("useCertifiedKey() goes on with a host that has the certificate's key, and with no other", async () => {
  const host = newKey();
  const certificate = certificateOf(host, newKey());
  assert.equal(await handshake(certificate, host), "handshake");
  assert.match(await handshake(certificate, newKey()), /signature verification failed/);
});

Deno.test("offerCertificates() and useCertifiedKey() fail where ssh2 is not as they know it", () => {
  const other = new ssh2.Client();
  assert.throws(() => offerCertificates(other, [TYPE]), /Cannot use ssh2: its version is another/);
  const key = { type: "ssh-ed25519", blob: Buffer.alloc(0) };
  assert.throws(() => useCertifiedKey(other, Buffer.alloc(0), key), /Cannot use ssh2/);
});

/** The event or error that a client comes to whose host shows this certificate and signs with that key. */
async function handshake(certificate: Buffer, signer: TestKey): Promise<string> {
  const { privateKey: plain } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const server = new ssh2.Server(
    { hostKeys: [plain.export({ type: "sec1", format: "pem" })] },
    (peer) => {
      peer.on("error", () => {}); // the client may hang up
      showCertificate(peer, certificate, signer);
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const socket = connectTcp({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
  const client = new ssh2.Client();
  try {
    return await new Promise<string>((resolve) => {
      client.on("error", (error) => resolve(error.message));
      client.on("handshake", () => resolve("handshake"));
      client.connect({
        sock: socket,
        username: "ann",
        hostVerifier(shown: Buffer) {
          const key = parseCertificate(shown)?.key;
          if (key !== undefined) useCertifiedKey(client, shown, key);
          return key !== undefined;
        },
      });
      offerCertificates(client, [TYPE]);
    });
  } finally {
    client.destroy();
    socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** What the test takes of the server's inside. */
interface Inside {
  _protocol: {
    _hostKeys: Record<string, unknown>;
    _kex: { negotiated: { serverHostKey: string } };
  };
}

/** Before the exchange: the server names the certificate's type, shows it, and signs as a plain key would. */
function showCertificate(peer: unknown, certificate: Buffer, signer: TestKey): void {
  const { _protocol: protocol } = peer as Inside;
  offerCertificates(peer as ssh2.Client, [TYPE]);
  protocol._hostKeys[TYPE] = {
    type: "ssh-ed25519",
    getPublicSSH() {
      protocol._kex.negotiated.serverHostKey = "ssh-ed25519";
      return certificate;
    },
    sign: (data: Buffer) => sign(null, data, signer.private),
  };
}
