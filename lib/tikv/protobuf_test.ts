import assert from "node:assert/strict";
import fc from "fast-check";
import { TikvError } from "./errors.ts";
import * as kv from "./messages_kv.ts";
import * as meta from "./messages_meta.ts";
import * as pd from "./messages_pd.ts";
import {
  bool,
  bytes,
  decodeSole,
  i32,
  i64,
  type Message,
  message,
  repeated,
  string,
  u32,
  u64,
  Writer,
} from "./protobuf.ts";

const Inner = message("Inner", { name: [1, string] });
const All = message("All", {
  u64: [1, u64],
  u32: [2, u32],
  i32: [3, i32],
  i64: [4, i64],
  bool: [5, bool],
  bytes: [6, bytes],
  string: [7, string],
  inner: [8, Inner],
  u64s: [9, repeated(u64)],
  inners: [10, repeated(Inner)],
  blobs: [200, repeated(bytes)],
});
const zero = All.decode(new Uint8Array(0));

Deno.test("encode() gives the bytes of the format's own description", () => {
  const known: [Parameters<typeof All.encode>[0], string][] = [
    [{}, ""],
    [{ u64: 150n }, "089601"],
    [{ string: "testing" }, "3a0774657374696e67"],
    [{ i32: -2 }, "18feffffffffffffffff01"],
    [{ i64: -1n }, "20ffffffffffffffffff01"],
    [{ u64: 2n ** 64n - 1n }, "08ffffffffffffffffff01"],
    [{ u64: 451234567890123456n }, "08c0f5de8baeeec6a106"],
    [{ u32: 0xffff_ffff }, "10ffffffff0f"],
    [{ u64s: [3n, 270n, 86942n] }, "4a06038e029ea705"],
    [{ inner: {} }, "4200"],
    [{ inners: [{ name: "a" }, {}] }, "52030a01615200"],
    [{ blobs: [new Uint8Array([1]), new Uint8Array(0)] }, "c20c0101c20c00"],
  ];
  for (const [value, hex] of known) {
    assert.equal(All.encode(value).toHex(), hex);
    assert.equal(All.encode(All.decode(Uint8Array.fromHex(hex))).toHex(), hex, "and back");
  }
});

Deno.test("decode() of nothing gives zeros, and null for a message", () => {
  assert.deepEqual(zero, {
    u64: 0n,
    u32: 0,
    i32: 0,
    i64: 0n,
    bool: false,
    bytes: new Uint8Array(0),
    string: "",
    inner: null,
    u64s: [],
    inners: [],
    blobs: [],
  });
});

Deno.test("decode() gives back every value that encode() was given", () => {
  const text = fc.string({ unit: "binary" });
  const all = fc.record({
    u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    u32: fc.integer({ min: 0, max: 0xffff_ffff }),
    i32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    i64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    bool: fc.boolean(),
    bytes: fc.uint8Array(),
    string: text,
    inner: fc.option(fc.record({ name: text })),
    u64s: fc.array(fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 300n }))),
    inners: fc.array(fc.record({ name: text })),
    blobs: fc.array(fc.uint8Array()),
  });
  fc.assert(fc.property(all, (value) => {
    assert.deepEqual(plain(All.decode(All.encode(value))), plain(value));
  }));
  for (let bit = 0n; bit < 64n; bit++) {
    for (const value of [2n ** bit, 2n ** bit - 1n]) {
      assert.equal(All.decode(All.encode({ u64: value })).u64, value);
      assert.equal(All.decode(All.encode({ i64: -value })).i64, -value);
    }
  }
});

Deno.test("encode() refuses a number that is no unsigned 64-bit one", () => {
  assert.throws(() => All.encode({ u64: -1n }), RangeError);
  assert.throws(() => All.encode({ u64: 2n ** 64n }), RangeError);
});

Deno.test("decode() takes repeated numbers packed, unpacked and mixed", () => {
  assert.deepEqual(All.decode(Uint8Array.fromHex("48034a028e02" + "4805")).u64s, [3n, 270n, 5n]);
});

Deno.test("decode() skips fields that it does not know, of every wire type, and known ones of another type", () => {
  const unknown = "f80601" + "f9060102030405060708" + "fa0602aabb" + "fd0601020304";
  assert.deepEqual(All.decode(Uint8Array.fromHex(unknown + "089601" + unknown)), { ...zero, u64: 150n });
  assert.deepEqual(All.decode(Uint8Array.fromHex("0a01ff" + "3001")), zero);
});

Deno.test("decode() gives bytes as views of its input", () => {
  const input = All.encode({ bytes: new Uint8Array([1, 2, 3]) });
  assert.equal(All.decode(input).bytes.buffer, input.buffer);
});

Deno.test("decode() refuses what is cut off, too long or of an impossible type, and names the message", () => {
  const wrong = {
    "a number without its end": "08ff",
    "a number of eleven bytes": "08ffffffffffffffffffff01",
    "a length without bytes": "3205aa",
    "a length of 4 GiB": "32ffffffff0f",
    "a length beyond 32 bits": "32ffffffffffff01",
    "a message within one, longer than it": "42050a05",
    "a group": "0b",
    "an end of group": "0c",
    "wire type 6": "0e",
    "eight bytes of which four are there": "f90601020304",
  };
  for (const [name, hex] of Object.entries(wrong)) {
    assert.throws(
      () => All.decode(Uint8Array.fromHex(hex)),
      (error) =>
        error instanceof TikvError && error.code === "malformed" && /decode All of/.test(error.message),
      name,
    );
  }
});

Deno.test("decodeSole() finds the one field, and gives null for another", () => {
  assert.deepEqual(decodeSole(Uint8Array.fromHex("52030a0161"), 10, Inner), { name: "a" });
  assert.equal(decodeSole(Uint8Array.fromHex("52030a0161"), 11, Inner), null);
  assert.throws(() => decodeSole(Uint8Array.fromHex("5203"), 10, Inner), TikvError);
});

Deno.test("truncate() forgets what was written since", () => {
  const writer = new Writer(1);
  Inner.write(writer, { name: "kept" });
  const { length } = writer;
  Inner.write(writer, { name: "x".repeat(1000) });
  writer.truncate(length);
  assert.deepEqual(writer.finish().toHex(), "060a046b657074");
});

// What follows goes over every message of the protocol.

type AnyMessage = Message<unknown, unknown>;
const isMessage = (value: unknown): value is AnyMessage =>
  typeof value === "object" && value !== null && "decode" in value;
const messages = [kv, meta, pd].flatMap((module) => Object.values(module).filter(isMessage));

/** Fields as any sender may write them: numbers and types at random, messages within messages. */
const { wireBytes } = fc.letrec<{ wireBytes: Uint8Array; field: Uint8Array }>((tie) => ({
  wireBytes: fc.array(tie("field"), { maxLength: 6 }).map((fields) => concat(...fields)),
  field: fc.oneof(
    { maxDepth: 5, depthSize: "medium" },
    fc.tuple(fc.integer({ min: 1, max: 36 }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })).map((
      [number, value],
    ) => concat(varint(BigInt(number << 3)), varint(value))),
    fc.tuple(fc.integer({ min: 1, max: 36 }), fc.oneof(tie("wireBytes"), fc.uint8Array({ maxLength: 12 })))
      .map(
        ([number, inner]) => concat(varint(BigInt(number << 3 | 2)), varint(BigInt(inner.length)), inner),
      ),
  ),
}));

Deno.test("decode() of every message: what it gives, encode() makes again", () => {
  assert.ok(messages.length > 60, String(messages.length));
  for (const each of messages) {
    fc.assert(
      fc.property(wireBytes, (input) => {
        const value = decodeOrRefuse(each, input);
        if (value !== null) assert.deepEqual(plain(each.decode(each.encode(value))), plain(value));
      }),
      { numRuns: 60 },
    );
  }
});

Deno.test("decode() of every message: noise, cuts and flipped bits are malformed or a value", () => {
  for (const each of messages) {
    fc.assert(
      fc.property(
        wireBytes,
        fc.nat(),
        fc.nat(),
        fc.uint8Array({ maxLength: 64 }),
        (input, cut, flip, noise) => {
          decodeOrRefuse(each, noise);
          decodeOrRefuse(each, input.subarray(0, cut % (input.length + 1)));
          const flipped = input.slice();
          const at = (flip >> 3) % (flipped.length + 1);
          if (at < flipped.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << (flip & 7));
          decodeOrRefuse(each, flipped);
        },
      ),
      { numRuns: 60 },
    );
  }
});

function decodeOrRefuse(each: AnyMessage, input: Uint8Array): unknown {
  try {
    return each.decode(input);
  } catch (error) {
    assert.ok(error instanceof TikvError && error.code === "malformed", String(error));
    return null;
  }
}

function varint(value: bigint): Uint8Array {
  const groups: number[] = [];
  for (let rest = value; groups.length === 0 || rest > 0n; rest >>= 7n) {
    groups.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
  }
  return new Uint8Array(groups);
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(parts.flatMap((part) => [...part]));
}

/** Views of larger buffers compare by their bytes. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return value.toHex();
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
