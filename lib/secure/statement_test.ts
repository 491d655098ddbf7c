import assert from "node:assert/strict";
import fc from "fast-check";
import { CompactSign, compactVerify, exportJWK, UnsecuredJWT } from "jose";
import { sha256Hex, toBase64url } from "./encoding.ts";
import {
  type Claims,
  CLOCK_SKEW_MS_MAX,
  type KindTable,
  openStatement,
  type Receiver,
  signStatement,
  STATEMENT_BYTES_MAX,
  statementSender,
} from "./statement.ts";
import { TrustError } from "./errors.ts";
import { publicKeyFromSpki } from "./keys.ts";
import { refuses, seeded } from "./testing.ts";

const director = seeded(1);
const agent = seeded(3);
const nowMs = 1_795_420_800_000;
const kinds: KindTable = { "directive.move": "cluster", "directive.retire": "cluster", "node.beat": "node" };
const toAgent: Receiver = {
  me: agent.fp,
  cluster: "c-test",
  kinds,
  accepts: ["directive.move"],
  nowMs,
  sender: (kid) => kid === director.fp ? { spki: director.spki, role: "cluster" } : null,
};
const move = {
  kind: "directive.move",
  cluster: "c-test",
  to: agent.fp,
  seq: 7,
  iat: nowMs / 1000,
  exp: nowMs / 1000 + 3600,
  epoch: 3,
  body: { master: "b.example" },
};
const claims: Claims = { v: 1, from: director.fp, ...move };
const text = signStatement(move, director);
const header = { alg: "EdDSA", typ: "salar+jws", kid: director.fp };

/** A statement by a sender that follows no rule but signs with a real key. */
function signRaw(payload: string | Uint8Array, head: unknown = header, identity = director): Promise<string> {
  const signer = new CompactSign(typeof payload === "string" ? new TextEncoder().encode(payload) : payload);
  const withHead = signer.setProtectedHeader(JSON.parse(JSON.stringify(head)));
  return withHead.sign(identity.privateKey, { crit: { b: true } });
}

Deno.test("signStatement() makes the test vector of format v1", () => {
  assert.equal(text.length, 601);
  assert.equal(sha256Hex(text), "94f90baf0d20cb5df12b9cb96efdc3d575c42eba27fe773a26441962522cb49f");
});

Deno.test("openStatement() gives the claims, for me or for everybody", () => {
  assert.deepEqual(openStatement(text, toAgent), claims);
  const toAll = signStatement({ ...move, to: "*" }, director);
  assert.equal(openStatement(toAll, toAgent).to, "*");
});

Deno.test("statementSender() tells whose key to find, and refuses what has no such header", () => {
  assert.equal(statementSender(text), director.fp);
  refuses("malformed", () => statementSender("?.e30.AA"));
  refuses("bad-header", () => statementSender("e30.e30.AA"));
  refuses("bad-header", () => statementSender(""));
});

Deno.test("jose opens what signStatement() signed", async () => {
  const { payload, protectedHeader } = await compactVerify(text, publicKeyFromSpki(director.spki));
  assert.deepEqual(protectedHeader, header);
  assert.deepEqual(JSON.parse(new TextDecoder().decode(payload)), claims);
});

Deno.test("openStatement() opens what jose signed, whatever the order and spacing of its JSON", async () => {
  const shuffled = Object.fromEntries(Object.entries(claims).reverse());
  const signed = await signRaw(JSON.stringify(shuffled, null, 2), {
    kid: header.kid,
    typ: header.typ,
    alg: header.alg,
  });
  assert.deepEqual(openStatement(signed, toAgent), claims);
});

Deno.test("openStatement() returns every body as it was signed", () => {
  const bodies = fc.dictionary(fc.string(), fc.jsonValue()).map((body): Claims["body"] =>
    JSON.parse(JSON.stringify(body))
  );
  fc.assert(fc.property(bodies, fc.maxSafeNat(), fc.maxSafeNat(), (body, seq, epoch) => {
    const opened = openStatement(signStatement({ ...move, body, seq, epoch }, director), toAgent);
    assert.deepEqual([opened.body, opened.seq, opened.epoch], [body, seq, epoch]);
  }));
});

Deno.test("openStatement() refuses a statement with any one character changed", () => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
  fc.assert(
    fc.property(fc.nat({ max: text.length - 1 }), fc.constantFrom(...alphabet), (at, char) => {
      if (text[at] === char) return;
      assert.throws(() => openStatement(text.slice(0, at) + char + text.slice(at + 1), toAgent), TrustError);
    }),
    { numRuns: 500 },
  );
});

Deno.test("openStatement() refuses expiry, to the millisecond", () => {
  openStatement(text, { ...toAgent, nowMs: move.exp * 1000 - 1 });
  refuses("expired", () => openStatement(text, { ...toAgent, nowMs: move.exp * 1000 }));
});

Deno.test("openStatement() refuses a statement dated further ahead than clocks may differ", () => {
  openStatement(text, { ...toAgent, nowMs: nowMs - CLOCK_SKEW_MS_MAX });
  refuses("not-yet-valid", () => openStatement(text, { ...toAgent, nowMs: nowMs - CLOCK_SKEW_MS_MAX - 1 }));
});

Deno.test("openStatement() refuses a kind that the sender's role may not send, or that this door does not take", () => {
  for (const kind of ["node.beat", "directive.other", "directive.retire"]) {
    const other = signStatement({ ...move, kind }, director);
    refuses("kind-not-allowed", () => openStatement(other, toAgent));
  }
  const asNode = { ...toAgent, sender: () => ({ spki: director.spki, role: "node" }) };
  refuses("kind-not-allowed", () => openStatement(text, asNode));
});

Deno.test("openStatement() lets an enrolment bring its own key, and only its own", () => {
  const door: Receiver = {
    ...toAgent,
    kinds: { "enrol.system": "unknown" },
    accepts: ["enrol.system"],
    sender: (_kid, { body }) => ({ spki: Buffer.from(Object(body).identityKey, "base64"), role: "unknown" }),
  };
  const enrol = (identityKey: string) =>
    signStatement({ ...move, kind: "enrol.system", body: { identityKey } }, director);
  assert.equal(openStatement(enrol(Buffer.from(director.spki).toString("base64")), door).from, director.fp);
  refuses("bad-key", () => openStatement(enrol(Buffer.from(agent.spki).toString("base64")), door));
  refuses("bad-key", () => openStatement(enrol(""), door));
});

Deno.test("openStatement() refuses kinds that every object has by inheritance", async () => {
  for (const kind of ["constructor", "__proto__", "hasOwnProperty", "", 1, null, ["directive.move"]]) {
    const signed = await signRaw(JSON.stringify({ ...claims, kind }));
    refuses("kind-not-allowed", () => openStatement(signed, toAgent));
  }
});

Deno.test("openStatement() refuses a forwarded statement and one for another cluster", () => {
  refuses(
    "wrong-recipient",
    () => openStatement(text, { ...toAgent, me: seeded(4).fp }),
  );
  refuses("wrong-cluster", () => openStatement(text, { ...toAgent, cluster: "c-other" }));
});

Deno.test("openStatement() refuses a sender that speaks in another's name", async () => {
  const signed = await signRaw(JSON.stringify({ ...claims, from: agent.fp }));
  refuses("wrong-sender", () => openStatement(signed, toAgent));
});

Deno.test("openStatement() refuses an unknown sender and another's signature", async () => {
  refuses("unknown-sender", () => openStatement(signStatement(move, seeded(4)), toAgent));
  const forged = await signRaw(JSON.stringify(claims), header, seeded(4));
  refuses("bad-signature", () => openStatement(forged, toAgent));
  refuses("bad-signature", () => openStatement(text, { ...toAgent, verify: () => false }));
});

Deno.test("openStatement() refuses any header but the exact one", async () => {
  const jwk = await exportJWK(publicKeyFromSpki(director.spki));
  const headers = [
    { ...header, jwk },
    { ...header, crit: ["b"], b: 1 },
    { ...header, zip: "DEF" },
    { ...header, typ: "JWT" },
    { ...header, kid: director.fp.toUpperCase() },
    { alg: header.alg, kid: header.kid },
    { alg: header.alg, typ: header.typ },
  ];
  for (const head of headers) {
    const signed = await signRaw(JSON.stringify(claims), head);
    refuses("bad-header", () => openStatement(signed, toAgent));
  }
});

Deno.test("openStatement() refuses alg none, and HS256 keyed with the public key", async () => {
  const unsigned = new UnsecuredJWT({ ...claims, iat: move.iat, exp: move.exp }).encode();
  refuses("malformed", () => openStatement(unsigned, toAgent));
  const [, payload, signature] = text.split(".");
  const none = toBase64url(JSON.stringify({ ...header, alg: "none" }));
  refuses("bad-header", () => openStatement(`${none}.${payload}.${signature}`, toAgent));

  const hs256 = await new CompactSign(new TextEncoder().encode(JSON.stringify(claims)))
    .setProtectedHeader({ ...header, alg: "HS256" }).sign(director.spki);
  refuses("malformed", () => openStatement(hs256, toAgent)); // 32 bytes are no Ed25519 signature
  const padded = hs256.slice(0, hs256.lastIndexOf(".")) + "." + signature;
  refuses("bad-header", () => openStatement(padded, toAgent));
});

Deno.test("openStatement() refuses duplicate keys at any depth, escaped or not, also in the header", async () => {
  const json = JSON.stringify(claims);
  const doubled = [
    json.replace('"seq":7', '"seq":7,"seq":8'),
    json.replace('"seq":7', '"seq":7,"\\u0073eq":8'),
    json.replace('"master":', '"master":"a.example","master":'),
  ];
  for (const payload of doubled) {
    const signed = await signRaw(payload);
    refuses("duplicate-key", () => openStatement(signed, toAgent));
  }
  const head = toBase64url(JSON.stringify(header).replace("{", '{"alg":"none",'));
  refuses("bad-header", () => openStatement(`${head}.${text.split(".").slice(1).join(".")}`, toAgent));
});

Deno.test("openStatement() refuses claims that are missing, unknown or of another shape", async () => {
  const wrong: Record<string, unknown>[] = [
    { v: 2 },
    { v: "1" },
    { cluster: "C TEST" },
    { from: "me" },
    { to: "" },
    { to: [agent.fp] },
    { seq: -1 },
    { seq: 1.5 },
    { seq: "7" },
    { seq: 2 ** 53 },
    { iat: null },
    { exp: move.iat },
    { epoch: -1 },
    { body: [] },
    { body: null },
    { extra: 1 },
    { epoch: undefined },
  ];
  for (const change of wrong) {
    const signed = await signRaw(JSON.stringify({ ...claims, ...change }));
    refuses("bad-claims", () => openStatement(signed, toAgent));
  }
});

Deno.test("openStatement() refuses text out of form before it looks at a key", async () => {
  const untouched: Receiver = { ...toAgent, sender: () => assert.fail("asked for a sender") };
  const [head, payload, signature] = text.split(".");
  const bad = [
    "",
    ".",
    "..",
    text + ".",
    text + "=",
    `${head}.${payload}`,
    `${head}.${payload}.AAAA`,
    `é.${payload}.${signature}`,
  ];
  for (const form of bad) refuses("malformed", () => openStatement(form, untouched));
  for (const bytes of [Uint8Array.of(0xff), "[]", "null", "{", "\ufeff{}"]) {
    const signed = await signRaw(bytes);
    refuses("malformed", () => openStatement(signed, untouched));
  }
});

Deno.test("statements are bounded, both ways", () => {
  const fits = (chars: number) => signStatement({ ...move, body: { pad: "x".repeat(chars) } }, director);
  const room = Math.floor((STATEMENT_BYTES_MAX - text.length) * 3 / 4);
  openStatement(fits(room - 64), toAgent);
  refuses("too-large", () => fits(room + 64));
  refuses("too-large", () => openStatement("x".repeat(STATEMENT_BYTES_MAX + 1), toAgent));
});

Deno.test("openStatement() answers deep nesting with a refusal or the claims, never a crash", async () => {
  const depth = 30_000;
  const nested = '{"a":'.repeat(depth) + "1" + "}".repeat(depth);
  const signed = await signRaw(JSON.stringify(claims).replace('{"master":"b.example"}', nested));
  assert.equal(openStatement(signed, toAgent).seq, 7);
});

Deno.test("signStatement() refuses what a receiver would refuse", () => {
  refuses("bad-claims", () => signStatement({ ...move, kind: "Move" }, director));
  refuses("bad-claims", () => signStatement({ ...move, exp: move.iat }, director));
});
