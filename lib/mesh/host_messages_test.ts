import assert from "node:assert/strict";
import { z } from "zod";
import { isSalarError, SalarError } from "../errors.ts";
import { HANDLER_ATTEMPTS_MAX } from "../limits.ts";
import type { Context } from "./context.ts";
import { again, batchHandler, type Delivery, done, handler, type Outcome } from "./handler.ts";
import { decodeReply } from "./reply.ts";
import {
  meshFunction,
  nodeKey,
  type Rig,
  statement,
  strangerKey,
  systemKey,
  testRig,
  until,
} from "./testing.ts";
import { TestingClock } from "./testing_clock.ts";
import { createTrust } from "./trust.ts";
import { toDelivery } from "./work.ts";

const STREAM = { name: "TEST", subjects: ["test.stream.*"], ageMsMax: 3_600_000, bytesMax: 4 * 1024 * 1024 };
const Input = z.object({ n: z.int() });
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

type Run = (context: Context, input: { n: number }, delivery: Delivery) => Promise<Outcome<unknown>>;

async function withRig(test: (rig: Rig) => Promise<void>): Promise<void> {
  const rig = testRig();
  try {
    await test(rig);
  } finally {
    await rig.end();
  }
}

function durable(run: Run) {
  const stored = handler({ name: "stored", subject: "test.stream.*", stream: "TEST", input: Input, run });
  return meshFunction({ handlers: [stored], streams: [STREAM] });
}

/** Deliveries of one stored message, on a clock that moves until `ends`, and what the log said of each. */
async function deliveries(
  run: Run,
  ends: (attempts: number) => boolean,
): Promise<{ atMs: number[]; rig: Rig }> {
  const clock = new TestingClock();
  const rig = testRig(clock.scope({ name: "test" }));
  const atMs: number[] = [];
  await rig.start([
    durable((context, input, delivery) => {
      atMs.push(clock.nowMs());
      assert.equal(delivery.attempt, atMs.length);
      return run(context, input, delivery);
    }),
  ]);
  await rig.bus.append(rig.scope, "test.stream.a", encode({ n: 1 }), { id: "1" });
  for (let round = 0; round < 400 && !ends(atMs.length); round++) await clock.advance(5_000);
  await clock.advance(120_000); // would show a delivery too many
  const ending = rig.end();
  await clock.advance(1_000);
  await ending;
  return { atMs, rig };
}

function gaps(atMs: number[]): number[] {
  return atMs.slice(1).map((at, index) => at - (atMs[index] ?? 0));
}

Deno.test("done acks a stored message: it comes once", async () => {
  const { atMs } = await deliveries(() => Promise.resolve(done()), (attempts) => attempts === 1);
  assert.equal(atMs.length, 1);
});

Deno.test("again naks with its delay", async () => {
  const run: Run = (_context, _input, { attempt }) =>
    Promise.resolve(attempt < 3 ? again({ afterMs: 7_000 }) : done());
  const { atMs } = await deliveries(run, (attempts) => attempts === 3);
  assert.deepEqual(gaps(atMs), [7_000, 7_000]);
});

Deno.test("a retry code naks with backoff, far beyond the attempts of a crash", async () => {
  const attempts = HANDLER_ATTEMPTS_MAX + 5;
  const run: Run = (_context, _input, { attempt }) =>
    attempt < attempts
      ? Promise.reject(new SalarError("unavailable", "Cannot: gone"))
      : Promise.resolve(done());
  const { atMs } = await deliveries(run, (seen) => seen === attempts);
  assert.equal(atMs.length, attempts);
  assert.deepEqual(gaps(atMs).slice(0, 4), [100, 200, 400, 800]);
  assert.equal(gaps(atMs).at(-1), 30_000);
});

Deno.test("a final code terms a stored message and says so in the log", async () => {
  const run: Run = () => Promise.reject(new SalarError("not-found", "Cannot: no such system"));
  const { atMs, rig } = await deliveries(run, (attempts) => attempts === 1);
  assert.equal(atMs.length, 1);
  const line = rig.lines.find(({ message }) => message === "message refused");
  assert.equal(line?.["level"], "warn");
  assert.match(JSON.stringify(line), /not-found/);
});

Deno.test("anything else thrown naks, and terms after HANDLER_ATTEMPTS_MAX", async () => {
  const run: Run = () => Promise.reject(new TypeError("bug"));
  const { atMs, rig } = await deliveries(run, (attempts) => attempts >= HANDLER_ATTEMPTS_MAX);
  assert.equal(atMs.length, HANDLER_ATTEMPTS_MAX);
  const crashes = rig.lines.filter(({ message }) => message === "message crashed");
  assert.equal(crashes.length, HANDLER_ATTEMPTS_MAX);
  assert.match(JSON.stringify(crashes[0]), /"level":"error".*stack/);
});

Deno.test("a lost race gives a stored message to its handler again", async () => {
  const run: Run = (_context, _input, { attempt }) =>
    attempt < 3 ? Promise.reject(new SalarError("conflict", "Cannot: lost")) : Promise.resolve(done());
  assert.equal((await deliveries(run, (attempts) => attempts === 3)).atMs.length, 3);
});

Deno.test("toDelivery() never terms a message because its replica ended or a wait was long", () => {
  for (const code of ["unavailable", "deadline", "outcome-unknown", "bad-peer", "rate-limited"] as const) {
    const verdict = { outcome: "retry" as const, error: new SalarError(code, "x") };
    assert.equal(toDelivery(verdict, 1_000).act, "nak");
  }
  const lost = { outcome: "refused" as const, error: new SalarError("conflict", "x") };
  assert.equal(toDelivery(lost, HANDLER_ATTEMPTS_MAX).act, "term");
});

Deno.test("a stored message that is no JSON or not of its schema is termed, unseen by the handler", async () => {
  await withRig(async (rig) => {
    let runs = 0;
    await rig.start([durable(() => Promise.resolve(done(runs++)))]);
    await rig.bus.append(rig.scope, "test.stream.a", new TextEncoder().encode("{"), { id: "1" });
    await rig.bus.append(rig.scope, "test.stream.a", encode({ n: "x" }), { id: "2" });
    await rig.bus.append(rig.scope, "test.stream.a", encode({ n: 3 }), { id: "3" });
    await until(() => runs === 1);
    const refused = rig.lines.filter(({ message }) => message === "message refused");
    assert.equal(refused.length, 2);
    assert.match(JSON.stringify(refused[1]), /body\.n/);
  });
});

const replies: Record<string, () => Promise<Outcome<unknown>>> = {
  fine: () => Promise.resolve(done({ text: "yes" })),
  later: () => Promise.resolve(again({ afterMs: 1_500 })),
  gone: () => Promise.reject(new SalarError("not-found", "Cannot: no such thing")),
  bug: () => Promise.reject(new TypeError("inner detail")),
};

Deno.test("a request on the bus gets its reply or a problem that decodeReply() throws", async () => {
  await withRig(async (rig) => {
    const handlers = Object.entries(replies).map(([name, run]) =>
      handler({ name, subject: `test.ask.${name}`, input: Input, run })
    );
    await rig.start([meshFunction({ handlers })]);
    const ask = async (name: string, body: unknown = { n: 1 }) => {
      const data = await rig.bus.request(rig.scope, `test.ask.${name}`, encode(body));
      return decodeReply(z.object({ text: z.string() }), data);
    };
    assert.deepEqual(await ask("fine"), { text: "yes" });
    await assert.rejects(ask("later"), (error) => {
      return isSalarError(error, "unavailable") && error.detail["retryAfterMs"] === 1_500;
    });
    await assert.rejects(
      ask("gone"),
      (error) => isSalarError(error, "not-found") && /no such/.test(error.message),
    );
    await assert.rejects(ask("bug"), (error) => {
      return isSalarError(error, "unavailable") && !/inner/.test(error.message);
    });
    await assert.rejects(ask("fine", { n: "x" }), (error) => {
      return isSalarError(error, "bad-input") && JSON.stringify(error.detail).includes("body.n");
    });
  });
});

Deno.test("decodeReply() calls an answer of another form `bad-peer`", () => {
  for (const data of [encode({ other: 1 }), new TextEncoder().encode("<html>")]) {
    assert.throws(() => decodeReply(Input, data), (error) => isSalarError(error, "bad-peer"));
  }
});

Deno.test("a signed message is believed only from its sender, on the sender's subject, of its kind, in time", async () => {
  await withRig(async (rig) => {
    const seen: string[] = [];
    const signed = handler({
      name: "said",
      subject: "salar.node.*.said",
      input: Input,
      signedBy: { role: "node", kind: "node.said" },
      run(_context, { n }, { from }) {
        seen.push(`${from.id} ${n}`);
        return Promise.resolve(done({ ok: true }));
      },
    });
    await rig.start([meshFunction({ handlers: [signed] })]);
    const say = async (data: Uint8Array, fp = nodeKey.fp) =>
      decodeReply(
        z.object({ ok: z.boolean() }),
        await rig.bus.request(rig.scope, `salar.node.${fp}.said`, data),
      );
    const { scope } = rig;

    await say(statement(scope, "node.said", { n: 1 }));
    assert.deepEqual(seen, [`node:${nodeKey.fp} 1`]);

    const refused: [string, Uint8Array, string?][] = [
      ["forbidden", statement(scope, "node.said", { n: 1 }), systemKey.fp], // another's subject
      ["forbidden", statement(scope, "node.other", { n: 1 })],
      ["forbidden", statement(scope, "node.said", { n: 1 }, { key: systemKey }), systemKey.fp], // role
      ["unauthenticated", statement(scope, "node.said", { n: 1 }, { key: strangerKey }), strangerKey.fp],
      ["unauthenticated", statement(scope, "node.said", { n: 1 }, { to: systemKey.fp })],
      ["unauthenticated", statement(scope, "node.said", { n: 1 }, { ageMs: 120_000 })],
      ["unauthenticated", encode({ n: 1 })],
      ["bad-input", statement(scope, "node.said", { n: "x" })],
    ];
    for (const [code, data, fp] of refused) {
      await assert.rejects(say(data, fp), (error) => isSalarError(error) && error.code === code, code);
    }
    assert.equal(seen.length, 1);
  });
});

Deno.test("a stored statement is judged by when the stream took it, however late it is read", async () => {
  const clock = new TestingClock();
  const rig = testRig(clock.scope({ name: "test" }));
  let seen = 0;
  const changes = handler({
    name: "changes",
    subject: "test.stream.*",
    stream: "TEST",
    input: Input,
    signedBy: { role: "node", kind: "node.changes" },
    run: () => Promise.resolve(done(seen++)),
  });
  await rig.bus.ensureStreams(rig.scope, [STREAM]);
  const fresh = statement(rig.scope, "node.changes", { n: 1 });
  await rig.bus.append(rig.scope, `test.stream.${nodeKey.fp}`, fresh, { id: "1" });
  await clock.advance(1_800_000); // expired for half an hour
  await rig.bus.append(rig.scope, `test.stream.${nodeKey.fp}`, fresh, { id: "2" }); // a replay of it
  await rig.start([meshFunction({ handlers: [changes], streams: [STREAM] })]);
  await clock.advance(1_000);
  assert.equal(seen, 1);
  assert.match(JSON.stringify(rig.lines), /valid until/);
  const ending = rig.end();
  await clock.advance(1_000);
  await ending;
});

function gatherer(sizes: number[], hold: () => Promise<void> = () => Promise.resolve()) {
  const gathered = batchHandler({
    name: "gathered",
    subject: "test.beat",
    input: Input,
    batch: { sizeMax: 100, waitMs: 200 },
    async run(_context, inputs) {
      await hold();
      sizes.push(inputs.length);
      return done();
    },
  });
  return meshFunction({ handlers: [gathered] });
}

Deno.test("a batch runs when full or after its wait; what is refused does not spoil it", async () => {
  const clock = new TestingClock();
  const rig = testRig(clock.scope({ name: "test" }));
  const sizes: number[] = [];
  await rig.start([gatherer(sizes)]);
  for (let n = 0; n < 250; n++) await rig.bus.publish(rig.scope, "test.beat", encode({ n }));
  await rig.bus.publish(rig.scope, "test.beat", encode({ n: "x" }));
  await clock.advance(100);
  assert.deepEqual(sizes, [100, 100]);
  await clock.advance(200);
  assert.deepEqual(sizes, [100, 100, 50]);
  assert.equal(rig.lines.filter(({ message }) => message === "message refused").length, 1);
  const ending = rig.end();
  await clock.advance(1_000);
  await ending;
});

Deno.test("a sender whose record is damaged spoils its own message of a batch, and no other", async () => {
  await withRig(async (rig) => {
    const seen: number[] = [];
    const beats = batchHandler({
      name: "beats",
      subject: "salar.node.*.beat",
      input: Input,
      signedBy: { role: "node", kind: "node.beat" },
      batch: { sizeMax: 2, waitMs: 10_000 },
      run(_context, inputs) {
        seen.push(...inputs.map(({ input }) => input.n));
        return Promise.resolve(done());
      },
    });
    const trust = createTrust({
      authenticate: () => Promise.resolve(null),
      identify: (_context, fps) =>
        fps.includes(strangerKey.fp)
          ? Promise.reject(new SalarError("bad-record", "Cannot read a node"))
          : Promise.resolve(fps.map(() => ({ spki: nodeKey.spki, role: "node" }))),
    });
    await rig.start([meshFunction({ handlers: [beats] })], { trust });
    for (const [n, key] of [strangerKey, nodeKey].entries()) {
      const beat = statement(rig.scope, "node.beat", { n }, { key });
      await rig.bus.publish(rig.scope, `salar.node.${key.fp}.beat`, beat);
    }
    await until(() => seen.length > 0);
    assert.deepEqual(seen, [1]);
    assert.equal(rig.lines.filter((line) => JSON.stringify(line).includes("bad-record")).length, 1);
  });
});

Deno.test("a batch handler that lags holds back the bus, and a drain runs all that was taken", async () => {
  const rig = testRig();
  const sizes: number[] = [];
  const gate = Promise.withResolvers<void>();
  const host = await rig.start([gatherer(sizes, () => gate.promise)]);
  for (let n = 0; n < 1_000; n++) await rig.bus.publish(rig.scope, "test.beat", encode({ n }));
  const drained = host.drain();
  gate.resolve();
  await drained;
  assert.equal(sizes.reduce((sum, size) => sum + size, 0), 1_000);
  assert.ok(sizes.every((size) => size <= 100));
  await rig.end();
});

Deno.test("two replicas share the messages of a handler: each comes to one of them", async () => {
  await withRig(async (rig) => {
    const seen: number[] = [];
    const share = handler({
      name: "share",
      subject: "test.share",
      input: Input,
      run: (_context, { n }) => Promise.resolve(done(void seen.push(n))),
    });
    await rig.start([meshFunction({ handlers: [share] })]);
    await rig.start([meshFunction({ handlers: [share] })]);
    for (let n = 0; n < 50; n++) await rig.bus.publish(rig.scope, "test.share", encode({ n }));
    await until(() => seen.length >= 50);
    assert.deepEqual(seen.sort((a, b) => a - b), Array.from({ length: 50 }, (_, n) => n));
  });
});
