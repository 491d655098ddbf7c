import assert from "node:assert/strict";
import { z } from "zod";
import type { Bus } from "../bus/bus.ts";
import { SalarError } from "../errors.ts";
import { DRAIN_MS_MAX, LEASE_MS } from "../limits.ts";
import { silentLog } from "../log.ts";
import type { Scope } from "../seams.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import { again, done, handler, type Tick } from "./handler.ts";
import { holdLease } from "./lease.ts";
import { meshFunction, type Rig, testRig } from "./testing.ts";
import { TestingClock } from "./testing_clock.ts";

/** One process that wants the lease: killed by `kill`, ended in order by `stop`. */
function contender(clock: TestingClock, store: Store, name: string, holders: string[]) {
  const life = new AbortController();
  const stopping = new AbortController();
  const scope = clock.scope({ name, signal: life.signal });
  const waiting = scope.child("waiting", stopping.signal);
  const options = { store, key: "lease", holder: name, log: silentLog };
  const ended = holdLease(waiting, scope, options, async (held) => {
    holders.push(`+${name}`);
    await new Promise<void>((resolve) => {
      for (const signal of [held.signal, stopping.signal]) signal.addEventListener("abort", () => resolve());
    });
    holders.push(`-${name}`);
  }).catch(() => {}); // a killed one ends as it likes
  return { kill: () => life.abort(), stop: () => stopping.abort(), ended };
}

/** The store of a process that can lose its way to it. */
function flaky(store: Store): Store & { gone: boolean } {
  const reach = <T>(work: () => Promise<T>): Promise<T> =>
    self.gone ? Promise.reject(new SalarError("unavailable", "Cannot reach the store")) : work();
  const self: Store & { gone: boolean } = {
    gone: false,
    read: (scope, fn) => reach(() => store.read(scope, fn)),
    write: (scope, fn, options) => reach(() => store.write(scope, fn, options)),
    sweepTokens: (scope) => reach(() => store.sweepTokens(scope)),
    check: (scope) => reach(() => store.check(scope)),
    close: () => store.close(),
  };
  return self;
}

/** No two held at once: every entry is followed by its own exit. */
function assertOneAtATime(holders: string[]): void {
  for (let at = 0; at + 1 < holders.length; at += 2) {
    assert.deepEqual(
      [holders[at]?.[0], holders[at + 1]],
      ["+", `-${holders[at]?.slice(1)}`],
      holders.join(" "),
    );
  }
}

Deno.test("holdLease() gives it to one of two, and to the other as soon as it is given up", async () => {
  const clock = new TestingClock();
  const store = openSqliteStore({ path: ":memory:" });
  const holders: string[] = [];
  const a = contender(clock, store, "a", holders);
  const b = contender(clock, store, "b", holders);
  await clock.advance(10 * LEASE_MS);
  assert.equal(holders.length, 1);
  const [first, second] = holders[0] === "+a" ? [a, b] : [b, a];
  first.stop();
  await clock.advance(LEASE_MS / 2);
  assert.equal(holders.length, 3);
  assertOneAtATime(holders);
  second.stop();
  await clock.advance(LEASE_MS);
  await Promise.all([a.ended, b.ended]);
  await store.close();
});

Deno.test("holdLease() is taken over from a dead one only after LEASE_MS without a sign of it", async () => {
  const clock = new TestingClock();
  const store = openSqliteStore({ path: ":memory:" });
  const holders: string[] = [];
  const a = contender(clock, store, "a", holders);
  await clock.advance(LEASE_MS);
  const b = contender(clock, store, "b", holders);
  await clock.advance(5 * LEASE_MS);
  assert.deepEqual(holders, ["+a"]);
  a.kill();
  await clock.advance(LEASE_MS / 2);
  assert.ok(!holders.includes("+b"), "too early");
  await clock.advance(LEASE_MS);
  assert.ok(holders.includes("+b"));
  b.stop();
  await clock.advance(LEASE_MS);
  await b.ended;
  await store.close();
});

Deno.test("holdLease() stops acting before anybody else can begin, when its own way to the store is cut", async () => {
  const clock = new TestingClock();
  const store = openSqliteStore({ path: ":memory:" });
  for (let round = 0; round < 20; round++) {
    const holders: string[] = [];
    const cut = flaky(store);
    const a = contender(clock, cut, `a${round}`, holders);
    await clock.advance(2 * LEASE_MS);
    const b = contender(clock, store, `b${round}`, holders);
    await clock.advance(LEASE_MS + 137 * round); // cut at another moment of the renewal each time
    cut.gone = true;
    await clock.advance(3 * LEASE_MS);
    assert.deepEqual(holders, [`+a${round}`, `-a${round}`, `+b${round}`]);
    a.stop();
    b.stop();
    await clock.advance(LEASE_MS);
    await Promise.all([a.ended, b.ended]);
  }
  await store.close();
});

Deno.test("holdLease() raced by ten on one store, killed and replaced again and again, never has two", async () => {
  const clock = new TestingClock();
  const store = openSqliteStore({ path: ":memory:" });
  const holders: string[] = [];
  let made = 0;
  const start = () => contender(clock, store, `c${made++}`, holders);
  let all = Array.from({ length: 10 }, start);
  for (let round = 0; round < 12; round++) {
    await clock.advance(LEASE_MS * 2);
    const holder = holders.at(-1)?.slice(1);
    all = all.map((each, at) => {
      if (`c${at}` !== holder && at % 3 !== round % 3) return each;
      if (round % 2 === 0) each.kill();
      else each.stop();
      return start();
    });
  }
  await clock.advance(LEASE_MS * 2);
  assertOneAtATime(holders);
  assert.ok(holders.length > 3);
  for (const each of all) each.stop();
  await clock.advance(LEASE_MS);
  await Promise.all(all.map((each) => each.ended));
  await store.close();
});

async function onClock(test: (clock: TestingClock, rig: Rig) => Promise<void>): Promise<void> {
  const clock = new TestingClock();
  const rig = testRig(clock.scope({ name: "test" }));
  await test(clock, rig);
  const ending = rig.end();
  await clock.advance(DRAIN_MS_MAX + 1_000);
  await ending;
}

function ticking(tick: Partial<Tick>) {
  return meshFunction({
    ticks: [{ name: "tick", everyMs: 1_000, run: () => Promise.resolve(done()), ...tick }],
  });
}

Deno.test("a tick runs on one of two replicas, by its interval", async () => {
  await onClock(async (clock, rig) => {
    const runs: string[] = [];
    const tick = ticking({
      run({ replica }) {
        runs.push(replica);
        return Promise.resolve(done());
      },
    });
    await rig.start([tick]);
    await rig.start([tick]);
    await clock.advance(60_500);
    assert.equal(new Set(runs).size, 1);
    assert.ok(runs.length >= 60 && runs.length <= 61, `${runs.length}`);
  });
});

Deno.test("a tick goes on after each outcome: again by its own time, others by the interval", async () => {
  await onClock(async (clock, rig) => {
    const atMs: number[] = [];
    const steps = [
      () => Promise.resolve(again({ afterMs: 50 })),
      () => Promise.reject(new SalarError("unavailable", "Cannot: gone")),
      () => Promise.reject(new SalarError("bad-record", "Cannot: broken")),
      () => Promise.reject(new TypeError("bug")),
      () => Promise.resolve(done()),
    ];
    await rig.start([ticking({
      run() {
        atMs.push(clock.nowMs());
        return (steps[atMs.length - 1] ?? (() => Promise.resolve(done())))();
      },
    })]);
    await clock.advance(5_000);
    assert.deepEqual(atMs.slice(1, 6).map((at, index) => at - (atMs[index] ?? 0)), [
      50,
      1_000,
      1_000,
      1_000,
      1_000,
    ]);
    const messages = new Set(rig.lines.map(({ message }) => message));
    for (const each of ["tick again", "tick failed for now", "tick refused", "tick crashed", "tick done"]) {
      assert.ok(messages.has(each), each);
    }
  });
});

Deno.test("a tick that runs too long is ended, and runs again", async () => {
  await onClock(async (clock, rig) => {
    const ended: string[] = [];
    await rig.start([ticking({
      async run({ scope }) {
        await scope.sleep(3_600_000).catch((error) => ended.push(error.code));
        return done();
      },
    })]);
    await clock.advance(70_000);
    assert.deepEqual(ended, ["cancelled", "cancelled"]);
    assert.ok(rig.lines.some((line) => /deadline/.test(JSON.stringify(line))));
  });
});

Deno.test("a drain lets a running tick end and hands the lease on at once", async () => {
  await onClock(async (clock, rig) => {
    const log: string[] = [];
    const tick = ticking({
      async run({ scope, replica }: { scope: Scope; replica: string }) {
        log.push(`begin ${replica}`);
        await scope.sleep(5_000);
        log.push(`end ${replica}`);
        return done();
      },
    });
    const first = await rig.start([tick]);
    await clock.advance(1_000);
    await rig.start([tick]);
    const drained = first.drain();
    await clock.advance(9_000);
    await drained;
    assert.deepEqual(log.slice(0, 3), ["begin r1", "end r1", "begin r2"]);
  });
});

Deno.test("while the store is gone routes answer 503, ticks pause and messages go to others; all resumes alone", async () => {
  await onClock(async (clock, rig) => {
    const store = flaky(rig.store);
    let runs = 0;
    const seen: string[] = [];
    const pattern = "test.seen";
    const open = {
      name: "open",
      method: "GET" as const,
      path: "/open",
      role: "public" as const,
      summary: "For a test",
      handle: () => Promise.resolve(new Response("in")),
    };
    const parts = meshFunction({
      routes: [open],
      ticks: [{ name: "tick", everyMs: 1_000, run: () => Promise.resolve(done(void runs++)) }],
    });
    const host = await rig.start([parts], { store });
    const subscribe = (host: string) =>
      meshFunction({
        name: "seer",
        handlers: [{
          name: "seen",
          subject: pattern,
          input: z.number(),
          run: () => Promise.resolve(done(void seen.push(host))),
        }],
      });
    await rig.start([subscribe("cut")], { store });
    await rig.start([subscribe("whole")]);
    const ask = (path: string) => host.fetch(new Request(`http://test${path}`));
    await clock.advance(5_000);
    assert.equal((await ask("/open")).status, 200);

    store.gone = true;
    await clock.advance(3_000);
    assert.deepEqual(host.ready(), { ready: false, reasons: ["store: Cannot reach the store"] });
    const refused = await ask("/open");
    assert.deepEqual([refused.status, refused.headers.has("retry-after")], [503, true]);
    assert.deepEqual([(await ask("/readyz")).status, (await ask("/healthz")).status], [503, 200]);
    const before = runs;
    for (let n = 0; n < 10; n++) await rig.bus.publish(rig.scope, pattern, new TextEncoder().encode("1"));
    await clock.advance(20_000);
    assert.equal(runs, before);
    assert.deepEqual(new Set(seen), new Set(["whole"]));
    assert.equal(seen.length, 10);

    store.gone = false;
    await clock.advance(30_000);
    assert.ok(host.ready().ready);
    assert.equal((await ask("/open")).status, 200);
    assert.ok(runs > before);
    for (let n = 0; n < 50; n++) await rig.bus.publish(rig.scope, pattern, new TextEncoder().encode("1"));
    await clock.advance(1_000);
    assert.ok(seen.includes("cut"));
  });
});

Deno.test("a bus that is not there when the store comes back is asked again until it is", async () => {
  await onClock(async (clock, rig) => {
    const store = flaky(rig.store);
    const bus = rig.broker.connect();
    let refuse = false;
    let seen = 0;
    const moody: Bus = {
      ...bus,
      subscribe: (...args) =>
        refuse ? Promise.reject(new SalarError("unavailable", "Cannot subscribe")) : bus.subscribe(...args),
    };
    const seer = handler({
      name: "seen",
      subject: "test.seen",
      input: z.number(),
      run: () => Promise.resolve(done(void seen++)),
    });
    await rig.start([meshFunction({ handlers: [seer] })], { store, bus: moody });
    store.gone = true;
    await clock.advance(3_000);
    [store.gone, refuse] = [false, true];
    await clock.advance(5_000);
    refuse = false;
    await clock.advance(2_000);
    await rig.bus.publish(rig.scope, "test.seen", new TextEncoder().encode("1"));
    await clock.advance(100);
    assert.equal(seen, 1, "subscribed again, and once only");
  });
});
