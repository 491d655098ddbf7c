import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { type Certificate, certificateFault, parseCertificate } from "./ssh_certificate.ts";
import { certificateOf, newKey } from "./ssh_testing.ts";

const HOST = { hostName: "web.example", nowMs: 1_000_000_000 };

Deno.test("certificateFault() is null for a host's own, and says what is wrong with any other", () => {
  const host = newKey();
  const authority = newKey();
  const fault = (change: Parameters<typeof certificateOf>[2] = {}, signer = authority) =>
    certificateFault(read(certificateOf(host, authority, change, signer)), HOST);
  assert.equal(fault(), null);
  assert.equal(fault({ principals: ["other", "*.example"] }), null);
  assert.match(fault({ principals: ["other"] }) ?? "", /it is for other/);
  assert.match(fault({ principals: [] }) ?? "", /it is for no host/);
  assert.match(fault({ kind: 1 }) ?? "", /no host certificate/);
  assert.match(fault({ validAfterS: 1_000_001n }) ?? "", /valid only from 1970-01-12T13:46:41/);
  assert.match(fault({ validBeforeS: 1_000_000n }) ?? "", /valid until 1970-01-12T13:46:40/);
  assert.match(fault({ critical: ["force-command"] }) ?? "", /not known: force-command/);
  assert.match(fault({}, newKey()) ?? "", /signature is wrong/);
});

Deno.test("certificateFault() sees any byte that was changed", () => {
  const whole = certificateOf(newKey(), newKey());
  for (let at = 0; at < whole.length; at++) {
    const changed = Buffer.from(whole);
    changed[at] = (changed[at] ?? 0) ^ 1;
    const certificate = parseCertificate(changed);
    if (certificate !== null) assert.notEqual(certificateFault(certificate, HOST), null, `byte ${at}`);
  }
});

Deno.test("parseCertificate() reads any bytes without failing, and no part of a certificate", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    assert.equal(parseCertificate(Buffer.from(bytes)), null);
  }));
  const whole = certificateOf(newKey(), newKey());
  assert.notEqual(parseCertificate(whole), null);
  assert.equal(parseCertificate(Buffer.concat([whole, Buffer.of(0)])), null);
  for (let length = 0; length < whole.length; length++) {
    assert.equal(parseCertificate(whole.subarray(0, length)), null);
  }
});

function read(blob: Buffer): Certificate {
  const certificate = parseCertificate(blob);
  assert.ok(certificate);
  return certificate;
}
