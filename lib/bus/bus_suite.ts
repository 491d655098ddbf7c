/**
 * The conformance suite of the bus contract (bus.ts): every adapter passes it unchanged.
 *
 * `open` gives one broker (new, or shared by all tests of an adapter: names are unique per test) and as many clients
 * of it as a test wants. Waiting is for conditions, with a limit; the few times in milliseconds here are those that
 * the contract speaks of (ack wait, delay, deadline), and only their order is asserted.
 */
import assert from "node:assert/strict";
import { type ErrorCode, isSalarError, messageOf, SalarError } from "../errors.ts";
import { BUS_MESSAGE_BYTES_MAX } from "../limits.ts";
import type { Bus, DurableMessage, StoredMessage, StreamSpec } from "./bus.ts";
import type { TestScope } from "./testing_scope.ts";

export interface BusFixture {
  scope: TestScope;
  connect(): Promise<Bus>;
  stop(): Promise<void>;
}

const WAIT_MS = 10_000;
const STREAM_BYTES_MAX = 64 * BUS_MESSAGE_BYTES_MAX;

export function busSuite(adapter: string, open: () => Promise<BusFixture>): void {
  const test = (title: string, body: (bench: Bench) => Promise<void>) =>
    Deno.test(`${adapter}: ${title}`, async () => {
      const fixture = await open();
      try {
        await body(createBench(fixture));
      } finally {
        await fixture.stop();
      }
    });

  // Core

  test("publish() reaches every subscriber, in the order of publishing", async ({ scope, connect, name }) => {
    const [sender, ...receivers] = await Promise.all([connect(), connect(), connect()]);
    const got = await Promise.all(receivers.map(async (bus) => {
      const texts: string[] = [];
      await bus.subscribe(scope, name("a"), {}, (message) => push(texts, text(message.data)));
      return texts;
    }));
    const sent = numbers(500);
    for (const each of sent) await sender.publish(scope, name("a"), bytes(each));
    await eventually(scope, "both lists full", () => got.every((list) => list.length === sent.length));
    for (const list of got) assert.deepEqual(list, sent);
  });

  test("publish() keeps the caller's bytes apart from the message", async ({ scope, connect, name }) => {
    const bus = await connect();
    const got: string[] = [];
    await bus.subscribe(scope, name("a"), {}, (message) => push(got, text(message.data)));
    const data = bytes("before");
    await bus.publish(scope, name("a"), data);
    data.fill(0);
    await eventually(scope, "the message", () => got.length === 1);
    assert.deepEqual(got, ["before"]);
  });

  test("a queue group shares: each message goes to one member, others get all", async (bench) => {
    const { scope, connect, name } = bench;
    const [sender, one, two, other] = await Promise.all([connect(), connect(), connect(), connect()]);
    const got: Record<string, string[]> = { one: [], two: [], other: [] };
    const listen = (bus: Bus, who: string, group?: string) =>
      bus.subscribe(
        scope,
        name("a"),
        group === undefined ? {} : { group },
        (message) => push(got[who] ?? [], text(message.data)),
      );
    await listen(one, "one", "workers");
    await listen(two, "two", "workers");
    await listen(other, "other");
    const sent = numbers(200);
    for (const each of sent) await sender.publish(scope, name("a"), bytes(each));
    await eventually(
      scope,
      "all messages",
      () => count(got["one"]) + count(got["two"]) === 200 && count(got["other"]) === 200,
    );
    assert.deepEqual([...got["one"] ?? [], ...got["two"] ?? []].sort(), [...sent].sort());
    assert.ok(count(got["one"]) > 20 && count(got["two"]) > 20, "both members have a fair part");
  });

  test("patterns: `*` takes one token, `>` the rest", async (bench) => {
    const { scope, connect, name } = bench;
    const bus = await connect();
    const got: string[] = [];
    for (const pattern of ["*.beat", "a.>", "a.beat"]) {
      await bus.subscribe(
        scope,
        name(pattern),
        {},
        (message) => push(got, `${pattern} ${message.subject.slice(name("").length)}`),
      );
    }
    for (const subject of ["a.beat", "b.beat", "a.b.beat", "a", "last"]) {
      await bus.publish(scope, name(subject), bytes(""));
    }
    await eventually(scope, "five deliveries", () => got.length >= 5);
    await settled(bench);
    assert.deepEqual(got.sort(), [
      "*.beat a.beat",
      "*.beat b.beat",
      "a.> a.b.beat",
      "a.> a.beat",
      "a.beat a.beat",
    ]);
  });

  test("request() gives the first answer; a second answer and one to no request do nothing", async (bench) => {
    const { scope, connect, name } = bench;
    const [asker, server] = await Promise.all([connect(), connect()]);
    await server.subscribe(scope, name("ask"), { group: "g" }, (message) => {
      message.respond(bytes(`${text(message.data)}!`));
      message.respond(bytes("again"));
      return Promise.resolve();
    });
    for (const each of numbers(20)) {
      assert.equal(text(await asker.request(scope, name("ask"), bytes(each))), `${each}!`);
    }
    await asker.publish(scope, name("ask"), bytes("no request"));
    assert.equal(text(await asker.request(scope, name("ask"), bytes("last"))), "last!");
    assert.deepEqual(scope.failures, []);
  });

  test("request() runs handlers side by side: one that is slow holds up nobody", async (bench) => {
    const { scope, connect, name } = bench;
    const bus = await connect();
    const gate = Promise.withResolvers<void>();
    await bus.subscribe(scope, name("ask"), {}, async (message) => {
      if (text(message.data) === "slow") await gate.promise;
      message.respond(message.data);
    });
    const slow = bus.request(scope, name("ask"), bytes("slow"));
    assert.equal(text(await bus.request(scope, name("ask"), bytes("fast"))), "fast");
    gate.resolve();
    assert.equal(text(await slow), "slow");
  });

  test("request() rejects: `unavailable` when nobody listens, `deadline` without an answer", async (bench) => {
    const { scope, connect, name } = bench;
    const bus = await connect();
    await rejects("unavailable", bus.request(scope, name("nobody"), bytes("")));
    await bus.subscribe(scope, name("mute"), {}, () => Promise.resolve());
    await rejects("deadline", bus.request(scope, name("mute"), bytes(""), { deadlineMs: 50 }));
  });

  test("a core handler that throws harms neither the bus nor the next message", async (bench) => {
    const { scope, connect, name } = bench;
    const bus = await connect();
    const got: string[] = [];
    await bus.subscribe(scope, name("a"), {}, (message) => {
      if (text(message.data) === "1") throw new SalarError("conflict", "planned");
      return push(got, text(message.data));
    });
    for (const each of ["1", "2"]) await bus.publish(scope, name("a"), bytes(each));
    await eventually(
      scope,
      "the second message and the error",
      () => got.length + scope.failures.length === 2,
    );
    assert.deepEqual([got, scope.failures], [["2"], ["planned"]]);
  });

  test("drain() of a subscription ends it after its handlers, and loses no message it took", async (bench) => {
    const { scope, connect, name } = bench;
    const bus = await connect();
    const gate = Promise.withResolvers<void>();
    const got: string[] = [];
    let started = 0;
    const subscription = await bus.subscribe(scope, name("a"), {}, async (message) => {
      started++;
      await gate.promise;
      got.push(text(message.data));
    });
    const sent = numbers(600); // more than run at once
    for (const each of sent) await bus.publish(scope, name("a"), bytes(each));
    await eventually(scope, "handlers run", () => started > 0);
    let drained = false;
    const draining = subscription.drain().then(() => drained = true);
    await settled(bench);
    assert.equal(drained, false, "handlers still run");
    await bus.publish(scope, name("a"), bytes("late"));
    gate.resolve();
    await draining;
    await subscription.drain();
    assert.deepEqual(got, sent);
  });

  test("an aborted scope ends its subscription and rejects its waits with `cancelled`", async (bench) => {
    const { scope, connect, name } = bench;
    const bus = await connect();
    const controller = new AbortController();
    const child = scope.child("child", controller.signal);
    const got: string[] = [];
    await bus.subscribe(child, name("a"), {}, (message) => push(got, text(message.data)));
    await bus.subscribe(scope, name("mute"), {}, () => Promise.resolve());
    const asking = rejects("cancelled", bus.request(child, name("mute"), bytes("")));
    controller.abort();
    await asking;
    await bus.publish(scope, name("a"), bytes("late"));
    await settled(bench);
    assert.deepEqual(got, []);
    await rejects("cancelled", bus.publish(child, name("a"), bytes("")));
    await rejects("cancelled", bus.append(child, name("a"), bytes(""), { id: "1" }));
    await rejects("cancelled", bus.subscribe(child, name("a"), {}, () => Promise.resolve()));
    await rejects("cancelled", bus.consume(child, { stream: "S", durable: "d" }, () => Promise.resolve()));
  });

  test("a message of the largest size passes, one byte more is refused", async ({ scope, connect, name, stream }) => {
    const bus = await connect();
    const spec = await stream(bus);
    const largest = new Uint8Array(BUS_MESSAGE_BYTES_MAX).fill(7);
    const larger = new Uint8Array(BUS_MESSAGE_BYTES_MAX + 1);
    const got: number[] = [];
    await bus.subscribe(scope, name("a"), {}, (message) => {
      got.push(message.data.length);
      message.respond(message.data);
      return Promise.resolve();
    });
    await bus.publish(scope, name("a"), largest);
    assert.deepEqual(await bus.request(scope, name("a"), largest), largest);
    await bus.append(scope, name("s.1"), largest, { id: "largest" });
    const [stored] = await all(bus.replay(scope, spec.name));
    assert.deepEqual(stored?.data, largest);
    assert.deepEqual(got, [largest.length, largest.length]);
    await rejects("bad-input", bus.publish(scope, name("a"), larger));
    await rejects("bad-input", bus.request(scope, name("a"), larger));
    await rejects("bad-input", bus.append(scope, name("s.1"), larger, { id: "larger" }));
  });

  test("names that NATS would read otherwise are refused", async ({ scope, connect, name, stream }) => {
    const bus = await connect();
    const spec = await stream(bus);
    const none = () => Promise.resolve();
    for (const bad of ["", "a..b", "a b", "a.*", ">", "$JS.API.INFO", "a\r\nPING", "x".repeat(256)]) {
      await rejects("bad-input", bus.publish(scope, bad, bytes("")));
      await rejects("bad-input", bus.request(scope, bad, bytes("")));
      await rejects("bad-input", bus.append(scope, bad, bytes(""), { id: "1" }));
    }
    for (const bad of ["", "a..b", "a.>.b", "a*", "$SYS.>"]) {
      await rejects("bad-input", bus.subscribe(scope, bad, {}, none));
      await rejects("bad-input", bus.consume(scope, { stream: spec.name, durable: "d", filter: bad }, none));
      await rejects("bad-input", bus.ensureStreams(scope, [{ ...spec, subjects: [bad] }]));
      await rejects("bad-input", all(bus.replay(scope, spec.name, { filter: bad })));
    }
    for (const bad of ["", "a b", "a\nb", "x".repeat(300)]) {
      await rejects("bad-input", bus.append(scope, name("s.1"), bytes(""), { id: bad }));
      await rejects("bad-input", bus.consume(scope, { stream: spec.name, durable: bad }, none));
      await rejects("bad-input", bus.subscribe(scope, "a", { group: bad }, none));
      await rejects("bad-input", bus.ensureStreams(scope, [{ ...spec, name: bad }]));
    }
  });

  // Streams

  test("ensureStreams() may run again, changes what differs and refuses overlapping streams", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const [bus, other] = await Promise.all([connect(), connect()]);
    const spec = await stream(bus);
    await bus.append(scope, name("s.1"), bytes("kept"), { id: "1" });
    await Promise.all([bus.ensureStreams(scope, [spec]), other.ensureStreams(scope, [spec])]);
    await rejects("unavailable", bus.append(scope, name("t.1"), bytes(""), { id: "2" }));
    await other.ensureStreams(scope, [{ ...spec, subjects: [...spec.subjects, name("t.*")] }]);
    assert.deepEqual(await bus.append(scope, name("t.1"), bytes("new"), { id: "2" }), {
      seq: 2,
      duplicate: false,
    });
    assert.deepEqual((await all(bus.replay(scope, spec.name))).map(({ data }) => text(data)), [
      "kept",
      "new",
    ]);
    const rival = { ...spec, name: `${spec.name}X`, subjects: [name("s.1")] };
    await rejects("bad-input", bus.ensureStreams(scope, [rival]));
  });

  test("append() numbers messages; the same id again is answered as a duplicate", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const [bus, other] = await Promise.all([connect(), connect()]);
    const spec = await stream(bus);
    const append = (by: Bus, id: string) => by.append(scope, name("s.1"), bytes(id), { id });
    assert.deepEqual(await append(bus, "one"), { seq: 1, duplicate: false });
    assert.deepEqual(await append(other, "two"), { seq: 2, duplicate: false });
    assert.deepEqual(await append(other, "one"), { seq: 1, duplicate: true });
    assert.deepEqual(await append(bus, "three"), { seq: 3, duplicate: false });
    assert.equal((await all(bus.replay(scope, spec.name))).length, 3);
    await rejects("unavailable", bus.append(scope, name("no.stream"), bytes(""), { id: "x" }));
  });

  test("a stream over its bytes drops the oldest", async ({ scope, connect, name, stream }) => {
    const bus = await connect();
    const spec = await stream(bus, { bytesMax: 4 * BUS_MESSAGE_BYTES_MAX });
    const large = new Uint8Array(BUS_MESSAGE_BYTES_MAX);
    for (const id of numbers(10)) await bus.append(scope, name("s.1"), large, { id });
    const seqs = (await all(bus.replay(scope, spec.name))).map(({ seq }) => seq);
    assert.ok(seqs.length >= 1 && seqs.length <= 4, `${seqs.length} kept`);
    assert.deepEqual(seqs, numbers(10).slice(-seqs.length).map(Number));
  });

  test("a stream drops what is over its age", async ({ scope, connect, name, stream }) => {
    const bus = await connect();
    const spec = await stream(bus, { ageMsMax: 200 });
    await bus.append(scope, name("s.1"), bytes("old"), { id: "old" });
    await eventually(
      scope,
      "an empty stream",
      async () => (await all(bus.replay(scope, spec.name))).length === 0,
    );
    await bus.append(scope, name("s.1"), bytes("new"), { id: "new" });
    assert.deepEqual((await all(bus.replay(scope, spec.name))).map(({ seq }) => seq), [2]);
  });

  test("replay() yields order, filter and start as asked, to the end of now", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const bus = await connect();
    const spec = await stream(bus);
    assert.deepEqual(await all(bus.replay(scope, spec.name)), []);
    for (const id of numbers(300)) await bus.append(scope, name(`s.${Number(id) % 3}`), bytes(id), { id });
    const seqs = async (options: { filter?: string; fromSeq?: number }) =>
      (await all(bus.replay(scope, spec.name, options))).map(({ seq }) => seq);
    const every = numbers(300).map(Number);
    assert.deepEqual(await seqs({}), every);
    assert.deepEqual(await seqs({ fromSeq: 291 }), every.slice(290));
    assert.deepEqual(await seqs({ fromSeq: 301 }), []);
    assert.deepEqual(await seqs({ filter: name("s.0") }), every.filter((seq) => seq % 3 === 0));
    assert.deepEqual(
      await seqs({ filter: name("s.0"), fromSeq: 150 }),
      every.filter((seq) => seq % 3 === 0 && seq >= 150),
    );
    assert.deepEqual(await seqs({ filter: name("s.none") }), []);

    const started: number[] = [];
    for await (const { seq, subject, data, atMs } of bus.replay(scope, spec.name, { fromSeq: 299 })) {
      if (started.length === 0) await bus.append(scope, name("s.1"), bytes("during"), { id: "during" });
      assert.equal(subject, name(`s.${seq % 3}`));
      assert.equal(text(data), String(seq));
      assert.ok(Math.abs(atMs - scope.nowMs()) < 60_000);
      started.push(seq);
    }
    assert.deepEqual(started, [299, 300]);
    await rejects("unavailable", all(bus.replay(scope, `${spec.name}_MISSING`)));
  });

  // Consumers

  test("consume() gives each stored and each new message to one replica, once", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const [sender, one, two] = await Promise.all([connect(), connect(), connect()]);
    const spec = await stream(sender);
    const sent = numbers(200);
    for (const id of sent.slice(0, 50)) await sender.append(scope, name("s.1"), bytes(id), { id });
    const got: Record<string, string[]> = { one: [], two: [] };
    const seen: DurableMessage[] = [];
    for (const [who, bus] of [["one", one], ["two", two]] as const) {
      await bus.consume(scope, { stream: spec.name, durable: "d", inFlightMax: 4 }, async (message) => {
        seen.push(message);
        await scope.sleep(1);
        got[who]?.push(text(message.data));
        await message.ack();
      });
    }
    for (const id of sent.slice(50)) await sender.append(scope, name("s.1"), bytes(id), { id });
    await eventually(scope, "all messages", () => count(got["one"]) + count(got["two"]) >= sent.length);
    await settled(bench);
    assert.deepEqual([...got["one"] ?? [], ...got["two"] ?? []].sort(), [...sent].sort());
    assert.ok(count(got["one"]) > 0 && count(got["two"]) > 0, "both replicas have a part");
    for (const { seq, data, attempt, subject } of seen) {
      assert.deepEqual([attempt, subject, seq], [1, name("s.1"), Number(text(data))]);
    }
  });

  test("two durables each get every message; a filter takes its part", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const bus = await connect();
    const spec = await stream(bus);
    const got: Record<string, string[]> = { all: [], odd: [] };
    const listen = (durable: string, filter: { filter?: string }) =>
      bus.consume(scope, { stream: spec.name, durable, ...filter }, async (message) => {
        await message.ack();
        got[durable]?.push(text(message.data));
      });
    await listen("all", {});
    await listen("odd", { filter: name("s.1") });
    for (const id of numbers(20)) await bus.append(scope, name(`s.${Number(id) % 2}`), bytes(id), { id });
    await eventually(scope, "all messages", () => count(got["all"]) === 20 && count(got["odd"]) === 10);
    assert.deepEqual(
      got["odd"]?.map(Number).sort((a, b) => a - b),
      numbers(20).map(Number).filter((n) => n % 2 === 1),
    );
  });

  test("a message comes again after a throw, after the ack wait and after nak(), with a higher attempt", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const bus = await connect();
    const spec = await stream(bus);
    for (const id of ["throw", "wait", "nak", "ack"]) await bus.append(scope, name("s.1"), bytes(id), { id });
    const attempts: Record<string, number[]> = {};
    await bus.consume(scope, { stream: spec.name, durable: "d", ackWaitMs: 300 }, async (message) => {
      const id = text(message.data);
      (attempts[id] ??= []).push(message.attempt);
      if (message.attempt === 3 || id === "ack") return await message.ack();
      if (id === "throw") throw new SalarError("conflict", "planned");
      if (id === "nak") message.nak();
    });
    await eventually(
      scope,
      "three attempts each",
      () => ["throw", "wait", "nak"].every((id) => count(attempts[id]) === 3),
    );
    await scope.sleep(500); // longer than the ack wait: nothing comes again after its ack
    assert.deepEqual(attempts, { throw: [1, 2, 3], wait: [1, 2, 3], nak: [1, 2, 3], ack: [1] });
    assert.deepEqual(scope.failures, ["planned", "planned"]);
  });

  test("nak(delayMs) holds the message back; others pass meanwhile", async ({ scope, connect, name, stream }) => {
    const bus = await connect();
    const spec = await stream(bus);
    const events: string[] = [];
    let nakedAtMs = 0;
    let againAtMs = 0;
    await bus.consume(scope, { stream: spec.name, durable: "d" }, async (message) => {
      events.push(`${text(message.data)} ${message.attempt}`);
      if (text(message.data) !== "held") return await message.ack();
      if (message.attempt === 1) {
        nakedAtMs = scope.monoMs();
        return message.nak(300);
      }
      againAtMs = scope.monoMs();
      await message.ack();
    });
    await bus.append(scope, name("s.1"), bytes("held"), { id: "1" });
    await bus.append(scope, name("s.1"), bytes("other"), { id: "2" });
    await eventually(scope, "the held message", () => againAtMs > 0);
    assert.deepEqual(events, ["held 1", "other 1", "held 2"]);
    assert.ok(againAtMs - nakedAtMs >= 290, `${againAtMs - nakedAtMs} ms`); // clocks of two processes
  });

  test("term() ends a message for good, and the first of ack, nak and term decides", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const bus = await connect();
    const spec = await stream(bus);
    const seen: string[] = [];
    await bus.consume(scope, { stream: spec.name, durable: "d", ackWaitMs: 300 }, async (message) => {
      seen.push(text(message.data));
      if (text(message.data) === "bad") message.term("not for us");
      await message.ack();
      message.nak();
      message.term("too late");
      await message.ack();
    });
    for (const id of ["bad", "good"]) await bus.append(scope, name("s.1"), bytes(id), { id });
    await eventually(scope, "both", () => seen.length >= 2);
    await scope.sleep(700); // two ack waits
    assert.deepEqual(seen.sort(), ["bad", "good"]);
  });

  test("working() starts the ack wait anew", async ({ scope, connect, name, stream }) => {
    const bus = await connect();
    const spec = await stream(bus);
    const attempts: number[] = [];
    let done = false;
    await bus.consume(scope, { stream: spec.name, durable: "d", ackWaitMs: 500 }, async (message) => {
      attempts.push(message.attempt);
      for (let step = 0; step < 10; step++) {
        await scope.sleep(120);
        message.working();
      }
      await message.ack();
      done = true;
    });
    await bus.append(scope, name("s.1"), bytes("long"), { id: "1" });
    await eventually(scope, "the end of the work", () => done);
    assert.deepEqual(attempts, [1]);
  });

  test("inFlightMax bounds unacked messages over all replicas", async ({ scope, connect, name, stream }) => {
    const [one, two] = await Promise.all([connect(), connect()]);
    const spec = await stream(one);
    const held: DurableMessage[] = [];
    let most = 0;
    let acked = 0;
    for (const bus of [one, two]) {
      await bus.consume(scope, { stream: spec.name, durable: "d", inFlightMax: 3 }, (message) => {
        most = Math.max(most, held.push(message));
        return Promise.resolve();
      });
    }
    for (const id of numbers(30)) await one.append(scope, name("s.1"), bytes(id), { id });
    while (acked < 30) {
      const full = Math.min(3, 30 - acked);
      await eventually(scope, `${full} in flight`, () => held.length === full);
      const message = held.shift();
      await message?.ack();
      acked++;
    }
    assert.equal(most, 3);
  });

  test("drain() of a consumer waits for its handlers; the other replica goes on with the rest", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const [one, two] = await Promise.all([connect(), connect()]);
    const spec = await stream(one);
    const gate = Promise.withResolvers<void>();
    const acked: string[] = [];
    let running = 0;
    const consume = (bus: Bus, wait: Promise<void>) =>
      bus.consume(scope, { stream: spec.name, durable: "d", inFlightMax: 8 }, async (message) => {
        running++;
        await wait;
        await message.ack();
        acked.push(text(message.data));
        running--;
      });
    const first = await consume(one, gate.promise);
    const sent = numbers(40);
    for (const id of sent) await two.append(scope, name("s.1"), bytes(id), { id });
    await eventually(scope, "eight handlers", () => running === 8);
    let drained = false;
    const draining = first.drain().then(() => drained = true);
    await settled(bench);
    assert.equal(drained, false);
    gate.resolve();
    await draining;
    assert.deepEqual([running, acked.length], [0, 8]);
    await consume(two, Promise.resolve());
    await eventually(scope, "the rest", () => acked.length >= sent.length);
    await settled(bench);
    assert.deepEqual(acked.sort(), [...sent].sort());
  });

  test("a replica that is gone leaves its messages to the others", async ({ scope, connect, name, stream }) => {
    const [one, two] = await Promise.all([connect(), connect()]);
    const spec = await stream(one);
    const controller = new AbortController();
    const doomed = scope.child("doomed", controller.signal);
    const options = { stream: spec.name, durable: "d", ackWaitMs: 300, inFlightMax: 8 };
    let taken = 0;
    await one.consume(doomed, options, () => {
      taken++;
      return Promise.resolve();
    });
    const sent = numbers(20);
    for (const id of sent) await two.append(scope, name("s.1"), bytes(id), { id });
    await eventually(scope, "messages taken", () => taken >= 8);
    controller.abort();
    const got = new Set<string>();
    await two.consume(scope, options, async (message) => {
      await message.ack();
      got.add(text(message.data));
    });
    await eventually(scope, "all of them", () => got.size === sent.length);
  });

  test("consume() of a stream that does not exist is `unavailable`", async ({ scope, connect }) => {
    const bus = await connect();
    await rejects(
      "unavailable",
      bus.consume(scope, { stream: "MISSING", durable: "d" }, () => Promise.resolve()),
    );
  });

  // Life

  test("close() drains what runs, may be called twice, and leaves a bus that refuses", async (bench) => {
    const { scope, connect, name, stream } = bench;
    const [bus, other] = await Promise.all([connect(), connect()]);
    const spec = await stream(bus);
    const gate = Promise.withResolvers<void>();
    const ended: string[] = [];
    let running = 0;
    await bus.consume(scope, { stream: spec.name, durable: "d" }, async (message) => {
      running++;
      await gate.promise;
      await message.ack();
      ended.push("durable");
    });
    await bus.subscribe(scope, name("ask"), {}, async (message) => {
      running++;
      await gate.promise;
      message.respond(bytes("answer"));
      ended.push("core");
    });
    await bus.append(scope, name("s.1"), bytes(""), { id: "1" });
    const answer = other.request(scope, name("ask"), bytes(""));
    await eventually(scope, "both handlers", () => running === 2);
    assert.equal(bus.state(), "connected");
    const closing = Promise.all([bus.close(), bus.close()]);
    gate.resolve();
    await closing;
    assert.equal(text(await answer), "answer");
    assert.deepEqual(ended.sort(), ["core", "durable"]);
    assert.equal(bus.state(), "closed");
    await bus.close();

    const none = () => Promise.resolve();
    await rejects("closed", bus.publish(scope, name("a"), bytes("")));
    await rejects("closed", bus.request(scope, name("a"), bytes("")));
    await rejects("closed", bus.subscribe(scope, name("a"), {}, none));
    await rejects("closed", bus.ensureStreams(scope, [spec]));
    await rejects("closed", bus.append(scope, name("s.1"), bytes(""), { id: "2" }));
    await rejects("closed", bus.consume(scope, { stream: spec.name, durable: "d" }, none));
    await rejects("closed", all(bus.replay(scope, spec.name)));
    assert.equal(other.state(), "connected");
    await rejects("unavailable", other.request(scope, name("ask"), bytes("")));
  });
}

/** What a test works with; `name` and `stream` belong to this test alone. */
interface Bench {
  scope: TestScope;
  connect(): Promise<Bus>;
  name(subject: string): string;
  /** A stream that takes `name("s.*")`. */
  stream(bus: Bus, changes?: Partial<StreamSpec>): Promise<StreamSpec>;
}

function createBench(fixture: BusFixture): Bench {
  const token = fixture.scope.random.id();
  const name = (subject: string) => `${token}.${subject}`;
  return {
    scope: fixture.scope,
    connect: fixture.connect,
    name,
    async stream(bus, changes = {}) {
      const spec: StreamSpec = {
        name: `S_${token.toUpperCase()}`,
        subjects: [name("s.*")],
        ageMsMax: 3_600_000,
        bytesMax: STREAM_BYTES_MAX,
        ...changes,
      };
      await bus.ensureStreams(fixture.scope, [spec]);
      return spec;
    },
  };
}

/** Resolves once what was sent before it through the broker has arrived: a round trip from one client to another. */
async function settled({ scope, connect, name }: Bench): Promise<void> {
  const [asker, answerer] = await Promise.all([connect(), connect()]);
  await answerer.subscribe(scope, name("settled"), {}, (message) => {
    message.respond(message.data);
    return Promise.resolve();
  });
  for (let round = 0; round < 3; round++) await asker.request(scope, name("settled"), bytes(""));
  await Promise.all([asker.close(), answerer.close()]);
}

async function eventually(
  scope: TestScope,
  what: string,
  holds: () => boolean | Promise<boolean>,
): Promise<void> {
  const untilMs = scope.monoMs() + WAIT_MS;
  while (!await holds()) {
    assert.ok(scope.monoMs() < untilMs, `${what}: not within ${WAIT_MS} ms; failures: ${scope.failures}`);
    await scope.sleep(5);
  }
}

async function rejects(code: ErrorCode, promise: Promise<unknown>): Promise<void> {
  const error = await promise.then(() => "no error", (thrown) => thrown);
  assert.ok(
    isSalarError(error, code),
    `wanted ${code}, got ${isSalarError(error) ? error.code : ""} ${messageOf(error)}`,
  );
}

async function all(messages: AsyncIterable<StoredMessage>): Promise<StoredMessage[]> {
  const list: StoredMessage[] = [];
  for await (const message of messages) list.push(message);
  return list;
}

const bytes = (content: string): Uint8Array => new TextEncoder().encode(content);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const numbers = (length: number): string[] => Array.from({ length }, (_, at) => String(at + 1));
const count = (list: unknown[] | undefined): number => list?.length ?? 0;
const push = (list: string[], item: string): Promise<void> => {
  list.push(item);
  return Promise.resolve();
};
