/**
 * What cannot work, each told by an error with a code of its own, in time, whose message says what was wrong.
 *
 * On the scripted cluster; a real placement driver with TLS is in regions_real_test.ts.
 */
import assert from "node:assert/strict";
import { type Client, connect, type ConnectOptions } from "../../lib/tikv/client.ts";
import { TikvError, type TikvErrorCode } from "../../lib/tikv/errors.ts";
import { KEY_BYTES_MAX, TRANSACTION_AGE_MS_MAX, VALUE_BYTES_MAX } from "../../lib/tikv/limits.ts";
import { freePort } from "../parts/wait.ts";
import { makeCertificate } from "../parts/tls.ts";
import { ScriptedCluster } from "./scripted/cluster.ts";
import { bytes, fastRuntime, type Stage, stage } from "./transactions_testing.ts";

/** How much later than its deadline an error may come on a busy machine. */
const LATE_MS = 3_000;

interface Expected {
  code: TikvErrorCode;
  message: RegExp;
  deadlineMs: number;
}

async function fails(action: () => unknown, { code, message, deadlineMs }: Expected): Promise<void> {
  const startMs = performance.now();
  let caught: unknown = null;
  try {
    await action();
  } catch (error) {
    caught = error;
  }
  const tookMs = performance.now() - startMs;
  assert.ok(caught instanceof TikvError, `${caught}`);
  assert.equal(caught.code, code, caught.message);
  assert.match(caught.message, message);
  assert.ok(tookMs < deadlineMs + LATE_MS, `it took ${tookMs} ms`);
}

async function connecting(options: ConnectOptions): Promise<void> {
  const client = await connect(options);
  await client.close();
}

Deno.test("nobody at the address: `unavailable`, within the time to connect", async () => {
  const pd = [`127.0.0.1:${freePort()}`, `127.0.0.1:${freePort()}`];
  await fails(() => connecting({ pd, timeoutMs: 500 }), {
    code: "unavailable",
    message: /127\.0\.0\.1:\d+/,
    deadlineMs: 500,
  });
});

Deno.test("somebody at the address who never answers: `unavailable`, within the time to connect", async () => {
  using mute = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const pd = [`127.0.0.1:${mute.addr.port}`];
  await fails(() => connecting({ pd, timeoutMs: 500 }), {
    code: "unavailable",
    message: /127\.0\.0\.1:\d+/,
    deadlineMs: 500,
  });
});

Deno.test("somebody who speaks something else: `malformed`, at once", async () => {
  await using other = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () => new Response("hello"),
  );
  const pd = [`127.0.0.1:${other.addr.port}`];
  await fails(() => connecting({ pd }), {
    code: "malformed",
    message: new RegExp(`${other.addr.port}`),
    deadlineMs: 0,
  });
});

Deno.test("a caller who does not want to wait: `cancelled`, at once", async () => {
  const pd = [`127.0.0.1:${freePort()}`];
  await fails(() => connecting({ pd, signal: AbortSignal.timeout(100) }), {
    code: "cancelled",
    message: /./,
    deadlineMs: 100,
  });
});

Deno.test("addresses that are none: `invalid`, at once", async () => {
  for (const pd of [[], [""], ["no port"], ["ftp://127.0.0.1:2379"]]) {
    await fails(() => connecting({ pd }), { code: "invalid", message: /address/, deadlineMs: 0 });
  }
});

Deno.test("another cluster than the one asked for, or than before: `wrong-cluster`", async () => {
  await using s = await stage();
  const { addresses: pd } = s.cluster;
  await fails(() => connecting({ pd, clusterId: 1n }), {
    code: "wrong-cluster",
    message: /cluster 7012345678901234567, not 1; check the addresses/,
    deadlineMs: 0,
  });
  s.cluster.pd.clusterId = 2n; // somebody built it anew at the same address
  await fails(() => s.value("cold"), { code: "wrong-cluster", message: /cluster/, deadlineMs: 5_000 });
});

Deno.test("two addresses of two clusters: `wrong-cluster`", async () => {
  await using one = await ScriptedCluster.start();
  await using other = await ScriptedCluster.start();
  other.pd.clusterId = 2n;
  await fails(() => connecting({ pd: [...one.addresses, ...other.addresses] }), {
    code: "wrong-cluster",
    message: /check the addresses/,
    deadlineMs: 5_000,
  });
});

Deno.test("certificates of another authority, none where one is needed, and TLS where there is none: `tls`", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/other`);
    const own = await makeCertificate(folder);
    const other = await makeCertificate(`${folder}/other`);
    const [ca, cert, key] = await Promise.all(
      [own.caFile, own.certFile, own.keyFile].map((path) => Deno.readTextFile(path)),
    );
    const asksBack = { ca, cert, key, requestCert: true, rejectUnauthorized: true };
    await using secure = await ScriptedCluster.start({ tls: asksBack });
    await using plain = await ScriptedCluster.start();
    const files = ({ caFile, certFile, keyFile }: typeof own) => ({
      ca: caFile,
      cert: certFile,
      key: keyFile,
    });
    const expected: Expected = { code: "tls", message: /./, deadlineMs: 5_000 };
    await connecting({ pd: secure.addresses, tls: files(own) });
    await fails(() => connecting({ pd: secure.addresses, tls: files(other) }), expected);
    await fails(() => connecting({ pd: secure.addresses, tls: { ca: own.caFile } }), expected);
    await fails(() => connecting({ pd: plain.addresses, tls: files(own) }), expected);
    await fails(() => connecting({ pd: secure.addresses, timeoutMs: 500 }), {
      code: "unavailable",
      message: /./,
      deadlineMs: 500,
    });
    await fails(() => connecting({ pd: secure.addresses, tls: { ca: `${folder}/none.pem` } }), expected);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What a transaction refuses before anything is sent. */
const REFUSED: [what: string, code: TikvErrorCode, message: RegExp, use: (client: Client) => unknown][] = [
  ["an empty key", "invalid", /key/, (client) => client.transaction((tx) => tx.put(bytes(""), bytes("v")))],
  [
    "an empty value",
    "invalid",
    /value/,
    (client) => client.transaction((tx) => tx.put(bytes("k"), bytes(""))),
  ],
  [
    "a key that is too large",
    "too-large",
    new RegExp(`${KEY_BYTES_MAX}`),
    (client) => client.transaction((tx) => tx.put(new Uint8Array(KEY_BYTES_MAX + 1), bytes("v"))),
  ],
  [
    "a value that is too large",
    "too-large",
    new RegExp(`${VALUE_BYTES_MAX}`),
    (client) => client.transaction((tx) => tx.put(bytes("k"), new Uint8Array(VALUE_BYTES_MAX + 1))),
  ],
  ["a read of an empty key", "invalid", /key/, (client) => client.latest(bytes(""))],
  [
    "a timestamp of the future",
    "invalid",
    /past/,
    (client) => client.snapshot({ at: 1n << 62n }).get(bytes("k")),
  ],
  ["no attempt at all", "invalid", /attempts/, (client) => client.transaction(() => {}, { attempts: 0 })],
  ["a scan of no entries", "invalid", /limit/, (client) => client.snapshot().scan({}, { limit: 0 }).next()],
];

for (const [what, code, message, use] of REFUSED) {
  Deno.test(`${what}: \`${code}\`, at once, and nothing of it is sent`, async () => {
    await using s = await stage();
    await fails(() => use(s.client), { code, message, deadlineMs: 0 });
    const { tso: _, ...others } = s.cluster.calls.counts(); // a transaction asks for its time as it begins
    assert.deepEqual(others, {});
  });
}

Deno.test("a commit that the store finds too large: `too-large`, and nothing is left of it", async () => {
  await using s = await stage();
  s.cluster.intercept("prewrite", () => ({
    regionError: {
      message: "raft entry is too large",
      raftEntryTooLarge: { regionId: 1n, entrySize: 9_000_000n },
    },
  }), { times: Infinity });
  await fails(() => s.put({ k: "v" }), { code: "too-large", message: /./, deadlineMs: 0 });
  await s.settled();
  assert.equal(await s.value("k"), null);
});

Deno.test("a transaction that is too old, and a snapshot below the safe point: `too-old`", async () => {
  const runtime = fastRuntime(1);
  await using s = await stage({ runtime });
  const tx = s.client.begin();
  tx.put(bytes("k"), bytes("v"));
  const at = await tx.startTs;
  runtime.skip(TRANSACTION_AGE_MS_MAX + 1);
  await fails(() => tx.commit(), { code: "too-old", message: /./, deadlineMs: 0 });
  s.cluster.pd.gcSafePoint = at + 1n;
  s.cluster.oracle.jump(TRANSACTION_AGE_MS_MAX);
  await s.client.timestamp();
  await fails(() => s.client.snapshot({ at }).get(bytes("k")), {
    code: "too-old",
    message: /./,
    deadlineMs: 0,
  });
});

Deno.test("everything of a closed client: `closed`, at once; what it was doing, too", async () => {
  await using s = await stage();
  const { client } = s;
  const tx = client.begin();
  tx.put(bytes("k"), bytes("v"));
  await tx.startTs;
  const snapshot = client.snapshot();
  await snapshot.version;
  s.cluster.intercept("get", () => new Promise<never>(() => {}));
  const waiting = snapshot.get(bytes("slow"));
  waiting.catch(() => {});
  await client.close();
  const uses: (() => unknown)[] = [
    () => waiting,
    () => client.begin(),
    () => client.snapshot(),
    () => client.latest(bytes("k")),
    () => client.timestamp(),
    () => client.transaction(() => {}),
    () => client.checkHealth(),
    () => client.collectGarbage(),
    () => client.holdSafePoint("id", 1n, 1_000),
    () => tx.get(bytes("other")),
    () => tx.commit(),
    () => snapshot.get(bytes("k")),
    () => snapshot.scan().next(),
  ];
  for (const use of uses) await fails(use, { code: "closed", message: /closed/, deadlineMs: 0 });
  await client.close();
});

Deno.test("two living clients of one name: `name-taken` for the second", async () => {
  const [one, two] = [new AbortController(), new AbortController()];
  await using s = await stage({ name: "same", runtime: fastRuntime(50) });
  await using twin = await connect({ pd: s.cluster.addresses, name: "same", runtime: fastRuntime(50) });
  const options = { prefix: bytes("gc/"), everyMs: 1_000, leaseMs: 6_000 };
  const began = Promise.withResolvers<void>();
  const running = s.client.runGarbageCollector({
    ...options,
    signal: one.signal,
    onRound: () => began.resolve(),
  });
  await began.promise;
  await fails(() => twin.runGarbageCollector({ ...options, signal: two.signal }), {
    code: "name-taken",
    message: /"same": another living client/,
    deadlineMs: 6_000,
  });
  one.abort();
  await running;
});

Deno.test("the placement driver goes away for good: `unavailable` or `timeout` once the time is used up", async () => {
  await using s: Stage = await stage({ runtime: fastRuntime(50) });
  await s.cluster.stopMember(0);
  let caught: unknown = null;
  await s.client.timestamp().catch((error) => caught = error);
  assert.ok(caught instanceof TikvError && ["unavailable", "timeout"].includes(caught.code), `${caught}`);
  assert.ok(caught.retry);
  assert.match(caught.message, /timestamp/);
});
