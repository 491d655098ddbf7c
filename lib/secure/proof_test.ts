import assert from "node:assert/strict";
import fc from "fast-check";
import { checkProof, type HttpRequest, NONCE_BYTES, proofSender, proveRequest } from "./proof.ts";
import { CLOCK_SKEW_MS_MAX } from "./statement.ts";
import { refuses, seeded } from "./testing.ts";

const sender = seeded(1);
const nowMs = 1_795_420_800_000;
const nonce = new Uint8Array(NONCE_BYTES).fill(5);
const request: HttpRequest = {
  method: "POST",
  target: "/v1/report?full=1",
  body: new TextEncoder().encode('{"ok":true}'),
};
const header = proveRequest(request, sender, { nowMs, nonce });
const known = { nowMs, senderKey: (kid: string) => kid === sender.fp ? sender.spki : null };

Deno.test("checkProof() says who signed, when and with which nonce", () => {
  const proof = { kid: sender.fp, t: nowMs / 1000, n: "BQUFBQUFBQUFBQUFBQUFBQ" };
  assert.deepEqual(checkProof(header, request, known), proof);
  assert.equal(proofSender(header), sender.fp);
});

Deno.test("checkProof() accepts every request that proveRequest() signed, and not another", () => {
  const requests = fc.record({
    method: fc.constantFrom("GET", "POST", "PUT", "DELETE"),
    target: fc.webPath().filter((path) => path.startsWith("/")),
    body: fc.uint8Array({ maxLength: 64 }),
  });
  fc.assert(
    fc.property(requests, requests, (signed, other) => {
      const text = proveRequest(signed, sender, { nowMs, nonce });
      assert.equal(checkProof(text, signed, known).kid, sender.fp);
      const same = signed.method === other.method && signed.target === other.target &&
        signed.body.join() === other.body.join();
      if (!same) refuses("bad-signature", () => checkProof(text, other, known));
    }),
    { numRuns: 50 },
  );
});

Deno.test("checkProof() refuses when method, target, body, time, nonce or key differ", () => {
  const [kid, t, n, s] = header.slice("Salar-Proof ".length).split(",");
  const later = Number(t) + 1;
  const changed: [string, HttpRequest][] = [
    [header, { ...request, method: "PUT" }],
    [header, { ...request, target: "/v1/report?full=2" }],
    [header, { ...request, body: new Uint8Array() }],
    [`Salar-Proof ${kid},${later},${n},${s}`, request],
    [`Salar-Proof ${kid},${t},AAAAAAAAAAAAAAAAAAAAAA,${s}`, request],
  ];
  for (const [text, received] of changed) refuses("bad-signature", () => checkProof(text, received, known));
});

Deno.test("checkProof() refuses a key that is not that of the fingerprint, and one that does not hold", () => {
  const other = { nowMs, senderKey: () => seeded(2).spki };
  refuses("bad-key", () => checkProof(header, request, other));
  refuses("bad-signature", () => checkProof(header, request, { ...known, verify: () => false }));
});

Deno.test("checkProof() refuses a sender that is unknown or revoked", () => {
  refuses("unknown-sender", () => checkProof(header, request, { nowMs, senderKey: () => null }));
});

Deno.test("checkProof() allows clocks to differ by the skew and no more, either way", () => {
  for (const sign of [1, -1]) {
    checkProof(header, request, { ...known, nowMs: nowMs + sign * CLOCK_SKEW_MS_MAX });
    const late = { ...known, nowMs: nowMs + sign * (CLOCK_SKEW_MS_MAX + 1) };
    refuses("clock-skew", () => checkProof(header, request, late));
  }
});

Deno.test("checkProof() refuses a header out of form", () => {
  const [kid, t, n, s] = header.slice("Salar-Proof ".length).split(",");
  const bad = [
    "",
    "Bearer x",
    header.toLowerCase(),
    header + ",",
    header + ",x",
    `Salar-Proof ${kid},${t},${n}`,
    `Salar-Proof ${kid},0${t},${n},${s}`,
    `Salar-Proof ${kid},${t}.0,${n},${s}`,
    `Salar-Proof ${kid},-1,${n},${s}`,
    `Salar-Proof ${kid},${t},AAAA,${s}`,
    `Salar-Proof ${kid},${t},${n},${s}==`,
    `Salar-Proof ${kid?.toUpperCase()},${t},${n},${s}`,
  ];
  for (const text of bad) refuses("malformed", () => checkProof(text, request, known));
});

Deno.test("proveRequest() refuses a request with two readings", () => {
  for (const target of ["/a\n/b", "/a b", "/é", "a", ""]) {
    refuses("malformed", () => proveRequest({ ...request, target }, sender, { nowMs, nonce }));
  }
  for (const method of ["GET\n", "get", ""]) {
    refuses("malformed", () => proveRequest({ ...request, method }, sender, { nowMs, nonce }));
  }
  refuses("malformed", () => proveRequest(request, sender, { nowMs, nonce: new Uint8Array(8) }));
});
