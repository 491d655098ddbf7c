import assert from "node:assert/strict";
import { CREDENTIAL_CACHE_MS } from "../limits.ts";
import type { Identity } from "../secure/keys.ts";
import { proveRequest } from "../secure/proof.ts";
import { signStatement } from "../secure/statement.ts";
import { done } from "./handler.ts";
import { meshFunction, nodeKey, strangerKey, systemKey, testRig } from "./testing.ts";
import { TestingClock } from "./testing_clock.ts";
import { createTrust, type TrustOptions } from "./trust.ts";
import type { Context } from "./context.ts";

/** Runs the test with a context as the host makes it, on a clock. */
async function inContext(test: (context: Context, clock: TestingClock) => Promise<void>): Promise<void> {
  const clock = new TestingClock();
  const rig = testRig(clock.scope({ name: "test" }));
  const caught = Promise.withResolvers<Context>();
  const tick = {
    name: "catch",
    everyMs: 3_600_000,
    run: (context: Context) => Promise.resolve(done(caught.resolve(context))),
  };
  await rig.start([meshFunction({ ticks: [tick] })]);
  await clock.advance(10);
  await test({ ...await caught.promise, scope: clock.scope({ name: "free" }) }, clock);
  const ending = rig.end();
  await clock.advance(1_000);
  await ending;
}

const nobody: TrustOptions = {
  authenticate: () => Promise.resolve(null),
  identify: (_context, fps) => Promise.resolve(fps.map(() => null)),
};

Deno.test("createTrust() asks for a token once per CREDENTIAL_CACHE_MS, and for an unknown one each time", async () => {
  await inContext(async (context, clock) => {
    let asked = 0;
    let revoked = false;
    const trust = createTrust({
      ...nobody,
      authenticate(_context, token) {
        asked += 1;
        const known = token === "good" && !revoked;
        return Promise.resolve(known ? { id: "token:1", role: "viewer", fp: null } : null);
      },
    });
    const is = async (token: string) => (await trust.token(context, token))?.id ?? null;
    assert.deepEqual([await is("good"), await is("good"), asked], ["token:1", "token:1", 1]);
    assert.deepEqual([await is("bad"), await is("bad"), asked], [null, null, 3]);
    revoked = true;
    await clock.advance(CREDENTIAL_CACHE_MS + 1);
    assert.equal(await is("good"), null);
  });
});

Deno.test("createTrust() refuses a proof that was used before for as long as its time would pass", async () => {
  await inContext(async (context, clock) => {
    const trust = createTrust({
      ...nobody,
      identify: (_context, fps) =>
        Promise.resolve(
          fps.map((fp) => fp === systemKey.fp ? { spki: systemKey.spki, role: "system" } : null),
        ),
    });
    const request = { method: "GET", target: "/v1/x", body: new Uint8Array() };
    const sign = () =>
      proveRequest(request, systemKey, { nowMs: clock.nowMs(), nonce: context.scope.random.bytes(16) });
    const header = sign();
    assert.equal((await trust.proof(context, header, request)).id, `system:${systemKey.fp}`);
    for (let minute = 0; minute < 5; minute++) {
      const reason = minute <= 1 ? /was used before/ : /its time is/;
      await assert.rejects(trust.proof(context, header, request), reason);
      await clock.advance(60_000);
    }
    assert.equal((await trust.proof(context, sign(), request)).role, "system");
  });
});

Deno.test("createTrust() finds agents met together in one look-up, and asks again for none but strangers", async () => {
  await inContext(async (context, clock) => {
    const asked: (readonly string[])[] = [];
    const trust = createTrust({
      ...nobody,
      identify(_context, fps) {
        asked.push(fps);
        return Promise.resolve(
          fps.map((fp) => fp === nodeKey.fp ? { spki: nodeKey.spki, role: "node" } : null),
        );
      },
    });
    const iat = Math.floor(context.scope.nowMs() / 1_000);
    const claims = {
      kind: "node.beat",
      cluster: context.cluster,
      to: "*",
      seq: 1,
      iat,
      exp: iat + 60,
      epoch: 0,
    };
    const said = (signer: Identity) =>
      trust.statement(context, signStatement({ ...claims, body: {} }, signer), {
        role: "node",
        kind: "node.beat",
        atMs: context.scope.nowMs(),
      });

    await trust.meet(context, [nodeKey.fp, strangerKey.fp, nodeKey.fp]);
    assert.equal((await said(nodeKey)).from.fp, nodeKey.fp);
    assert.deepEqual(asked, [[nodeKey.fp, strangerKey.fp]]);
    await assert.rejects(said(strangerKey), /nobody is known/);
    await trust.meet(context, [nodeKey.fp]);
    assert.deepEqual(asked.slice(1), [[strangerKey.fp]]);
    await clock.advance(CREDENTIAL_CACHE_MS + 1);
    await trust.meet(context, [nodeKey.fp]);
    assert.deepEqual(asked.slice(2), [[nodeKey.fp]]);
  });
});
