/** A client under observation, that can be parted from stores and killed. */
import { type Client, connect, type ConnectOptions } from "../../../lib/tikv/client.ts";
import { GrpcStatus, RpcError, TikvError } from "../../../lib/tikv/errors.ts";
import type { Wire } from "../../../lib/tikv/rpc.ts";
import type { Random } from "../../../lib/seams.ts";

export interface Subject {
  client: Client;
  /** True: whatever it was doing, nobody hears of its end. */
  readonly wasKilled: boolean;
  /** Until the result is called, what it asks of that store is lost: half of it on the way, half on the way back. */
  part(address: string): () => void;
  /** No call leaves it any more, so its locks stay as they are. */
  kill(): Promise<void>;
}

export async function connectSubject(options: ConnectOptions, random: Random): Promise<Subject> {
  const parted = new Set<string>();
  let wasKilled = false;
  const transport = (wire: Wire): Wire => ({
    ...wire,
    async call(address, method, request, callOptions) {
      if (wasKilled) throw new TikvError("closed", "this client was killed");
      if (!parted.has(address)) return await wire.call(address, method, request, callOptions);
      if (random.below(2) === 0) await wire.call(address, method, request, callOptions).catch(() => {});
      throw new RpcError(`parted from ${address}`, { status: GrpcStatus.unavailable, sent: true });
    },
  });
  const client = await connect({ ...options, transport });
  return {
    client,
    get wasKilled() {
      return wasKilled;
    },
    part(address) {
      parted.add(address);
      return () => parted.delete(address);
    },
    async kill() {
      wasKilled = true;
      await client.close();
    },
  };
}
