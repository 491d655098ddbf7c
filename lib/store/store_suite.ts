/**
 * What every Store must do, run unchanged over each adapter.
 *
 * In: a name for the test titles and a function that opens an empty store. Out: registered tests.
 * A rival is another transaction that a test commits in the middle of one: the race, without chance.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type ErrorCode, isSalarError } from "../errors.ts";
import {
  STORE_KEY_BYTES_MAX,
  STORE_SCAN_LIMIT_MAX,
  STORE_TOKEN_CHARS_MAX,
  STORE_TOKEN_KEEP_MS,
  STORE_TX_ATTEMPTS_MAX,
  STORE_TX_BYTES_MAX,
  STORE_TX_WRITES_MAX,
  STORE_VALUE_BYTES_MAX,
} from "../limits.ts";
import { realScope } from "../mesh/real_scope.ts";
import type { Scope } from "../seams.ts";
import { compareKeys } from "./keys.ts";
import { prefixRange, type Read, type ScanOptions, type Store, type Write } from "./store.ts";

export interface OpenedStore {
  store: Store;
  /** Closes the store and opens it again, with what is in it where the adapter is durable. */
  reopen(): Promise<Store>;
  /** Closes whatever is open and removes what was kept. */
  close(): Promise<void>;
}

export interface SuiteOptions {
  /** False where nothing outlives `close()`. */
  durable: boolean;
}

type Cases = Record<string, (opened: OpenedStore) => Promise<void>>;

export function storeSuite(name: string, open: () => Promise<OpenedStore>, { durable }: SuiteOptions): void {
  for (const cases of [basics, scans, isolation, tokens, limits, life, ...(durable ? [durability] : [])]) {
    for (const [title, run] of Object.entries(cases)) {
      Deno.test(`${name}: ${title}`, async () => {
        const opened = await open();
        try {
          await run(opened);
        } finally {
          await opened.close();
        }
      });
    }
  }
}

const scope = realScope({ name: "store suite" });
/** Waits for nothing, so that a transaction that always loses is done at once. */
const hasty: Scope = { ...scope, sleep: () => Promise.resolve() };
const ALL = { from: "", to: "\u{10ffff}" };

const basics: Cases = {
  "get() gives what was put, and null after a delete": async ({ store }) => {
    await put(store, { a: "1", b: "2" });
    assert.deepEqual(await contents(store), { a: "1", b: "2" });
    await store.write(scope, (tx) => done(tx.delete("a"), tx.put("b", bytes("3"))));
    assert.equal(await get(store, "a"), null);
    assert.equal(await get(store, "b"), "3");
  },
  "getMany() answers in the order of the keys, null for each that is absent": async ({ store }) => {
    await put(store, { a: "1", c: "3" });
    const values = await store.read(scope, (tx) => tx.getMany(["c", "b", "a", "c"]));
    assert.deepEqual(values.map(text), ["3", null, "1", "3"]);
  },
  "an empty value is a value": async ({ store }) => {
    await put(store, { a: "" });
    assert.deepEqual(await store.read(scope, (tx) => tx.get("a")), new Uint8Array(0));
    assert.deepEqual(await contents(store), { a: "" });
  },
  "values keep every byte": async ({ store }) => {
    const every = Uint8Array.from({ length: 256 }, (_, i) => i);
    await store.write(scope, (tx) => done(tx.put("a", every)));
    assert.deepEqual(await store.read(scope, (tx) => tx.get("a")), every);
  },
  "put() takes the value as it is when called": async ({ store }) => {
    const value = bytes("old");
    await store.write(scope, (tx) => done(tx.put("a", value), value.fill(0)));
    assert.equal(await get(store, "a"), "old");
  },
  "write() and read() return what their function returns": async ({ store }) => {
    assert.deepEqual(await store.write(scope, () => Promise.resolve({ n: 1 })), { n: 1 });
    assert.deepEqual(await store.read(scope, () => Promise.resolve([2])), [2]);
  },
  "a transaction reads its own writes": async ({ store }) => {
    await put(store, { a: "1", b: "2" });
    await store.write(scope, async (tx) => {
      tx.put("a", bytes("new"));
      tx.delete("b");
      tx.put("c", bytes("3"));
      assert.deepEqual((await tx.getMany(["a", "b", "c"])).map(text), ["new", null, "3"]);
      assert.deepEqual(await contentsOf(tx), { a: "new", c: "3" });
      tx.delete("c");
      tx.put("b", bytes("again"));
      assert.deepEqual(await contentsOf(tx), { a: "new", b: "again" });
    });
    assert.deepEqual(await contents(store), { a: "new", b: "again" });
  },
};

const ORDERED = [
  "a",
  "a b",
  "a/",
  "a/b",
  "a0",
  "b",
  "é",
  "\u{d7ff}",
  "\u{e000}",
  "\u{ffee}",
  "😀",
  "😀a",
  "\u{10fffe}",
];

const scans: Cases = {
  "keys come in the order of their UTF-8 bytes, in the store and among own writes": async ({ store }) => {
    const shuffled = ORDERED.toReversed();
    for (const committed of [0, 5, ORDERED.length]) {
      const own = shuffled.slice(committed);
      await store.write(scope, async (tx) => {
        own.forEach((key) => tx.put(key, bytes("")));
        assert.deepEqual(await keysOf(tx, { limit: 100 }), ORDERED);
        assert.deepEqual(await keysOf(tx, { limit: 100, reverse: true }), ORDERED.toReversed());
        own.forEach((key) => tx.delete(key));
        for (const key of shuffled.slice(0, committed === 0 ? 5 : ORDERED.length)) tx.put(key, bytes(""));
      });
    }
  },
  "a range holds `from` and not `to`; nothing lies in a reversed one": async ({ store }) => {
    await put(store, { a: "", b: "", c: "", d: "" });
    const keys = (from: string, to: string) =>
      store.read(scope, async (tx) => (await tx.scan({ from, to }, { limit: 10 })).map(({ key }) => key));
    assert.deepEqual(await keys("b", "d"), ["b", "c"]);
    assert.deepEqual(await keys("b", "b\0"), ["b"]);
    assert.deepEqual(await keys("d", "b"), []);
  },
  "prefixRange() holds the keys that begin so, and no others": async ({ store }) => {
    await put(store, { "a": "", "a/": "", "a/b": "", "a/😀": "", "a0": "", "b/": "" });
    const found = await store.read(scope, (tx) => tx.scan(prefixRange("a/"), { limit: 10 }));
    assert.deepEqual(found.map(({ key }) => key), ["a/", "a/b", "a/😀"]);
  },
  "pages joined by `after` give every key once, in both directions": async ({ store }) => {
    const keys = Array.from({ length: 57 }, (_, i) => `k/${String(i).padStart(3, "0")}`);
    await put(store, Object.fromEntries(keys.map((key) => [key, ""])));
    for (const reverse of [false, true]) {
      for (const limit of [1, 10, 57, 58]) {
        const paged = await store.read(scope, (tx) => allPages(tx, { limit, reverse }));
        assert.deepEqual(paged, reverse ? keys.toReversed() : keys);
      }
    }
  },
  "`after` need not exist, and may lie outside of the range": async ({ store }) => {
    await put(store, { b: "", d: "" });
    await store.read(scope, async (tx) => {
      assert.deepEqual(await keysOf(tx, { limit: 9, after: "c" }), ["d"]);
      assert.deepEqual(await keysOf(tx, { limit: 9, after: "c", reverse: true }), ["b"]);
      const range = { from: "b", to: "c" };
      const scan = async (options: ScanOptions) => (await tx.scan(range, options)).length;
      assert.equal(await scan({ limit: 9, after: "a" }), 1);
      assert.equal(await scan({ limit: 9, after: "z" }), 0);
      assert.equal(await scan({ limit: 9, after: "z", reverse: true }), 1);
      assert.equal(await scan({ limit: 9, after: "a", reverse: true }), 0);
    });
  },
  "a scan with own writes equals a scan of the same keys committed": async ({ store }) => {
    const key = fc.constantFrom(..."abcdefgh", "é", "\u{ffee}", "😀");
    const some = fc.dictionary(key, fc.constantFrom("0", "1"), { noNullPrototype: true, minKeys: 4 });
    const own = fc.dictionary(key, fc.constantFrom("2", null), { noNullPrototype: true });
    const options = fc.record(
      { limit: fc.integer({ min: 1, max: 6 }), reverse: fc.boolean(), after: key },
      { requiredKeys: ["limit"] },
    );
    await fc.assert(
      fc.asyncProperty(some, own, key, options, async (base, own, from, options) => {
        const range = { from, to: "\u{10ffff}" };
        await clear(store);
        await put(store, base);
        const seen = await store.write(scope, async (tx) => {
          apply(tx, own);
          return await tx.scan(range, options);
        });
        assert.deepEqual(seen, await store.read(scope, (tx) => tx.scan(range, options)));
        assert.deepEqual(seen.map((entry) => entry.key), modelScan({ ...base, ...own }, from, options));
      }),
      { numRuns: 200 },
    );
  },
  "a scan page by page is of one moment, whatever is written meanwhile": async ({ store }) => {
    const keys = Array.from({ length: 40 }, (_, i) => `k${String(i).padStart(2, "0")}`);
    await put(store, Object.fromEntries(keys.map((key) => [key, "1"])));
    // Each commit moves one value between a key and its shadow: 40 entries at every moment.
    const move = (key: string) =>
      store.write(scope, async (tx) => {
        const here = await tx.get(key) === null ? `${key}+` : key;
        tx.delete(here);
        tx.put(here === key ? `${key}+` : key, bytes("1"));
      });
    for (let round = 0; round < 20; round++) {
      await store.read(scope, async (tx) => {
        const [first] = await Promise.all([
          allPages(tx, { limit: 3 }),
          ...keys.filter((_, i) => i % 3 === round % 3).map(move),
        ]);
        assert.equal(first.length, 40);
        assert.deepEqual((await allPages(tx, { limit: 7, reverse: true })).toReversed(), first);
      });
    }
  },
};

const isolation: Cases = {
  "read() sees one snapshot: no change, delete or new key of another": async ({ store }) => {
    await put(store, { a: "1", b: "2" });
    await store.read(scope, async (tx) => {
      assert.equal(text(await tx.get("a")), "1");
      await store.write(
        scope,
        (rival) => done(rival.put("a", bytes("9")), rival.delete("b"), rival.put("c", bytes("9"))),
      );
      assert.deepEqual((await tx.getMany(["a", "b", "c"])).map(text), ["1", "2", null]);
      assert.deepEqual(await contentsOf(tx), { a: "1", b: "2" });
      await put(store, { b: "again" });
      assert.deepEqual(await contentsOf(tx), { a: "1", b: "2" });
    });
    assert.deepEqual(await contents(store), { a: "9", b: "again", c: "9" });
  },
  "a transaction sees all that was committed before it began": async ({ store }) => {
    for (let n = 0; n < 50; n++) {
      await put(store, { a: String(n) });
      assert.equal(await get(store, "a"), String(n));
    }
  },
  "100 concurrent increments lose none": async ({ store }) => {
    let runs = 0;
    await Promise.all(Array.from({ length: 100 }, () =>
      store.write(scope, async (tx) => {
        runs++;
        await increment(tx, "n");
      })));
    assert.equal(await get(store, "n"), "100");
    assert.ok(runs > 100, "some of them met and ran again");
  },
  "a transaction that lost a race runs again on a fresh snapshot": async ({ store }) => {
    await put(store, { a: "1" });
    const seen: (string | null)[] = [];
    await withRival(store, (tx) => done(tx.put("a", bytes("2"))), async (tx) => {
      seen.push(text(await tx.get("a")));
      tx.put("a", bytes("3"));
    });
    assert.deepEqual(seen, ["1", "2"]);
    assert.equal(await get(store, "a"), "3");
  },
  "a blind write loses a race too": async ({ store }) => {
    const runs = await withRival(
      store,
      (tx) => done(tx.put("a", bytes("1"))),
      (tx) => done(tx.put("a", bytes("2"))),
    );
    assert.equal(runs, 2);
  },
  "transactions on different keys do not meet": async ({ store }) => {
    const runs = await withRival(
      store,
      (tx) => done(tx.put("a", bytes("1"))),
      (tx) => done(tx.put("b", bytes("2"))),
    );
    assert.equal(runs, 1);
    assert.deepEqual(await contents(store), { a: "1", b: "2" });
  },
  "a key that was deleted is a changed key": async ({ store }) => {
    await put(store, { a: "1" });
    const runs = await withRival(store, (tx) => done(tx.delete("a")), (tx) => increment(tx, "a"));
    assert.deepEqual([runs, await get(store, "a")], [2, "1"]);
  },
  "a key that was deleted and made again is a changed key": async ({ store }) => {
    await put(store, { a: "1" });
    const rivals = [(tx: Write) => done(tx.delete("a")), (tx: Write) => done(tx.put("a", bytes("1")))];
    const runs = await withRival(store, rivals, (tx) => increment(tx, "a"));
    assert.deepEqual([runs, await get(store, "a")], [2, "2"]);
  },
  "a key that was made and deleted again is a changed key": async ({ store }) => {
    const rivals = [(tx: Write) => done(tx.put("a", bytes("1"))), (tx: Write) => done(tx.delete("a"))];
    const runs = await withRival(store, rivals, (tx) => increment(tx, "a"));
    assert.deepEqual([runs, await get(store, "a")], [2, "1"]);
  },
  "write skew happens to those who do not lock": async ({ store }) => {
    assert.deepEqual(await bothGoOffDuty(store, false), { ann: "off", bob: "off" });
  },
  "write skew is prevented by a lock on the key that is only read": async ({ store }) => {
    const duty = await bothGoOffDuty(store, true);
    assert.deepEqual(Object.values(duty).toSorted(), ["off", "on"]);
  },
  "a lock on an absent key notices that it was made": async ({ store }) => {
    const runs = await withRival(store, (tx) => done(tx.put("a", bytes("1"))), async (tx) => {
      tx.lock("a");
      tx.put("seen", await tx.get("a") ?? bytes("none"));
    });
    assert.equal(runs, 2);
    assert.equal(await get(store, "seen"), "1");
  },
  "a change of a key that another locked meanwhile runs again": async ({ store }) => {
    await put(store, { zone: "1" });
    const addToZone = (tx: Write) => done(tx.lock("zone"), tx.put("node/1", bytes("1")));
    const runs = await withRival(store, addToZone, async (tx) => {
      const nodes = await tx.scan(prefixRange("node/"), { limit: 1 });
      if (nodes.length === 0) tx.delete("zone");
    });
    assert.equal(runs, 2);
    assert.deepEqual(await contents(store), { "node/1": "1", "zone": "1" });
  },
  "a lock alone is checked though nothing is written": async ({ store }) => {
    assert.equal(
      await withRival(store, (tx) => done(tx.put("a", bytes("1"))), (tx) => done(tx.lock("a"))),
      2,
    );
  },
  "two that lock one key and change it not both commit": async ({ store }) => {
    await put(store, { a: "1" });
    await withRival(
      store,
      (tx) => done(tx.lock("a"), tx.put("b", bytes("2"))),
      (tx) => done(tx.lock("a"), tx.put("c", bytes("3"))),
    );
    assert.deepEqual(await contents(store), { a: "1", b: "2", c: "3" });
  },
  "after STORE_TX_ATTEMPTS_MAX lost races it is a conflict, and nothing is written": async ({ store }) => {
    let runs = 0;
    const lost = store.write(hasty, async (tx) => {
      runs++;
      await put(store, { a: String(runs) });
      tx.put("a", bytes("mine"));
      tx.put("b", bytes("mine"));
    });
    await rejects(lost, "conflict");
    assert.equal(runs, STORE_TX_ATTEMPTS_MAX);
    assert.deepEqual(await contents(store), { a: String(runs) });
  },
  "money moved by 16 at once between 8 accounts stays the same, at every moment": async ({ store }) => {
    const names = Array.from({ length: 8 }, (_, i) => `account/${i}`);
    await put(store, Object.fromEntries(names.map((name) => [name, "100"])));
    const total = (tx: Read) =>
      tx.getMany(names).then((all) => all.reduce((sum, value) => sum + Number(text(value)), 0));
    const mover = async (seed: number) => {
      for (let n = 0; n < 10; n++) {
        const [from, to] = [(seed * 3 + n) % 8, (seed * 5 + n * 3 + 1) % 8];
        if (from === to) continue;
        await store.write(scope, async (tx) => {
          await add(tx, `account/${from}`, -1);
          await add(tx, `account/${to}`, 1);
        });
        assert.equal(await store.read(scope, total), 800);
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, seed) => mover(seed)));
    assert.equal(await store.read(scope, total), 800);
  },
};

const tokens: Cases = {
  "a token commits once and gives the first result ever after": async ({ store }) => {
    const change = () => store.write(scope, async (tx) => ({ n: await increment(tx, "n") }), { token: "t" });
    assert.deepEqual([await change(), await change(), await change()], [{ n: 1 }, { n: 1 }, { n: 1 }]);
    assert.equal(await get(store, "n"), "1");
  },
  "ten at once with one token commit once": async ({ store }) => {
    const change = () => store.write(scope, (tx) => increment(tx, "n"), { token: "t" });
    assert.deepEqual(await Promise.all(Array.from({ length: 10 }, change)), Array(10).fill(1));
    assert.equal(await get(store, "n"), "1");
  },
  "tokens differ by their whole text": async ({ store }) => {
    const long = "x".repeat(STORE_TOKEN_CHARS_MAX - 1);
    for (const token of ["a", "A", "a ", `${long}1`, `${long}2`]) {
      await store.write(scope, (tx) => increment(tx, "n"), { token });
    }
    assert.equal(await get(store, "n"), "5");
  },
  "a token without a result, and one of a transaction without writes, are kept too": async ({ store }) => {
    let runs = 0;
    const change = () => store.write(scope, () => done(runs++), { token: "t" });
    assert.deepEqual([await change(), await change()], [undefined, undefined]);
    assert.equal(runs, 1);
  },
  "a token is not used up by a transaction that failed": async ({ store }) => {
    const failing = store.write(scope, () => Promise.reject(new Error("no")), { token: "t" });
    await assert.rejects(failing, /^Error: no$/);
    assert.equal(await store.write(scope, (tx) => increment(tx, "n"), { token: "t" }), 1);
  },
  "sweepTokens() forgets the old and keeps the young": async ({ store }) => {
    const at = (ms: number): Scope => ({ ...scope, nowMs: () => ms });
    const change = (nowMs: number, token: string) =>
      store.write(at(nowMs), (tx) => increment(tx, "n"), { token });
    const t0 = 1_000_000_000_000;
    await change(t0, "old");
    await change(t0 + 1_000, "young");
    assert.equal(await store.sweepTokens(at(t0 + STORE_TOKEN_KEEP_MS)), 0);
    assert.equal(await store.sweepTokens(at(t0 + STORE_TOKEN_KEEP_MS + 1)), 1);
    assert.equal(await store.sweepTokens(at(t0 + STORE_TOKEN_KEEP_MS + 1)), 0);
    assert.equal(await change(t0 + STORE_TOKEN_KEEP_MS, "young"), 2);
    assert.equal(await change(t0 + STORE_TOKEN_KEEP_MS, "old"), 3);
  },
  "an empty token and one character too many are refused": async ({ store }) => {
    for (const token of ["", "x".repeat(STORE_TOKEN_CHARS_MAX + 1)]) {
      await rejects(store.write(scope, (tx) => done(tx.put("a", bytes("1"))), { token }), "bad-input");
    }
    assert.deepEqual(await contents(store), {});
  },
};

const limits: Cases = {
  "a key at its limit is kept, one byte over is refused": async ({ store }) => {
    const full = [
      "k".repeat(STORE_KEY_BYTES_MAX),
      "é".repeat(STORE_KEY_BYTES_MAX / 2),
      "😀".repeat(STORE_KEY_BYTES_MAX / 4),
    ];
    await put(store, Object.fromEntries(full.map((key) => [key, "1"])));
    for (const key of full) {
      assert.equal(await get(store, key), "1");
      for (const use of uses(key + "k")) await rejects(store.write(scope, use), "too-large");
    }
  },
  "a value at its limit is kept, one byte over is refused": async ({ store }) => {
    const value = new Uint8Array(STORE_VALUE_BYTES_MAX).fill(7);
    await store.write(scope, (tx) => done(tx.put("a", value)));
    assert.deepEqual(await store.read(scope, (tx) => tx.get("a")), value);
    const over = new Uint8Array(STORE_VALUE_BYTES_MAX + 1);
    await rejects(store.write(scope, (tx) => done(tx.put("b", over))), "too-large");
    assert.equal(await get(store, "b"), null);
  },
  "a transaction at its limit of bytes commits, one byte over is refused": async ({ store }) => {
    const fill = (tx: Write, bytesLeft: number) => {
      for (let n = 100; bytesLeft > 0; n++) { // the key has 3 bytes
        const size = Math.min(bytesLeft - 3, STORE_VALUE_BYTES_MAX);
        tx.put(String(n), new Uint8Array(size));
        tx.put(String(n), new Uint8Array(size)); // the same key again counts once
        bytesLeft -= size + 3;
      }
      return Promise.resolve();
    };
    await rejects(store.write(scope, (tx) => fill(tx, STORE_TX_BYTES_MAX + 1)), "too-large");
    assert.deepEqual(await contents(store), {});
    await store.write(scope, (tx) => fill(tx, STORE_TX_BYTES_MAX));
    const kept = await store.read(scope, (tx) => tx.scan(ALL, { limit: 100 }));
    assert.equal(
      kept.reduce((sum, { key, value }) => sum + key.length + value.length, 0),
      STORE_TX_BYTES_MAX,
    );
  },
  "a transaction at its limit of writes commits, one more is refused": async ({ store }) => {
    const fill = (tx: Write, count: number) => {
      for (let n = 0; n < count; n++) tx.put(`k/${n}`, new Uint8Array(0));
      return Promise.resolve();
    };
    await rejects(store.write(scope, (tx) => fill(tx, STORE_TX_WRITES_MAX + 1)), "too-large");
    await rejects(
      store.write(scope, (tx) => fill(tx, STORE_TX_WRITES_MAX).then(() => tx.lock("l"))),
      "too-large",
    );
    assert.deepEqual(await contents(store), {});
    await store.write(scope, (tx) => fill(tx, STORE_TX_WRITES_MAX));
    const page = await store.read(scope, (tx) => tx.scan(ALL, { limit: STORE_SCAN_LIMIT_MAX }));
    assert.equal(page.length, STORE_TX_WRITES_MAX);
  },
  "no key, NUL in a key and half a surrogate pair are refused": async ({ store }) => {
    for (const key of ["", "a\0b", "\0", "a\ud800", "\udc00"]) {
      for (const use of uses(key)) await rejects(store.write(scope, use), "bad-input");
    }
    assert.deepEqual(await contents(store), {});
  },
  "a scan limit that is no number of entries is refused": async ({ store }) => {
    for (const limit of [0, -1, 1.5, NaN, STORE_SCAN_LIMIT_MAX + 1]) {
      await rejects(store.read(scope, (tx) => tx.scan(ALL, { limit })), "bad-input");
    }
  },
};

const life: Cases = {
  "a function that throws leaves nothing, and its error is the caller's": async ({ store }) => {
    const failure = new Error("mine");
    const failing = store.write(scope, (tx) => {
      tx.put("a", bytes("1"));
      return Promise.reject(failure);
    });
    await assert.rejects(failing, (error) => error === failure);
    await assert.rejects(store.read(scope, () => Promise.reject(failure)), (error) => error === failure);
    assert.deepEqual(await contents(store), {});
  },
  "a cancelled transaction leaves nothing": async ({ store }) => {
    const abort = new AbortController();
    const child = scope.child("cancelled", abort.signal);
    const late = store.write(child, (tx) => {
      tx.put("a", bytes("1"));
      abort.abort();
      return Promise.resolve();
    });
    await rejects(late, "cancelled");
    await rejects(store.write(child, (tx) => done(tx.put("a", bytes("1")))), "cancelled");
    await rejects(store.read(child, (tx) => tx.get("a")), "cancelled");
    assert.deepEqual(await contents(store), {});
  },
  "a transaction cancelled while it reads ends with its next read": async ({ store }) => {
    const abort = new AbortController();
    const reading = store.read(scope.child("cancelled", abort.signal), async (tx) => {
      await tx.get("a");
      abort.abort();
      await tx.scan(ALL, { limit: 1 });
    });
    await rejects(reading, "cancelled");
  },
  "close() lets a running transaction commit, and refuses a new one": async ({ store }) => {
    const gate = Promise.withResolvers<void>();
    const running = store.write(scope, async (tx) => {
      await gate.promise;
      return await increment(tx, "n");
    });
    const closing = store.close();
    await rejects(put(store, { late: "1" }), "closed");
    gate.resolve();
    assert.equal(await running, 1);
    await closing;
  },
  "a closed store refuses everything but closing": async ({ store }) => {
    await store.check(scope);
    await store.close();
    await rejects(store.read(scope, (tx) => tx.get("a")), "closed");
    await rejects(put(store, { a: "1" }), "closed");
    await rejects(store.sweepTokens(scope), "closed");
    await rejects(store.check(scope), "closed");
    await store.close();
  },
};

const durability: Cases = {
  "what was committed outlives the store's closing": async ({ store, reopen }) => {
    await put(store, { a: "1", "é😀": "2" });
    await store.write(scope, (tx) => done(tx.delete("a")));
    assert.deepEqual(await contents(await reopen()), { "é😀": "2" });
  },
  "what commits while the store closes is kept": async ({ store, reopen }) => {
    const running = Promise.all(["a", "b", "c"].map((key) => put(store, { [key]: "1" })));
    const again = await reopen();
    await running;
    assert.deepEqual(await contents(again), { a: "1", b: "1", c: "1" });
  },
  "a token outlives the store's closing": async ({ store, reopen }) => {
    const change = (store: Store) => store.write(scope, (tx) => increment(tx, "n"), { token: "t" });
    await change(store);
    const again = await reopen();
    assert.equal(await change(again), 1);
    assert.equal(await get(again, "n"), "1");
  },
};

/** Commits each of `rivals` in the middle of the first run of `fn`; returns how often `fn` ran. */
async function withRival(
  store: Store,
  rivals: ((tx: Write) => Promise<unknown>) | ((tx: Write) => Promise<unknown>)[],
  fn: (tx: Write) => Promise<unknown>,
): Promise<number> {
  let runs = 0;
  await store.write(scope, async (tx) => {
    runs++;
    await tx.get("any"); // the snapshot is surely taken
    if (runs === 1) { for (const rival of [rivals].flat()) await store.write(scope, rival); }
    await fn(tx);
  });
  return runs;
}

/** Ann and Bob each go off duty if the other one is on; both decide before either commits. */
async function bothGoOffDuty(store: Store, withLock: boolean): Promise<Record<string, string>> {
  await put(store, { ann: "on", bob: "on" });
  const bothDecided = Promise.withResolvers<void>();
  let decided = 0;
  const leave = (me: string, other: string) =>
    store.write(scope, async (tx) => {
      const otherIsOn = text(await tx.get(other)) === "on";
      if (withLock) tx.lock(other);
      if (otherIsOn) tx.put(me, bytes("off"));
      if (++decided === 2) bothDecided.resolve();
      await bothDecided.promise;
    });
  await Promise.all([leave("ann", "bob"), leave("bob", "ann")]);
  return await contents(store);
}

/** Every way to name a key. */
function uses(key: string): ((tx: Write) => Promise<unknown>)[] {
  return [
    (tx) => tx.get(key),
    (tx) => tx.getMany(["a", key]),
    (tx) => done(tx.put(key, new Uint8Array(0))),
    (tx) => done(tx.delete(key)),
    (tx) => done(tx.lock(key)),
  ];
}

async function rejects(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isSalarError(error, code), `expected code ${code}, got ${error}`);
    return true;
  });
}

function put(store: Store, values: Record<string, string>): Promise<void> {
  return store.write(scope, (tx) => done(apply(tx, values)));
}

function apply(tx: Write, values: Record<string, string | null>): void {
  for (const [key, value] of Object.entries(values)) {
    if (value === null) tx.delete(key);
    else tx.put(key, bytes(value));
  }
}

async function clear(store: Store): Promise<void> {
  await store.write(
    scope,
    async (tx) => (await keysOf(tx, { limit: 1_000 })).forEach((key) => tx.delete(key)),
  );
}

async function get(store: Store, key: string): Promise<string | null> {
  return text(await store.read(scope, (tx) => tx.get(key)));
}

function contents(store: Store): Promise<Record<string, string>> {
  return store.read(scope, contentsOf);
}

async function contentsOf(tx: Read): Promise<Record<string, string>> {
  const entries = await tx.scan(ALL, { limit: 1_000 });
  return Object.fromEntries(entries.map(({ key, value }) => [key, text(value) ?? ""]));
}

async function keysOf(tx: Read, options: ScanOptions): Promise<string[]> {
  return (await tx.scan(ALL, options)).map(({ key }) => key);
}

async function allPages(tx: Read, options: ScanOptions): Promise<string[]> {
  const keys: string[] = [];
  for (;;) {
    const after = keys.at(-1);
    const page = await keysOf(tx, after === undefined ? options : { ...options, after });
    keys.push(...page);
    if (page.length < options.limit) return keys;
  }
}

/** The keys that a scan from `from` to the end must give. */
function modelScan(values: Record<string, string | null>, from: string, options: ScanOptions): string[] {
  const { limit, reverse = false, after } = options;
  const keys = Object.keys(values).filter((key) => values[key] !== null && compareKeys(key, from) >= 0);
  keys.sort(compareKeys);
  if (reverse) keys.reverse();
  const order = (a: string, b: string) => reverse ? compareKeys(b, a) : compareKeys(a, b);
  return keys.filter((key) => after === undefined || order(key, after) > 0).slice(0, limit);
}

async function increment(tx: Write, key: string): Promise<number> {
  return await add(tx, key, 1);
}

async function add(tx: Write, key: string, amount: number): Promise<number> {
  const sum = Number(text(await tx.get(key)) ?? "0") + amount;
  tx.put(key, bytes(String(sum)));
  return sum;
}

/** For transactions that need not wait: `(tx) => done(tx.put(…))`. */
function done(..._done: unknown[]): Promise<void> {
  return Promise.resolve();
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function text(value: Uint8Array | null): string | null {
  return value === null ? null : new TextDecoder().decode(value);
}
