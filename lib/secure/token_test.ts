import assert from "node:assert/strict";
import fc from "fast-check";
import { Secret } from "./secret.ts";
import { refuses, seeded } from "./testing.ts";
import {
  hashSecret,
  mintJoinToken,
  mintToken,
  parseJoinToken,
  parseToken,
  secretMatches,
  TOKEN_RANDOM_BYTES,
} from "./token.ts";

const randomBytes = fc.uint8Array({ minLength: TOKEN_RANDOM_BYTES, maxLength: TOKEN_RANDOM_BYTES });
const caPin = seeded(9).fp;

Deno.test("parseToken() gives back what mintToken() made, and the stored hash matches only that secret", () => {
  fc.assert(fc.property(randomBytes, randomBytes, (random, other) => {
    const minted = mintToken(random);
    const parsed = parseToken(minted.token.reveal());
    assert.equal(parsed?.id, minted.id);
    assert.ok(parsed && secretMatches(parsed.secret, minted.secretHash));
    const another = mintToken(other);
    assert.equal(secretMatches(parsed.secret, another.secretHash), minted.secretHash === another.secretHash);
  }));
});

Deno.test("parseJoinToken() gives back what mintJoinToken() made, with the pin", () => {
  fc.assert(fc.property(randomBytes, (random) => {
    const minted = mintJoinToken(random, caPin);
    const parsed = parseJoinToken(minted.token.reveal());
    assert.deepEqual([parsed?.id, parsed?.caPin], [minted.id, caPin]);
    assert.ok(parsed && secretMatches(parsed.secret, minted.secretHash));
  }));
});

Deno.test("parseToken() and parseJoinToken() do not take each other's tokens, nor anything altered in form", () => {
  const random = new Uint8Array(TOKEN_RANDOM_BYTES).fill(7);
  const api = mintToken(random).token.reveal();
  const join = mintJoinToken(random, caPin).token.reveal();
  for (
    const text of [
      join,
      api + ".",
      api + "=",
      api.slice(0, -1),
      " " + api,
      api.replace("sa1", "sa2"),
      "",
      "sa1",
    ]
  ) {
    assert.equal(parseToken(text), null, text);
  }
  for (
    const text of [api, join + ".", join.toUpperCase(), join.slice(0, -1), join.replace(`.${caPin}`, ""), ""]
  ) {
    assert.equal(parseJoinToken(text), null, text);
  }
});

Deno.test("the id of a token begins with a letter, so that no command line takes it for an option", () => {
  for (let first = 0; first < 256; first++) {
    const { id } = mintToken(new Uint8Array(TOKEN_RANDOM_BYTES).fill(first));
    assert.match(id, /^[A-Za-z][\w-]{15}$/);
  }
});

Deno.test("mintToken() does not print its token and stores no secret", () => {
  const minted = mintToken(new Uint8Array(TOKEN_RANDOM_BYTES).fill(7));
  const secret = parseToken(minted.token.reveal())?.secret.reveal() ?? "";
  assert.equal(secret.length, 43);
  assert.ok(!JSON.stringify(minted).includes(secret));
  assert.ok(!Deno.inspect(minted).includes(secret));
});

Deno.test("mintToken() and mintJoinToken() refuse too little randomness and a pin that is none", () => {
  refuses("malformed", () => mintToken(new Uint8Array(TOKEN_RANDOM_BYTES - 1)));
  refuses("malformed", () => mintJoinToken(new Uint8Array(TOKEN_RANDOM_BYTES), "x"));
});

Deno.test("secretMatches() is false for a stored hash that is none", () => {
  const secret = new Secret("a");
  for (const stored of ["", "zz", hashSecret(secret).slice(2), hashSecret(secret) + "00"]) {
    assert.equal(secretMatches(secret, stored), false);
  }
  assert.equal(secretMatches(secret, hashSecret(secret)), true);
});
