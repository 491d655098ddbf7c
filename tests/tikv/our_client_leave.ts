/**
 * Leaves what a client of ours leaves that dies in the middle of a transaction: the true client runs, and its
 * process ends at the call that makes the difference.
 */
import { connect } from "../../lib/tikv/client.ts";
import { sameKey } from "../../lib/tikv/keys.ts";
import type { CommitRequest, PrewriteRequest } from "../../lib/tikv/messages_kv.ts";
import { Kv, type Method } from "../../lib/tikv/methods.ts";
import type { Encodable } from "../../lib/tikv/protobuf.ts";
import type { CallOptions, Wire } from "../../lib/tikv/rpc.ts";
import type { GoPair, GoTimestamps, LeftKind } from "./go_client.ts";

export interface Left extends GoTimestamps {
  primary: Uint8Array;
}

export interface LeaveOptions {
  kind: LeftKind;
  pairs: readonly GoPair[];
  /** Instead of the client's own, so that nobody has to wait for long. */
  ttlMs: number;
  /** Answers and ends the process. */
  die(left: Left): never;
}

type Prewrite = Encodable<typeof PrewriteRequest>;
type Commit = Encodable<typeof CommitRequest>;

export async function leave(pd: readonly string[], options: LeaveOptions): Promise<never> {
  const { kind, pairs } = options;
  const abort = new AbortController();
  const client = await connect({
    pd,
    commit: kind.startsWith("async") ? { onePhase: false } : { onePhase: false, async: false },
    transport: (wire) => dying(wire, { ...options, rollBack: () => abort.abort() }),
  });
  const tx = client.begin({ signal: abort.signal });
  if (kind === "pessimistic") {
    const locked = await tx.lockNow(...pairs.map(([key]) => key));
    const [primary = new Uint8Array()] = pairs.map(([key]) => key);
    if (locked.length > 0) options.die({ startTs: await tx.startTs, commitTs: 0n, primary });
  }
  for (const [key, value] of pairs) tx.put(key, value);
  await tx.commit().catch(() => {}); // of a rollback; what matters follows in the background
  await client.close();
  throw new Error(`leave ${kind}: the client came to its end alive`);
}

interface Dying extends LeaveOptions {
  /** Makes the client take back its transaction. */
  rollBack(): void;
}

/** The network of a client whose process ends at the right call. */
function dying(wire: Wire, { kind, pairs, ttlMs, die, rollBack }: Dying): Wire {
  let prewritten = 0;
  let left: Left = { startTs: 0n, commitTs: 0n, primary: new Uint8Array() };
  const lacking = kind === "secondaries-only" || kind === "async-commit-partial" ? 1 : 0;

  /** The locks that are to be left, and no other. */
  function shortened(request: Prewrite): Prewrite {
    const primary = request.primaryLock ?? new Uint8Array();
    left = { ...left, startTs: request.startVersion ?? 0n, primary };
    const last = pairs.at(-1)?.[0] ?? primary;
    const never = kind === "secondaries-only" ? primary : kind === "async-commit-partial" ? last : null;
    const mutations = (request.mutations ?? []).filter(({ key }) =>
      never === null || key === undefined || !sameKey(key, never)
    );
    return { ...request, mutations, lockTtl: BigInt(ttlMs) };
  }

  return {
    ...wire,
    async call<Q, QInit, A, AInit>(
      address: string,
      method: Method<Q, QInit, A, AInit>,
      request: QInit,
      options: CallOptions,
    ): Promise<A> {
      const send = (changed: unknown = request) => wire.call(address, method, changed as QInit, options);
      switch (method.path) {
        case Kv.prewrite.path: {
          const changed = shortened(request as Prewrite);
          const reply = await send(changed);
          if (isGood(reply)) prewritten += changed.mutations?.length ?? 0;
          if (prewritten < pairs.length - lacking) return reply;
          if (lacking > 0) die(left);
          if (kind === "primary-rolled-back") rollBack();
          return reply;
        }
        case Kv.commit.path: {
          const { commitVersion = 0n, keys = [] } = request as Commit;
          if (kind === "prewritten") die(left);
          if (kind === "async-commit") die({ ...left, commitTs: commitVersion });
          if (keys.length === pairs.length) {
            throw new Error(
              "leave: the primary goes with all other keys; split its region, or use more keys",
            );
          }
          const reply = await send();
          if (isGood(reply)) die({ ...left, commitTs: commitVersion });
          return reply;
        }
        case Kv.batchRollback.path: {
          const reply = await send(); // of the primary, which goes first and alone
          if (isGood(reply)) die(left);
          return reply;
        }
        case Kv.pessimisticLock.path:
          return await send({ ...request, lockTtl: BigInt(ttlMs) });
        default:
          return await send();
      }
    },
  };
}

/** Whether the request was executed as a whole. */
function isGood(reply: unknown): boolean {
  const { regionError, error = null, errors = [] } = reply as {
    regionError: unknown;
    error?: unknown;
    errors?: unknown[];
  };
  return regionError === null && error === null && errors.length === 0;
}
