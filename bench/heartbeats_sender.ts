/**
 * The nodes of the heartbeat benchmark, on a thread of their own: what sending costs is not the replica's time.
 *
 * In: once `{ url, beats }`, then `{ count }` for each burst. The beats are sent in order, over and over.
 */
import { connect } from "nats";
import type { SignedBeat } from "./heartbeats.ts";

type Order = { url: string; beats: SignedBeat[] } | { count: number };

/** What a worker's own global has; the compiler only knows the main thread's. */
interface WorkerGlobal {
  onmessage: ((event: MessageEvent<Order>) => void) | null;
}

type Burst = (count: number) => void;

const started = Promise.withResolvers<Burst>();

(globalThis as unknown as WorkerGlobal).onmessage = async ({ data: order }) => {
  if ("url" in order) started.resolve(await bursts(order));
  else (await started.promise)(order.count);
};

async function bursts({ url, beats }: { url: string; beats: SignedBeat[] }): Promise<Burst> {
  const connection = await connect({ servers: url, noAsyncTraces: true });
  let at = 0;
  return (count) => {
    for (let n = 0; n < count; n++, at++) {
      const beat = beats[at % beats.length];
      if (beat !== undefined) connection.publish(beat.subject, beat.data);
    }
  };
}
