import assert from "node:assert/strict";
import { TrustError } from "./errors.ts";
import { BOX_NONCE_BYTES, type BoxKey, openBox, sealBox } from "./sealed_box.ts";
import { Secret } from "./secret.ts";

const KEY: BoxKey = { secret: new Secret("9f".repeat(32)), purpose: "test/1" };
const NONCE = Uint8Array.fromHex("000102030405060708090a0b");
const PLAIN = new TextEncoder().encode("1x" + "a".repeat(64));

Deno.test("openBox() gives back what sealBox() sealed, nothing included", () => {
  assert.deepEqual(openBox(sealBox(PLAIN, KEY, NONCE), KEY), PLAIN);
  assert.deepEqual(openBox(sealBox(new Uint8Array(0), KEY, NONCE), KEY), new Uint8Array(0));
});

Deno.test("sealBox() is AES-256-GCM under the HKDF of secret and purpose, as WebCrypto does it", async () => {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const secret = await crypto.subtle.importKey("raw", bytes(KEY.secret.reveal()), "HKDF", false, [
    "deriveKey",
  ]);
  const hkdf = { name: "HKDF", hash: "SHA-256", salt: bytes(""), info: bytes(KEY.purpose) };
  const key = await crypto.subtle.deriveKey(hkdf, secret, { name: "AES-GCM", length: 256 }, false, [
    "encrypt",
  ]);
  const sealed = await crypto.subtle.encrypt({ name: "AES-GCM", iv: NONCE }, key, PLAIN);
  assert.deepEqual(sealBox(PLAIN, KEY, NONCE), new Uint8Array([...NONCE, ...new Uint8Array(sealed)]));
});

Deno.test("openBox() opens with no other secret and for no other purpose", () => {
  const box = sealBox(PLAIN, KEY, NONCE);
  assert.equal(openBox(box, { ...KEY, secret: new Secret("9e".repeat(32)) }), null);
  assert.equal(openBox(box, { ...KEY, purpose: "test/2" }), null);
});

Deno.test("openBox() opens nothing that was changed, cut or made longer", () => {
  const box = sealBox(PLAIN, KEY, NONCE);
  for (let at = 0; at < box.length; at++) {
    const changed = box.slice();
    changed[at] = (changed[at] ?? 0) ^ 1;
    assert.equal(openBox(changed, KEY), null, `byte ${at}`);
    assert.equal(openBox(box.subarray(0, at), KEY), null, `length ${at}`);
  }
  assert.equal(openBox(new Uint8Array([...box, 0]), KEY), null);
});

Deno.test("sealBox() refuses a nonce of another length", () => {
  const short = NONCE.subarray(1);
  assert.equal(short.length, BOX_NONCE_BYTES - 1);
  assert.throws(
    () => sealBox(PLAIN, KEY, short),
    (error) => error instanceof TrustError && error.reason === "malformed",
  );
});
