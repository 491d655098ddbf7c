/**
 * Calls to stores and placement drivers, by address; the lowest layer of the client.
 *
 * W1. A method that BatchCommands knows goes on the batch stream of its address, every other by itself.
 * W2. An address that does not know BatchCommands gets every call by itself from then on.
 * W3. Addresses share nothing but the clock for their deadlines: what one does never holds up another.
 */
import { BatchStream } from "./batch_stream.ts";
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { Channel } from "./grpc.ts";
import type { Call } from "./grpc_call.ts";
import { encodeFrame } from "./grpc_frames.ts";
import type { TlsOptions } from "./grpc_tls.ts";
import type { Method } from "./methods.ts";
import type { CallOptions, Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import { Sweeper } from "./wire_sweeper.ts";

export interface WireOptions {
  runtime: Runtime;
  /** Of all addresses; without it no connection is encrypted. */
  tls?: TlsOptions | undefined;
}

interface Link {
  readonly channel: Channel;
  readonly batch: BatchStream;
  /** See W2. */
  batches: boolean;
}

export function createWire({ runtime, tls }: WireOptions): Wire {
  const links = new Map<string, Link>();
  const sweeper = new Sweeper(runtime);
  let closed = false;

  const linkTo = (address: string): Link => {
    if (closed) throw closedError();
    let link = links.get(address);
    if (link === undefined) {
      const channel = new Channel({ address, tls, runtime, sweeper });
      link = { channel, batch: new BatchStream({ channel, runtime, sweeper }), batches: true };
      links.set(address, link);
    }
    return link;
  };
  const end = ({ batch, channel }: Link, error: Error) => {
    batch.close(error);
    channel.close(error);
  };

  return {
    async call(address, method, request, options) {
      const link = linkTo(address);
      if (method.batch !== null && link.batches) {
        try {
          return await link.batch.call(method, method.batch, request, options);
        } catch (error) {
          if (!(error instanceof RpcError) || error.status !== GrpcStatus.unimplemented) throw error;
          link.batches = false;
        }
      }
      return await single(link.channel, method, request, options);
    },

    async stream(address, method, { onMessage, onEnd }) {
      const { channel } = linkTo(address);
      const call: Call = await channel.open(method.path, {
        onMessage(bytes) {
          let reply;
          try {
            reply = method.reply.decode(bytes);
          } catch (error) {
            if (!(error instanceof TikvError)) throw error;
            call.cancel();
            return onEnd(error);
          }
          onMessage(reply);
        },
        onEnd: (error) => onEnd(error ?? endedByPeer(method.path, address)),
      });
      return {
        send: (request) => void call.write(encodeFrame(method.request, request)),
        close: () => call.cancel(),
      };
    },

    disconnect(address) {
      const link = links.get(address);
      if (link === undefined) return;
      links.delete(address);
      const text = `connection to ${address}: given up by this client`;
      end(link, new RpcError(text, { status: GrpcStatus.unavailable, sent: true }));
    },

    async close() {
      closed = true;
      for (const link of links.values()) end(link, closedError());
      links.clear();
      sweeper.close();
      await runtime.sleep(0); // the sessions are destroyed by then
    },
  };
}

async function single<Q, QInit, A, AInit>(
  channel: Channel,
  method: Method<Q, QInit, A, AInit>,
  request: QInit,
  options: CallOptions,
): Promise<A> {
  const reply = await channel.unary(method.path, encodeFrame(method.request, request), options);
  return method.reply.decode(reply);
}

function closedError(): TikvError {
  return new TikvError("closed", "call: this client is closed");
}

function endedByPeer(path: string, address: string): RpcError {
  const text = `stream ${path} at ${address}: ended by the far side`;
  return new RpcError(text, { status: GrpcStatus.unavailable, sent: true });
}
