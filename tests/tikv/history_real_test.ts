/**
 * Histories of clients on real servers while stores and PD are killed and hang, leaders move, clients
 * are parted from stores and die: snapshot isolation holds, and nothing acknowledged is missing.
 *
 * All commit in two phases: reads on a unistore do not hold other commits above them (docs/tikv.md).
 */
import assert from "node:assert/strict";
import { startTikv } from "../parts/tikv.ts";
import { waitFor } from "../parts/wait.ts";
import { between, pick, seededRandom } from "../simulation/random.ts";
import { check } from "./history/check.ts";
import { Recording } from "./history/record.ts";
import { connectSubject } from "./history/subject.ts";
import { bytes, numbered } from "./transactions_testing.ts";
import { disturb, pause, placementTroubles, storeTroubles, type Trouble } from "./troubles.ts";

const SEED = 20_261_126;
const COMMITTED = 1_500;
/** Two to three minutes on two cores; how long a store takes to come back decides. */
const LIMIT_MS = 400_000;

Deno.test("registers and lists on real servers under faults keep snapshot isolation", async () => {
  await using cluster = await startTikv();
  const random = seededRandom(SEED, "history");
  const corrupt: string[] = [];
  const options = {
    pd: cluster.pd,
    commit: { onePhase: false, async: false },
    onCorrupt: ({ message }: Error) => void corrupt.push(message),
  };
  let employed = 0;
  const employ = async () => await connectSubject(options, random.fork(`subject ${employed++}`));
  const subjects = [await employ(), await employ(), await employ()];
  const stop = new AbortController();
  const { signal } = stop;
  const recordings = (["register", "list"] as const).map((model) =>
    new Recording({ model, prefix: "history/", random, signal, subjects })
  );

  const ofClients: Trouble[] = [
    {
      name: "a client is killed",
      async run() {
        const subject = await employ();
        const [victim] = subjects.splice(random.below(subjects.length), 1, subject);
        await victim?.kill();
        recordings.forEach((recording) => recording.employ(subject));
      },
    },
    {
      name: "a client is parted from a store",
      async run() {
        const rejoin = pick(random, subjects).part(pick(random, cluster.stores).address);
        await pause(between(random, 100, 2_000));
        rejoin();
      },
    },
  ];
  const keys = ["register", "list"].flatMap((model) => numbered(`history/${model}/0`, 30)).map(bytes);
  await cluster.splitAt(keys.filter((_, at) => at % 10 === 0));
  const settling = await employ();
  const settle = async () => {
    const { client } = settling;
    for await (const _ of client.snapshot().scan({ from: bytes("history/"), to: bytes("history0") }));
  };
  const lanes: [Trouble[], pauseMs: number][] = [
    [ofClients, 3_000],
    [placementTroubles(cluster, random.fork("PD")), 12_000],
    [storeTroubles(cluster, { random: random.fork("stores"), keys, settle }), 2_000],
  ];
  const counts = new Map<string, number>();
  const disturbing = lanes.map(([troubles, pauseMs], lane) =>
    disturb(troubles, { random: random.fork(`lane ${lane}`), signal, pauseMs, counts })
  );
  const recorded = () =>
    recordings.every(({ committed }) => committed >= COMMITTED) &&
    [...counts.values()].every((count) => count > 0);
  try {
    const failed = Promise.all([...disturbing, ...recordings.map((recording) => recording.ended())]);
    await Promise.race([waitFor("enough commits", LIMIT_MS, recorded), failed]);
  } finally {
    stop.abort();
    await Promise.all(disturbing);
    await Promise.all(recordings.map((recording) => recording.ended()));
  }
  const last = await employ();
  for (const recording of recordings) await recording.readAll(last.client);
  for (const { client } of [...subjects, settling, last]) await client.close();

  const [registers, lists] = recordings.map(({ history }) => history);
  assert.deepEqual(check(registers ?? [], "register").slice(0, 5), []);
  assert.deepEqual(check(lists ?? [], "list").slice(0, 5), []);
  assert.deepEqual(corrupt, []);
  assert.ok(recorded() && [registers, lists].every((history) => history?.at(-1)?.outcome === "committed"));
});
