/**
 * Heartbeats per second and replica: signed statements through the host's message path into the store.
 *
 * A beat counts once the transaction of its batch has committed: signature, schema, batch and synced write are in it.
 * They are signed beforehand, one a node, and sent again and again; nothing on the way remembers a statement.
 * In process the sender costs this core, too; over NATS it is a thread of its own, and the
 * server a process of its own. The floor is `node:crypto` verifying the same signatures and doing nothing else,
 * measured in turn with each window, so that a busy machine slows both.
 * Each figure comes twice: by the clock, where the disk's syncs and whoever else uses the machine count, too, and by the
 * time that this process had on processors, its other threads included, which is what "on one core" can promise.
 */
import { verify } from "node:crypto";
import process from "node:process";
import { beatHandler } from "../functions/node-events/beats.ts";
import { nodeEvents } from "../functions/node-events/node_events.ts";
import { connectNats } from "../lib/bus/nats.ts";
import { subjects } from "../lib/bus/subjects.ts";
import { nodes } from "../lib/cluster/records.ts";
import { BEAT_BATCH_MAX, HEARTBEAT_MS, STORE_PAGE_ENTRIES } from "../lib/limits.ts";
import { silentLog } from "../lib/log.ts";
import type { MeshFunction } from "../lib/mesh/function.ts";
import type { BatchHandler } from "../lib/mesh/handler.ts";
import { generateIdentity, type Identity, publicKeyFromSpki } from "../lib/secure/keys.ts";
import { signStatement } from "../lib/secure/statement.ts";
import { startNats } from "../tests/parts/nats.ts";
import { type BenchOptions, judged, median, type Report } from "./figure.ts";
import { type Burst, type SignedBeat, takingTurns } from "./heartbeats_beats.ts";
import { type BenchHost, CLUSTER, startBenchHost } from "./host.ts";
import { nodeRecord } from "./node_record.ts";

const AIM_PER_SECOND = 10_000;
/**
 * As many as make the aim in life, whose keys the replica has forgotten each time. Then a thousand: their keys are
 * remembered, and two beats of a node in one batch are one write.
 */
const NODE_COUNTS = [AIM_PER_SECOND * HEARTBEAT_MS / 1_000, 1_000];
/** Beats under way: batches stay full, and no queue on the way comes near its bound. */
const AHEAD_MAX = 3 * BEAT_BATCH_MAX;
const SILENT_MS_MAX = 10_000;
const TURNS = 5;

type Send = (burst: Burst) => Promise<void> | void;

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  const keys = Array.from({ length: Math.max(...NODE_COUNTS) }, generateIdentity);
  await inProcess(report, keys, seconds);
  await overNats(report, keys, seconds);
}

async function inProcess(report: Report, keys: Identity[], seconds: number): Promise<void> {
  const tally = createTally();
  await using rig = await startBenchHost({ functions: [counting(tally)], medium: "file" });
  await poolNodes(rig, keys);
  const beats = signedBeats(rig, keys);
  const inTurn = takingTurns(beats);
  await measure(report, "in process", { tally, keys, beats, seconds }, async (burst) => {
    for (const { subject, data } of inTurn(burst)) await rig.bus.publish(rig.scope, subject, data);
  });
}

async function overNats(report: Report, keys: Identity[], seconds: number): Promise<void> {
  const tally = createTally();
  await using nats = await startNats();
  await using rig = await startBenchHost({
    functions: [counting(tally)],
    medium: "file",
    connect: (scope) =>
      connectNats(scope, { servers: [nats.url], replicas: 1, name: "bench", log: silentLog }),
  });
  await poolNodes(rig, keys);
  const beats = signedBeats(rig, keys);
  const sender = new Worker(new URL("./heartbeats_sender.ts", import.meta.url), { type: "module" });
  try {
    sender.postMessage({ url: nats.url, beats });
    await measure(report, "NATS", { tally, keys, beats, seconds }, (burst) => sender.postMessage(burst));
  } finally {
    sender.terminate();
  }
}

interface Setting {
  tally: Tally;
  keys: readonly Identity[];
  beats: readonly SignedBeat[];
  seconds: number;
}

async function measure(report: Report, way: string, setting: Setting, send: Send): Promise<void> {
  const { tally, seconds } = setting;
  for (const nodes of NODE_COUNTS) {
    const heard: Rate[] = [];
    const floor: Rate[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      const windowMs = seconds * 1_000 / TURNS;
      floor.push(await rateOf(() => verified(setting, windowMs / 4)));
      heard.push(await rateOf(() => committed(tally, (count) => send({ count, nodes }), windowMs)));
    }
    for (const [of, unit] of [["clock", "beats/s"], ["core", "beats/core-s"]] as const) {
      report(judged({
        bench: "heartbeats",
        case: `${way}, ${nodes} nodes`,
        value: median(heard.map((rate) => rate[of])),
        unit,
        peer: { name: "node:crypto verify alone", value: median(floor.map((rate) => rate[of])) },
        goal: { value: AIM_PER_SECOND },
      }));
    }
  }
}

/** How many a second: by the clock, and of the time that this process had on processors. */
interface Rate {
  clock: number;
  core: number;
}

async function rateOf(work: () => Promise<number> | number): Promise<Rate> {
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  const count = await work();
  const { user, system } = process.cpuUsage(startCpu); // microseconds
  return { clock: count / (performance.now() - startMs) * 1_000, core: count / (user + system) * 1_000_000 };
}

/** Sends for `windowMs` and waits for all; how many were committed. */
async function committed(
  tally: Tally,
  send: (count: number) => Promise<void> | void,
  windowMs: number,
): Promise<number> {
  const startMs = performance.now();
  const before = tally.committed();
  let sent = 0;
  while (performance.now() - startMs < windowMs) {
    await send(BEAT_BATCH_MAX);
    sent += BEAT_BATCH_MAX;
    await tally.reach(before + sent - AHEAD_MAX);
  }
  await tally.reach(before + sent);
  return sent;
}

interface Tally {
  add(count: number): void;
  committed(): number;
  /** Resolves once so many are committed. @throws when none comes for SILENT_MS_MAX: the bus dropped some. */
  reach(count: number): Promise<void>;
}

function createTally(): Tally {
  let committed = 0;
  let changed = Promise.withResolvers<void>();
  return {
    add(count) {
      committed += count;
      changed.resolve();
      changed = Promise.withResolvers();
    },
    committed: () => committed,
    async reach(count) {
      while (committed < count) {
        let timer: ReturnType<typeof setTimeout> | undefined;
        const silence = new Promise<never>((_, reject) => {
          const give = () => reject(new Error(`Cannot measure heartbeats: ${count - committed} are missing`));
          timer = setTimeout(give, SILENT_MS_MAX);
        });
        await Promise.race([changed.promise, silence]).finally(() => clearTimeout(timer));
      }
    },
  };
}

/** node-events as it is, but for the count of what it has committed. */
function counting(tally: Tally): MeshFunction {
  const counted: BatchHandler = {
    ...beatHandler,
    async run(context, beats) {
      const outcome = await beatHandler.run(context, beats);
      tally.add(beats.length);
      return outcome;
    },
  };
  return {
    ...nodeEvents,
    handlers: nodeEvents.handlers.map((handler) => handler === beatHandler ? counted : handler),
  };
}

async function poolNodes({ store, scope }: BenchHost, keys: readonly Identity[]): Promise<void> {
  for (let from = 0; from < keys.length; from += STORE_PAGE_ENTRIES) {
    await store.write(scope, (tx) => {
      for (const [at, key] of keys.slice(from, from + STORE_PAGE_ENTRIES).entries()) {
        nodes.put(tx, nodeRecord(key, `node-${from + at}`), key.fp);
      }
      return Promise.resolve();
    });
  }
}

/** One of each node, good for an hour. */
function signedBeats({ clusterKey }: BenchHost, keys: readonly Identity[]): SignedBeat[] {
  const iat = Math.floor(Date.now() / 1_000);
  return keys.map((key) => {
    const body = {
      boot: crypto.randomUUID(),
      n: 1,
      load: 0.42,
      systems: 1_000,
      versions: { uyuni: "2026.01", salt: "3006.0", agent: "0.1.0" },
      slotLagBytes: 4_096,
    };
    const claims = { kind: "node.beat", cluster: CLUSTER, to: clusterKey.fp, seq: 1, iat, exp: iat + 3_600 };
    const text = signStatement({ ...claims, epoch: 0, body }, key);
    return { subject: subjects.nodeBeat(key.fp), data: new TextEncoder().encode(text) };
  });
}

/** How many signatures were checked in `ms`. */
function verified({ keys, beats }: Setting, ms: number): number {
  const checks = beats.slice(0, 1_000).map(({ data }, at) => {
    const text = new TextDecoder().decode(data);
    const dot = text.lastIndexOf(".");
    const key = publicKeyFromSpki(keys[at]?.spki ?? new Uint8Array());
    return {
      key,
      signed: Buffer.from(text.slice(0, dot)),
      signature: Buffer.from(text.slice(dot + 1), "base64url"),
    };
  });
  const startMs = performance.now();
  let done = 0;
  while (performance.now() - startMs < ms) {
    for (const { key, signed, signature } of checks) {
      if (!verify(null, signed, key, signature)) {
        throw new Error("Cannot measure verify: a signature is wrong");
      }
      done++;
    }
  }
  return done;
}
