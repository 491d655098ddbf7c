import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { exportJWK, exportSPKI, importPKCS8 } from "jose";
import {
  fingerprintOf,
  fingerprintOfPem,
  generateIdentity,
  identityFromPem,
  identityFromSeed,
  identityToPem,
  isFingerprint,
  publicKeyFromPem,
  publicKeyFromSpki,
  rememberingVerify,
  saltFingerprintOfPem,
  samePublicKey,
  type Signer,
  spkiOf,
  verifyEd25519,
} from "./keys.ts";
import { Secret } from "./secret.ts";
import { refuses, seeded } from "./testing.ts";

/** A 2048-bit key as a Salt master writes it; its fingerprints were computed with Python's hashlib. */
const RSA_PEM = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA3wht0LiVyPwIPnts7SmK
S5MWUDSSMCmPpAlIRS/nVZuQSUK8Yhnr9QgSyWTXAcq2q6HmO4GKq6pIcszp1+Gn
XbjtGv9CY4Qzvi7X4DA2Hjf51rlZuiW5Bpp+ypO0rSdc+zdS/dtr+B5JtILfmIDe
nmmfnAegotk1yPkmvAEBY0PczGOsWjXrYlsfwJiEyjC2ql/8Ng4VHwl12vJLxve+
HFZw1i9j4s2bbTRzRIWQMyGOZhajdt6juoW68SKS3X25+5QKMVjYr1GtGfaU8xZd
pEqBIDfnEcBpXd+OUIVmkyz2G1TrcMJh9O7JIh2tKHxFFn9aPtWXJFX4AKLHTPNF
zwIDAQAB
-----END PUBLIC KEY-----
`;
const RSA_FINGERPRINT = "806e5283c5013a9797c9fddd4790e9454e8a606643444991a68e9f50e9d6dd2a";
const RSA_SALT_FINGERPRINT =
  "06:d9:c7:c6:a8:90:e6:f2:e9:9c:77:15:a4:27:6e:a7:1f:cf:ce:80:d6:54:97:02:f4:0d:81:b1:66:b9:5b:94";

function pemOf({ spki }: Signer): string {
  return String(publicKeyFromSpki(spki).export({ format: "pem", type: "spki" }));
}

Deno.test("identityFromSeed() makes the fingerprints of the format's test vector", () => {
  assert.equal(seeded(1).fp, "fd110d301d2f077de1414b8f99f441b1403fab207b2052fbd2c065e4ee8e7dc2");
  assert.equal(seeded(3).fp, "8cef065b7af83669150b7d32704d3d3e75c3e9aee0d4f6740544c68e81b377aa");
  refuses("bad-key", () => identityFromSeed(new Uint8Array(31)));
});

Deno.test("generateIdentity() never makes the same key twice", () => {
  assert.notEqual(generateIdentity().fp, generateIdentity().fp);
});

Deno.test("identityFromPem() reads what identityToPem() wrote, and so does jose", async () => {
  const identity = generateIdentity();
  const pem = identityToPem(identity);
  assert.equal(identityFromPem(pem).fp, identity.fp);
  assert.equal(`${pem}`, "[secret]");
  const theirs = await importPKCS8(pem.reveal(), "EdDSA", { extractable: true });
  assert.equal((await exportJWK(theirs)).x, (await exportJWK(publicKeyFromSpki(identity.spki))).x);
});

Deno.test("identityFromPem() refuses other keys and does not quote what it read", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
    format: "pem",
    type: "pkcs8",
  });
  refuses("bad-key", () => identityFromPem(new Secret(String(rsa))));
  refuses("bad-key", () => identityFromPem(new Secret(pemOf(seeded(1)))));
  assert.throws(
    () => identityFromPem(new Secret("hunter2")),
    (error) => !Deno.inspect(error).includes("hunter2"),
  );
});

for (const verify of [verifyEd25519, rememberingVerify({ keysMax: 1 })]) {
  const name = verify === verifyEd25519 ? "verifyEd25519" : "rememberingVerify";
  Deno.test(`${name}() is true for the key's own signature and false for anything else, each time`, () => {
    const { spki, sign } = seeded(1);
    const data = Uint8Array.of(1, 2, 3);
    for (let round = 0; round < 2; round++) {
      assert.equal(verify(spki, data, sign(data)), true);
      assert.equal(verify(spki, Uint8Array.of(1, 2), sign(data)), false);
      assert.equal(verify(seeded(2).spki, data, sign(data)), false);
      assert.equal(verify(seeded(2).spki, data, seeded(2).sign(data)), true);
      assert.equal(verify(spki.subarray(1), data, sign(data)), false);
      assert.equal(verify(spkiOf(publicKeyFromPem(RSA_PEM)), data, sign(data)), false);
      assert.equal(verify(spki, data, new Uint8Array(0)), false);
    }
  });
}

Deno.test("publicKeyFromSpki() reads one Ed25519 key in its one spelling", () => {
  const spki = Buffer.from(seeded(1).spki);
  assert.equal(fingerprintOf(spkiOf(publicKeyFromSpki(spki))), seeded(1).fp);
  refuses("bad-key", () => publicKeyFromSpki(new Uint8Array([...spki, 0])));
  refuses("bad-key", () => publicKeyFromSpki(spki.subarray(1)));
  refuses("bad-key", () => publicKeyFromSpki(spkiOf(publicKeyFromPem(RSA_PEM))));
});

Deno.test("publicKeyFromPem() refuses a private key, which it could derive from", () => {
  refuses("bad-key", () => publicKeyFromPem(identityToPem(seeded(1)).reveal()));
  refuses("bad-key", () => publicKeyFromPem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"));
});

Deno.test("fingerprintOfPem() and saltFingerprintOfPem() match what Python computed for the same RSA key", () => {
  assert.equal(fingerprintOfPem(RSA_PEM), RSA_FINGERPRINT);
  assert.equal(saltFingerprintOfPem(RSA_PEM), RSA_SALT_FINGERPRINT);
});

Deno.test("fingerprints do not depend on how the file was written", async () => {
  const spellings = [RSA_PEM.trimEnd(), RSA_PEM.replaceAll("\n", "\r\n"), "\n" + RSA_PEM + "\n"];
  for (const pem of spellings) {
    assert.equal(fingerprintOfPem(pem), RSA_FINGERPRINT);
    assert.equal(saltFingerprintOfPem(pem), RSA_SALT_FINGERPRINT);
    assert.ok(samePublicKey(pem, RSA_PEM));
  }
  const theirs = await exportSPKI(publicKeyFromPem(RSA_PEM));
  assert.ok(samePublicKey(theirs, RSA_PEM));
  assert.ok(!samePublicKey(pemOf(seeded(1)), pemOf(seeded(2))));
});

Deno.test("isFingerprint() takes 64 lower-case hex digits and nothing else", () => {
  assert.ok(isFingerprint(seeded(1).fp));
  for (const other of [seeded(1).fp.toUpperCase(), seeded(1).fp + "\n", seeded(1).fp.slice(1), "", null, 1]) {
    assert.ok(!isFingerprint(other));
  }
});
