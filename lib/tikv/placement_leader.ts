/**
 * The leader of the placement drivers: who it is, and calls that follow it when it changes.
 *
 * D1. An answer of another cluster than the first is `wrong-cluster`, whoever gave it.
 * D2. A call ends with its answer, with a refusal that no repetition mends, or when its operation ends; calls that
 *     got no answer count in the operation's budget with the time they took.
 * D3. Whoever is unanswered or not the leader any more, makes all known members be asked who is.
 * Source: tikv/pd client/servicediscovery, pkg/errs/errno.go.
 */
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { MEMBERS_REFRESH_MS, PD_CALL_MS } from "./limits.ts";
import { type Member as MemberMessage, PdErrorType, type ResponseHeader } from "./messages_pd.ts";
import { type Method, Pd } from "./methods.ts";
import type { Operation, WaitKind } from "./operation.ts";
import type { Decoded } from "./protobuf.ts";
import { advertisedAddresses } from "./placement_address.ts";
import type { Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";

/** Between rounds of asking while no member answers yet. */
const CONNECT_PAUSE_MS = 200;

/** The second layer of errors: the call went well and its header says no. */
export class PdRefusal extends TikvError {
  readonly type: number;

  constructor(what: string, { type, message }: { type: number; message: string }) {
    super("aborted", `${what}: refused by the placement driver (error ${type}): ${message}`);
    this.type = type;
  }
}

export interface LeaderOptions {
  /** `host:port` each. */
  addresses: readonly string[];
  /** Whether `wire` speaks TLS. */
  tls: boolean;
  wire: Wire;
  runtime: Runtime;
  /** Ends the refreshing in the background. */
  signal: AbortSignal;
}

type Member = Decoded<typeof MemberMessage>;

interface News {
  readonly clusterId: bigint;
  readonly leader: string;
  readonly members: readonly string[];
}

export class Leader {
  readonly #options: LeaderOptions;
  #clusterId = 0n;
  #address = "";
  /** As members name each other. */
  #members: readonly string[] = [];
  #refreshing: Promise<void> | null = null;

  private constructor(options: LeaderOptions) {
    this.#options = options;
  }

  /**
   * Finds the leader within `timeoutMs`. Throws `unavailable` after that, and at once `tls`, `wrong-cluster` (the
   * addresses belong to several clusters) and `closed`.
   */
  static async find(options: LeaderOptions, timeoutMs: number): Promise<Leader> {
    const { runtime, signal, addresses } = options;
    const leader = new Leader(options);
    const endMs = runtime.nowMs() + timeoutMs;
    for (;;) {
      const troubles = await leader.#askAll(Math.min(PD_CALL_MS, endMs - runtime.nowMs()));
      if (troubles === null) break;
      if (runtime.nowMs() + CONNECT_PAUSE_MS >= endMs) {
        throw new TikvError(
          "unavailable",
          `connect to a placement driver: none leads (${troubles.join("; ")})`,
        );
      }
      await runtime.sleep(CONNECT_PAUSE_MS, signal);
    }
    // Those that no member names may belong to another cluster.
    const strangers = addresses.filter((address) => !leader.#members.includes(address));
    const verdicts = await Promise.allSettled(strangers.map((address) => leader.#ask(address, PD_CALL_MS)));
    for (const verdict of verdicts) {
      if (verdict.status === "rejected" && isWrongCluster(verdict.reason)) throw verdict.reason;
    }
    void leader.#keepFresh();
    return leader;
  }

  get clusterId(): bigint {
    return this.#clusterId;
  }

  /** `host:port` of the leader, as last heard. */
  get address(): string {
    return this.#address;
  }

  /** One call with its header filled in; see D2. Throws PdRefusal too. */
  call<Q, QInit, A extends { header: ResponseHeader | null }, AInit>(
    method: Method<Q, QInit, A, AInit>,
    request: Omit<QInit, "header">,
    op: Operation,
  ): Promise<A> {
    const whole = { ...request, header: { clusterId: this.#clusterId } } as QInit;
    return this.follow(method.path, op, async (address) => {
      const reply = await this.#options.wire.call(address, method, whole, {
        timeoutMs: PD_CALL_MS,
        signal: op.signal,
      });
      const error = reply.header?.error ?? null;
      if (error !== null && error.type !== 0) throw new PdRefusal(method.path, error);
      return reply;
    });
  }

  /** Runs `ask` against the leader until it is answered; see D2 and D3. */
  async follow<T>(what: string, op: Operation, ask: (address: string) => Promise<T>): Promise<T> {
    for (;;) {
      op.throwIfAborted();
      const { runtime, signal } = this.#options;
      signal.throwIfAborted(); // with `closed`
      const startMs = runtime.nowMs();
      const address = this.#address;
      try {
        return await ask(address);
      } catch (error) {
        op.throwIfAborted();
        const { wait, lost } = troubleOf(error, what);
        const cause = `${what} at placement driver ${address}: ${(error as Error).message}`;
        await op.wait(wait, cause, { lostMs: runtime.nowMs() - startMs });
        if (lost) await op.until(this.refresh());
      }
    }
  }

  /** Asks all members who leads. Leaves things as they are when none of them knows; throws what D1 and TLS demand. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#askAll(PD_CALL_MS)
      .then(() => {})
      .finally(() => this.#refreshing = null);
    return this.#refreshing;
  }

  /** Null when a leader was found, else what each address had to say. The first that names a leader is believed. */
  async #askAll(timeoutMs: number): Promise<string[] | null> {
    const known = [...new Set([...this.#members, ...this.#options.addresses])];
    try {
      const news = await Promise.any(known.map((address) => this.#ask(address, timeoutMs)));
      this.#clusterId = news.clusterId;
      this.#address = news.leader;
      this.#members = news.members;
      return null;
    } catch (error) {
      const errors: unknown[] = (error as AggregateError).errors;
      const final = errors.find((each) => each instanceof TikvError);
      if (final !== undefined) throw final;
      return errors.map((each) => (each as Error).message);
    }
  }

  /** What one address knows. Rejects when it knows no leader. */
  async #ask(address: string, timeoutMs: number): Promise<News> {
    const { wire, signal, tls } = this.#options;
    const reply = await wire.call(address, Pd.getMembers, {}, { timeoutMs, signal });
    const clusterId = reply.header?.clusterId ?? 0n;
    if (clusterId === 0n) throw new Error(`${address} is still starting`);
    if (this.#clusterId !== 0n && clusterId !== this.#clusterId) {
      throw new TikvError(
        "wrong-cluster",
        `ask placement driver ${address}: it belongs to cluster ${clusterId}, not to ${this.#clusterId}; ` +
          `check the addresses`,
      );
    }
    const addressesOf = (member: Member | null) => advertisedAddresses(member?.clientUrls ?? [], { tls });
    const leader = addressesOf(reply.leader)[0];
    if (leader === undefined) throw new Error(`${address} knows no leader`);
    return { clusterId, leader, members: reply.members.flatMap(addressesOf) };
  }

  async #keepFresh(): Promise<void> {
    const { runtime, signal } = this.#options;
    while (!signal.aborted) {
      // What is wrong shows at the next call, to somebody who can be told.
      await runtime.sleep(MEMBERS_REFRESH_MS, signal).then(() => this.refresh()).catch(() => {});
    }
  }
}

/** Beside the status: how members say, in either layer of errors, that another one is to be asked. */
const NOT_LEADER = /not (the )?leader|no leader|not served|not primary|server not started/i;
/** A member that is still starting needs cluster 0, and is none of another cluster. */
const OTHER_CLUSTER = /mismatch cluster id(?!, need 0 )|cluster id mismatch/i;

/** How to go on after a call that failed; throws what no repetition mends. */
function troubleOf(error: unknown, what: string): { wait: WaitKind; lost: boolean } {
  const text = error instanceof Error ? error.message : "";
  if (error instanceof PdRefusal) {
    if (OTHER_CLUSTER.test(text)) throw new TikvError("wrong-cluster", text);
    if (NOT_LEADER.test(text)) return { wait: "members", lost: true };
    if (error.type === PdErrorType.notBootstrapped) return { wait: "placementCall", lost: false };
  }
  if (!(error instanceof RpcError)) throw error;
  if (OTHER_CLUSTER.test(text)) throw new TikvError("wrong-cluster", `${what}: ${text}`, { cause: error });
  if (error.status === GrpcStatus.unimplemented) {
    throw new TikvError("unsupported", `${what}: ${text}`, { cause: error });
  }
  const limited = error.status === GrpcStatus.resourceExhausted;
  return { wait: limited ? "placementCall" : "members", lost: !limited };
}

function isWrongCluster(error: unknown): boolean {
  return error instanceof TikvError && error.code === "wrong-cluster";
}
