/**
 * The nodes of the heartbeat benchmark, on a thread of their own: what sending costs is not the replica's time.
 *
 * In: `{ url, beats }`, then a `Burst` at a time.
 */
import { connect } from "nats";
import { type Burst, type SignedBeat, takingTurns } from "./heartbeats_beats.ts";

/** What a worker's own global has; the compiler only knows the main thread's. */
interface WorkerGlobal {
  onmessage: ((event: MessageEvent<Start | Burst>) => void) | null;
}

interface Start {
  url: string;
  beats: SignedBeat[];
}

const started = Promise.withResolvers<(burst: Burst) => void>();

(globalThis as unknown as WorkerGlobal).onmessage = async ({ data: order }) => {
  if ("url" in order) started.resolve(await start(order));
  else (await started.promise)(order);
};

async function start({ url, beats }: Start): Promise<(burst: Burst) => void> {
  const connection = await connect({ servers: url, noAsyncTraces: true });
  const inTurn = takingTurns(beats);
  return (burst) => {
    for (const { subject, data } of inTurn(burst)) connection.publish(subject, data);
  };
}
