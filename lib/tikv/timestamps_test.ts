import assert from "node:assert/strict";
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { PD_CALL_MS, TIMESTAMPS_AT_ONCE_MAX } from "./limits.ts";
import type { TsoRequest } from "./messages_pd.ts";
import type { Decoded } from "./protobuf.ts";
import { FakeWire, type FarStream, HurryingRuntime, lost } from "./testing_fakes.ts";
import { Timestamps } from "./timestamps.ts";

type Request = Decoded<typeof TsoRequest>;

const withCode = (code: string) => (error: unknown) => error instanceof TikvError && error.code === code;
const withStatus = (status: number) => (error: unknown) =>
  error instanceof RpcError && error.status === status;
const ts = (physical: bigint, logical: bigint) => (physical << 18n) + logical;

/** A source of timestamps and the far side of it. */
class Rig {
  readonly runtime = new HurryingRuntime();
  readonly wire = new FakeWire();
  readonly life = new AbortController();
  readonly counts: number[] = [];
  readonly streams = new Set<FarStream>();
  readonly source: Timestamps;
  leader = "pd-1:2379";
  physical = 1_000n;
  logical = 0n;
  /** What the far side does with a request. */
  far = (stream: FarStream, { count }: Request) => this.give(stream, count);

  constructor() {
    this.wire.onStream = (stream, request) => {
      this.streams.add(stream);
      this.counts.push((request as Request).count);
      this.far(stream, request as Request);
    };
    this.source = new Timestamps({
      wire: this.wire,
      runtime: this.runtime,
      clusterId: 99n,
      leader: () => this.leader,
      signal: this.life.signal,
    });
  }

  give(stream: FarStream, count: number, more: { suffixBits?: number } = {}): void {
    this.logical += BigInt(count);
    const timestamp = { physical: this.physical, logical: this.logical, ...more };
    stream.reply({ header: { clusterId: 99n }, count, timestamp });
  }

  [Symbol.dispose](): void {
    this.life.abort();
  }
}

Deno.test("next() gives distinct timestamps, in order, from one request to all who ask in one breath", async () => {
  using rig = new Rig();
  const given = await Promise.all(Array.from({ length: 5 }, () => rig.source.next()));
  assert.deepEqual(given, [1n, 2n, 3n, 4n, 5n].map((logical) => ts(1_000n, logical)));
  assert.deepEqual(rig.counts, [5]);
  assert.equal(rig.source.last, ts(1_000n, 5n));
});

Deno.test("next() has one request under way; who asks meanwhile shares the next one", async () => {
  using rig = new Rig();
  const held = Promise.withResolvers<FarStream>();
  rig.far = (stream) => held.resolve(stream);
  const first = rig.source.next();
  const stream = await held.promise;
  const later = Array.from({ length: 7 }, () => rig.source.next());
  rig.far = (stream, { count }) => rig.give(stream, count);
  assert.deepEqual(rig.counts, [1]);
  rig.give(stream, 1);
  const given = [await first, ...await Promise.all(later)];
  assert.deepEqual(rig.counts, [1, 7]);
  assert.equal(new Set(given).size, 8);
  assert.deepEqual(given, given.toSorted((a, b) => a < b ? -1 : 1));
  assert.equal(rig.streams.size, 1);
});

Deno.test("next() asks for a bounded number at once", async () => {
  using rig = new Rig();
  await Promise.all(Array.from({ length: TIMESTAMPS_AT_ONCE_MAX + 3 }, () => rig.source.next()));
  assert.deepEqual(rig.counts, [TIMESTAMPS_AT_ONCE_MAX, 3]);
});

Deno.test("next() steps over the suffix that the driver puts at the end of each timestamp", async () => {
  using rig = new Rig();
  rig.far = (stream, { count }) => {
    rig.logical += 4n * BigInt(count);
    stream.reply({ count, timestamp: { physical: 1_000n, logical: rig.logical, suffixBits: 2 } });
  };
  const given = await Promise.all([rig.source.next(), rig.source.next()]);
  assert.deepEqual(given, [ts(1_000n, 4n), ts(1_000n, 8n)]);
});

Deno.test("a timestamp that falls back stops the source for good: `corrupt`", async () => {
  for (const [physical, logical] of [[999n, 50n], [1_000n, 1n], [1_000n, 0n]] as const) {
    using rig = new Rig();
    await rig.source.next();
    rig.far = (stream, { count }) => stream.reply({ count, timestamp: { physical, logical } });
    await assert.rejects(rig.source.next(), withCode("corrupt"), `${physical} ${logical}`);
    rig.far = (stream, { count }) => {
      rig.physical = 2_000n;
      rig.give(stream, count);
    };
    await assert.rejects(rig.source.next(), withCode("corrupt"), "even when all is well again");
    assert.equal(rig.source.last, ts(1_000n, 1n));
  }
});

Deno.test("a batch whose first timestamp falls back stops the source, though its last does not", async () => {
  using rig = new Rig();
  await Promise.all(Array.from({ length: 10 }, () => rig.source.next()));
  rig.far = (stream, { count }) => stream.reply({ count, timestamp: { physical: 1_000n, logical: 12n } });
  await assert.rejects(Promise.all(Array.from({ length: 5 }, () => rig.source.next())), withCode("corrupt"));
});

Deno.test("an answer for another count stops the source: `corrupt`", async () => {
  using rig = new Rig();
  rig.far = (stream) => rig.give(stream, 2);
  await assert.rejects(rig.source.next(), withCode("corrupt"));
});

Deno.test("a jump ahead is a timestamp like any other", async () => {
  using rig = new Rig();
  await rig.source.next();
  rig.physical = 9_000_000n;
  assert.equal(await rig.source.next(), ts(9_000_000n, 2n));
});

Deno.test("a broken stream fails who waited, and the next request goes on a new one, in order", async () => {
  using rig = new Rig();
  const before = await rig.source.next();
  rig.far = (stream) => stream.end(lost());
  const failed = await Promise.allSettled([rig.source.next(), rig.source.next()]);
  for (const each of failed) {
    assert.ok(each.status === "rejected" && withStatus(GrpcStatus.unavailable)(each.reason));
  }
  rig.far = (stream, { count }) => rig.give(stream, count);
  assert.ok(await rig.source.next() > before);
  assert.equal(rig.streams.size, 2);
});

Deno.test("an answer that comes too late is nobody's", async () => {
  using rig = new Rig();
  let slow: FarStream | undefined;
  rig.far = (stream) => void (slow = stream);
  const startMs = rig.runtime.nowMs();
  await assert.rejects(rig.source.next(), withStatus(GrpcStatus.deadlineExceeded));
  assert.equal(rig.runtime.nowMs() - startMs, PD_CALL_MS);
  rig.far = (stream, { count }) => {
    assert.ok(slow);
    rig.give(slow, count);
    rig.give(stream, count);
  };
  assert.equal(await rig.source.next(), ts(1_000n, 2n));
  assert.equal(rig.streams.size, 2);
});

Deno.test("a refusal in the header fails the batch", async () => {
  using rig = new Rig();
  rig.far = (stream, { count }) =>
    stream.reply({ header: { error: { type: 1, message: "not leader" } }, count });
  await assert.rejects(rig.source.next(), /not leader/);
});

Deno.test("when another driver leads, the next request goes there", async () => {
  using rig = new Rig();
  const before = await rig.source.next();
  rig.leader = "pd-2:2379";
  assert.ok(await rig.source.next() > before);
  assert.deepEqual([...rig.streams].map(({ address, closed }) => [address, closed]), [
    ["pd-1:2379", true],
    ["pd-2:2379", false],
  ]);
});

Deno.test("a stream that ends while it is being opened fails who waits, at once", async () => {
  using rig = new Rig();
  rig.wire.stream = (_address, _method, { onEnd }) => {
    onEnd(lost("no such method", GrpcStatus.unimplemented));
    return Promise.resolve({ send: () => {}, close: () => {} });
  };
  await assert.rejects(rig.source.next(), withStatus(GrpcStatus.unimplemented));
});

Deno.test("no stream can be opened: all who wait are told, at once", async () => {
  using rig = new Rig();
  rig.wire.down.add("pd-1:2379");
  const failed = await Promise.allSettled([rig.source.next(), rig.source.next()]);
  for (const each of failed) {
    assert.ok(each.status === "rejected" && withStatus(GrpcStatus.unavailable)(each.reason));
  }
  rig.wire.down.clear();
  await rig.source.next();
});

Deno.test("the end of the client ends who waits: `closed`", async () => {
  const rig = new Rig();
  rig.far = () => {};
  const waiting = rig.source.next();
  await Promise.resolve();
  rig.life.abort();
  await assert.rejects(waiting, withCode("closed"));
  await assert.rejects(rig.source.next(), withCode("closed"));
});
