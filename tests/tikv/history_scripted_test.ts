/**
 * Histories of clients that commit in one phase and async, on the scripted cluster, while answers are lost, regions
 * split, merge and move, the cluster's clock jumps over the life of locks, and clients die: snapshot isolation holds.
 */
import assert from "node:assert/strict";

import type { Random } from "../../lib/seams.ts";
import { pick, seededRandom } from "../simulation/random.ts";
import { waitFor } from "../parts/wait.ts";
import { check } from "./history/check.ts";
import type { Model } from "./history/history.ts";
import { Recording } from "./history/record.ts";
import { connectSubject } from "./history/subject.ts";
import { Fault, type MethodName } from "./scripted/calls.ts";
import { ScriptedCluster } from "./scripted/cluster.ts";
import type { RegionErrorInit } from "./scripted/topology.ts";
import { bytes, fastRuntime } from "./transactions_testing.ts";

const COMMITTED = 2_000;
const LIMIT_MS = 60_000;
/** How much faster time runs, for clients and cluster alike. */
const HURRY = 10;
const TICK_MS = 10;
const LAST = 1_000;
const DISTURBED: MethodName[] = [
  "get",
  "batchGet",
  "scan",
  "prewrite",
  "commit",
  "batchRollback",
  "checkTxnStatus",
  "checkSecondaryLocks",
  "resolveLock",
  "pessimisticLock",
  "pessimisticRollback",
];
const REGION_ERRORS: RegionErrorInit[] = [
  { message: "", regionNotFound: { regionId: 1n } },
  { message: "", staleCommand: {} },
  { message: "", serverIsBusy: { reason: "test" } },
  { message: "", undeterminedResult: {} },
  { message: "", proposalInMergingMode: { regionId: 1n } },
];

for (const [seed, model] of [[1, "register"], [2, "list"]] as [number, Model][]) {
  Deno.test(`one-phase and async commits of a ${model} under faults keep snapshot isolation (seed ${seed})`, async () => {
    await using cluster = await ScriptedCluster.start();
    const random = seededRandom(seed, "history");
    const corrupt: string[] = [];
    const options = {
      pd: cluster.addresses,
      runtime: fastRuntime(HURRY),
      onCorrupt: ({ message }: Error) => void corrupt.push(message),
    };
    const employ = async (number: number) => await connectSubject(options, random.fork(`subject ${number}`));
    const subjects = [await employ(0), await employ(1), await employ(2)];
    const stop = new AbortController();
    disturb(cluster, random.fork("faults"));
    const clock = setInterval(() => cluster.oracle.jump(TICK_MS * (HURRY - 1)), TICK_MS);
    const recording = new Recording({ model, prefix: "", random, signal: stop.signal, subjects });
    try {
      for (let number = 3; recording.committed < COMMITTED; number++) {
        const next = COMMITTED / 6 * (number - 2);
        await waitFor("more commits", LIMIT_MS, () => recording.committed >= Math.min(next, COMMITTED));
        await subjects.shift()?.kill();
        const subject = await employ(number);
        subjects.push(subject);
        recording.employ(subject);
      }
    } finally {
      stop.abort();
      await recording.ended();
    }
    const last = await employ(LAST);
    await recording.readAll(last.client);
    for (const { client } of [...subjects, last]) await client.close();
    clearInterval(clock);

    assert.deepEqual(check(recording.history, model).slice(0, 5), []);
    assert.deepEqual(corrupt, []);
    assert.equal(recording.history.at(-1)?.outcome, "committed");
    const prewrites = cluster.calls.of("prewrite").map(({ request }) => request);
    assert.ok(
      prewrites.some(({ tryOnePc }) => tryOnePc) && prewrites.some(({ useAsyncCommit }) => useAsyncCommit),
    );
    assert.ok((cluster.calls.counts().resolveLock ?? 0) > 0, "dead clients left locks");
  });
}

/** One call of ten or so goes wrong, in a way of its own. */
function disturb(cluster: ScriptedCluster, random: Random): void {
  for (const method of DISTURBED) {
    cluster.intercept(method, async (_, execute) => {
      switch (random.below(80)) {
        case 0:
          return Fault.brokenStream();
        case 1:
          await execute();
          return Fault.brokenStream();
        case 2:
        case 3:
          return { regionError: pick(random, REGION_ERRORS) };
        case 4:
          await execute();
          return { regionError: { message: "", undeterminedResult: {} } };
        case 5:
          cluster.topology.split(someKey(random));
          break;
        case 6:
          cluster.topology.merge(someKey(random));
          break;
        case 7:
          cluster.topology.transferLeader(someKey(random), BigInt(1 + random.below(3)));
          break;
        case 8:
          cluster.fallsBack = !cluster.fallsBack;
          break;
        case 9:
          if (random.below(4) === 0) cluster.oracle.jump(random.below(8_000));
          break;
        default:
      }
      return await execute();
    }, { times: Infinity });
  }
}

function someKey(random: Random): Uint8Array {
  return bytes(`${pick(random, ["register", "list"])}/${String(random.below(60)).padStart(5, "0")}`);
}
