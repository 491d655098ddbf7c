/**
 * The bus: how long a request takes there and back, how many messages pass, how fast a stream acknowledges.
 *
 * Both adapters; the floor of the NATS one is npm:nats itself doing the same on the same server, which has
 * `sync_interval: always`. Each case runs adapter and floor in turns, so that a busy machine slows both.
 * Deliveries count, not calls: throughput is what a subscriber has received.
 */
import { connect as connectRaw, type NatsConnection } from "nats";
import type { Bus, StreamSpec } from "../lib/bus/bus.ts";
import { createBroker } from "../lib/bus/in_process.ts";
import { connectNats } from "../lib/bus/nats.ts";
import { silentLog } from "../lib/log.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import type { Scope } from "../lib/seams.ts";
import { startNats } from "../tests/parts/nats.ts";
import { type BenchOptions, type Figure, judged, median, type Report } from "./figure.ts";

const PAYLOAD_BYTES = 256;
const BURST = 2_000;
const APPENDERS = 64;
const TURNS = 4;
/** The adapter may cost this much of what the bare client reaches. */
const GOAL_RATIO = 0.5;

const payload = new Uint8Array(PAYLOAD_BYTES).fill(120);
const stream: StreamSpec = {
  name: "BENCH",
  subjects: ["bench.s.*"],
  ageMsMax: 3_600_000,
  bytesMax: 2 * 1024 ** 3,
};

/** What a case needs of a bus, whichever it is. */
interface Driver {
  request(): Promise<unknown>;
  /** Sends so many and resolves once the subscriber has them all. */
  burst(count: number): Promise<void>;
  append(id: string): Promise<unknown>;
}

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  const ending = new AbortController();
  const scope = realScope({ name: "bench", signal: ending.signal });
  await using nats = await startNats();
  try {
    const broker = createBroker(scope);
    const inProcess = await busDriver(scope, broker.connect(), broker.connect());
    const connect = () =>
      connectNats(scope, { servers: [nats.url], replicas: 1, name: "bench", log: silentLog });
    const adapter = await busDriver(scope, await connect(), await connect());
    const raw = [await connectRaw({ servers: nats.url }), await connectRaw({ servers: nats.url })] as const;
    const floor = await rawDriver(...raw);

    const windowMs = seconds * 1_000 / (2 * TURNS);
    for (const { name, unit, measure } of cases) {
      report(figure(`in process: ${name}`, await inTurns([inProcess], measure, windowMs), unit));
      report(figure(`NATS: ${name}`, await inTurns([adapter, floor], measure, windowMs), unit));
    }
    for (const connection of raw) await connection.close();
  } finally {
    ending.abort();
  }
}

type Measure = (driver: Driver, windowMs: number) => Promise<number>;

const cases: { name: string; unit: string; measure: Measure }[] = [
  {
    name: "round trip, median",
    unit: "us",
    measure: (driver, windowMs) => medianUs(() => driver.request(), windowMs),
  },
  {
    name: `publish to one subscriber, ${PAYLOAD_BYTES} B`,
    unit: "messages/s",
    measure: async (driver, windowMs) => {
      const startMs = performance.now();
      let sent = 0;
      for (; performance.now() - startMs < windowMs; sent += BURST) await driver.burst(BURST);
      return sent / (performance.now() - startMs) * 1_000;
    },
  },
  {
    name: "append until acknowledged, median",
    unit: "us",
    measure: (driver, windowMs) => medianUs(() => driver.append(crypto.randomUUID()), windowMs),
  },
  {
    name: `append, ${APPENDERS} at once`,
    unit: "messages/s",
    measure: async (driver, windowMs) => {
      const startMs = performance.now();
      let stored = 0;
      await Promise.all(Array.from({ length: APPENDERS }, async () => {
        for (; performance.now() - startMs < windowMs; stored++) await driver.append(crypto.randomUUID());
      }));
      return stored / (performance.now() - startMs) * 1_000;
    },
  },
];

/** The median of several turns for each driver, the drivers one after the other in each turn. */
async function inTurns(drivers: Driver[], measure: Measure, windowMs: number): Promise<number[]> {
  const seen: number[][] = drivers.map(() => []);
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [at, driver] of drivers.entries()) seen[at]?.push(await measure(driver, windowMs));
  }
  return seen.map(median);
}

function figure(name: string, [value = NaN, floor]: number[], unit: string): Figure {
  const base = { bench: "bus", case: name, value, unit };
  if (floor === undefined) return judged(base);
  return judged({ ...base, peer: { name: "npm:nats itself", value: floor }, goal: { ratio: GOAL_RATIO } });
}

async function busDriver(scope: Scope, sender: Bus, receiver: Bus): Promise<Driver> {
  await receiver.ensureStreams(scope, [stream]);
  await receiver.subscribe(scope, "bench.ask", { group: "bench" }, (message) => {
    message.respond(message.data);
    return Promise.resolve();
  });
  const arrivals = createArrivals();
  await receiver.subscribe(scope, "bench.burst", {}, () => {
    arrivals.arrived();
    return Promise.resolve();
  });
  return {
    request: () => sender.request(scope, "bench.ask", payload),
    async burst(count) {
      const all = arrivals.of(count);
      for (let n = 0; n < count; n++) await sender.publish(scope, "bench.burst", payload);
      await all;
    },
    append: (id) => sender.append(scope, "bench.s.bus", payload, { id }),
  };
}

async function rawDriver(sender: NatsConnection, receiver: NatsConnection): Promise<Driver> {
  receiver.subscribe("raw.ask", {
    queue: "bench",
    callback: (_error, message) => void message.respond(message.data),
  });
  const arrivals = createArrivals();
  receiver.subscribe("raw.burst", { callback: arrivals.arrived });
  await receiver.flush();
  const jetstream = sender.jetstream();
  return {
    request: () => sender.request("raw.ask", payload, { timeout: 5_000 }),
    async burst(count) {
      const all = arrivals.of(count);
      for (let n = 0; n < count; n++) sender.publish("raw.burst", payload);
      await all;
    },
    append: (id) => jetstream.publish("bench.s.raw", payload, { msgID: id }),
  };
}

/** Counts down to the last message of a burst. */
function createArrivals(): { of(count: number): Promise<void>; arrived(): void } {
  let missing = 0;
  let complete = () => {};
  return {
    of: (count) =>
      new Promise((resolve) => {
        missing = count;
        complete = resolve;
      }),
    arrived() {
      if (--missing === 0) complete();
    },
  };
}

async function medianUs(step: () => Promise<unknown>, windowMs: number): Promise<number> {
  const took: number[] = [];
  const endMs = performance.now() + windowMs;
  while (performance.now() < endMs) {
    const startMs = performance.now();
    await step();
    took.push((performance.now() - startMs) * 1_000);
  }
  return median(took);
}
