import assert from "node:assert/strict";
import { lockTtlMs, planCommit, secondariesOf } from "./commit_plan.ts";
import { Op } from "./messages_kv.ts";
import { WriteBuffer } from "./write_buffer.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const begun = { startTs: 7n, startedAtMs: 0 };

Deno.test("planCommit() takes the first key that gets a lock as primary, and checks the others only", () => {
  const buffer = new WriteBuffer();
  buffer.insert(bytes("a"), bytes("1"));
  buffer.delete(bytes("a"));
  buffer.put(bytes("c"), bytes("333"));
  buffer.lock(bytes("b"));
  const plan = planCommit(buffer.changes(), { ...begun, held: null });
  assert.ok(plan);
  assert.equal(text(plan.primary), "b");
  assert.deepEqual(plan.intents.map(({ op }) => op), [Op.checkNotExists, Op.lock, Op.put]);
  assert.deepEqual(plan.keys.map(text), ["b", "c"]);
  assert.deepEqual(secondariesOf(plan).map(text), ["c"]);
  assert.deepEqual([plan.keyBytes, plan.bytes], [2, 6]);
});

Deno.test("planCommit() gives nothing to do for checks alone", () => {
  const buffer = new WriteBuffer();
  buffer.insert(bytes("a"), bytes("1"));
  buffer.delete(bytes("a"));
  assert.equal(planCommit(buffer.changes(), { ...begun, held: null }), null);
});

Deno.test("planCommit() checks nothing again that a pessimistic lock has kept, and keeps its primary", () => {
  const buffer = new WriteBuffer();
  buffer.insert(bytes("a"), bytes("1"));
  buffer.delete(bytes("a"));
  buffer.insert(bytes("b"), bytes("2"));
  buffer.hold(bytes("a"), null);
  buffer.hold(bytes("b"), null);
  buffer.hold(bytes("c"), bytes("3"));
  const plan = planCommit(buffer.changes(), { ...begun, held: { primary: bytes("c"), forUpdateTs: 9n } });
  assert.deepEqual(plan?.intents.map(({ op }) => op), [Op.lock, Op.put, Op.lock]);
  assert.equal(text(plan?.primary ?? bytes("?")), "c");
});

Deno.test("lockTtlMs() grows with the root of the size between its bounds, from the transaction's age on", () => {
  const MiB = 1024 * 1024;
  assert.equal(lockTtlMs(100, 0), 3_000n);
  assert.equal(lockTtlMs(100, 250.2), 3_251n);
  assert.equal(lockTtlMs(16 * 1024, 0), 3_000n, "750 ms by the root alone");
  assert.equal(lockTtlMs(MiB, 0), 6_000n);
  assert.equal(lockTtlMs(4 * MiB, 1_000), 13_000n);
  assert.equal(lockTtlMs(100 * MiB, 0), 20_000n);
});
