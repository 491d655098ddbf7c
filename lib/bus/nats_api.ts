/**
 * The part of JetStream's request API that the bus needs. Names on the wire and nanoseconds live here.
 *
 * Every call is idempotent and tried again while the cluster has no leader for it.
 * Source: https://docs.nats.io/reference/reference-protocols/nats_api_reference, `jsm.go` schemas.
 */
import { SalarError } from "../errors.ts";
import { BUS_APPEND_MS, BUS_ATTEMPT_MS } from "../limits.ts";
import type { Scope } from "../seams.ts";
import type { StreamSpec } from "./bus.ts";
import { dedupeWindowMs } from "./message.ts";
import type { NatsLink } from "./nats_link.ts";
import { retry } from "./wait.ts";

export interface ConsumerSpec {
  stream: string;
  durable: string;
  filter: string | undefined;
  ackWaitMs: number;
  inFlightMax: number;
}

export interface JetStreamApi {
  ensureStream(scope: Scope, spec: StreamSpec, replicas: 1 | 3): Promise<void>;
  /** The last seq that the stream gave; `unavailable` when there is no such stream. */
  lastSeq(scope: Scope, stream: string): Promise<number>;
  /** True when some stream takes the subject. */
  isTaken(scope: Scope, subject: string): Promise<boolean>;
  ensureConsumer(scope: Scope, spec: ConsumerSpec): Promise<void>;
  /** A consumer without acks that lives as long as it is read; answers its name. */
  createReader(
    scope: Scope,
    spec: { stream: string; filter: string | undefined; fromSeq: number },
  ): Promise<string>;
  removeConsumer(scope: Scope, stream: string, name: string): Promise<void>;
}

/** The answer to a publish into a stream, and the error part of every answer. */
export interface PubAck extends ApiAnswer {
  seq?: number;
  duplicate?: boolean;
}

interface ApiAnswer {
  error?: { code: number; err_code?: number; description?: string };
}

const STREAM_NAME_IN_USE = 10058;
const STREAM_NOT_FOUND = 10059;
const SUBJECTS_OVERLAP = 10065;
const DUPLICATE_UNDER_WAY = 10158;
const READER_KEEP_MS = 60_000;

export function createJetStreamApi(link: NatsLink): JetStreamApi {
  const call = <T>(scope: Scope, action: string, path: string, body: unknown): Promise<T & ApiAnswer> =>
    retry(scope, BUS_APPEND_MS, action, async (inner) => {
      const answer = await link.ask(inner, `$JS.API.${path}`, encode(body), { ms: BUS_ATTEMPT_MS });
      if ("missing" in answer) return { again: `JetStream: ${answer.missing}` };
      const result = decode<T & ApiAnswer>(answer.message.data);
      return isPassing(result) ? { again: reasonOf(result) } : { value: result };
    });
  /** Throws what the answer reports. */
  const must = async <T>(scope: Scope, action: string, path: string, body: unknown): Promise<T> => {
    const answer = await call<T>(scope, action, path, body);
    if (answer.error) throw apiError(action, answer);
    return answer;
  };

  return {
    async ensureStream(scope, spec, replicas) {
      const action = `Cannot ensure stream ${spec.name}`;
      const config = {
        name: spec.name,
        subjects: spec.subjects,
        storage: "file",
        retention: "limits",
        discard: "old",
        max_age: nanos(spec.ageMsMax),
        max_bytes: spec.bytesMax,
        duplicate_window: nanos(dedupeWindowMs(spec)),
        num_replicas: replicas,
        // No client can cut a hole into what others still have to read, not even by a forged reply subject.
        deny_delete: true,
        deny_purge: true,
      };
      const made = await call(scope, action, `STREAM.CREATE.${spec.name}`, config);
      if (!made.error) return;
      if (made.error.err_code !== STREAM_NAME_IN_USE) throw apiError(action, made);
      await must(scope, action, `STREAM.UPDATE.${spec.name}`, config);
    },

    async lastSeq(scope, stream) {
      const action = `Cannot read stream ${stream}`;
      const info = await must<{ state: { last_seq: number } }>(scope, action, `STREAM.INFO.${stream}`, {});
      return info.state.last_seq;
    },

    async isTaken(scope, subject) {
      const action = `Cannot find a stream for ${subject}`;
      const { streams } = await must<{ streams: string[] | null }>(scope, action, "STREAM.NAMES", {
        subject,
      });
      return (streams?.length ?? 0) > 0;
    },

    async ensureConsumer(scope, { stream, durable, filter, ackWaitMs, inFlightMax }) {
      const config = {
        durable_name: durable,
        deliver_policy: "all",
        ack_policy: "explicit",
        ack_wait: nanos(ackWaitMs),
        max_ack_pending: inFlightMax,
        max_deliver: -1,
        replay_policy: "instant",
        ...(filter === undefined ? {} : { filter_subject: filter }),
      };
      const action = `Cannot consume ${stream} as ${durable}`;
      await must(scope, action, `CONSUMER.DURABLE.CREATE.${stream}.${durable}`, {
        stream_name: stream,
        config,
      });
    },

    async createReader(scope, { stream, filter, fromSeq }) {
      const config = {
        deliver_policy: "by_start_sequence",
        opt_start_seq: fromSeq,
        ack_policy: "none",
        max_deliver: 1,
        replay_policy: "instant",
        mem_storage: true,
        num_replicas: 1,
        inactive_threshold: nanos(READER_KEEP_MS),
        ...(filter === undefined ? {} : { filter_subject: filter }),
      };
      const action = `Cannot replay ${stream}`;
      const body = { stream_name: stream, config };
      return (await must<{ name: string }>(scope, action, `CONSUMER.CREATE.${stream}`, body)).name;
    },

    async removeConsumer(scope, stream, name) {
      await call(scope, `Cannot end the replay of ${stream}`, `CONSUMER.DELETE.${stream}.${name}`, {});
    },
  };
}

/** True for an answer that may be another one soon: no leader, no quorum, overload, the same id under way. */
export function isPassing({ error }: ApiAnswer): boolean {
  return error !== undefined && (error.code >= 500 || error.err_code === DUPLICATE_UNDER_WAY);
}

export function reasonOf({ error }: ApiAnswer): string {
  return error?.description ?? `error ${error?.err_code ?? error?.code}`;
}

function apiError(action: string, answer: ApiAnswer): SalarError {
  const code = answer.error?.err_code;
  if (code === STREAM_NOT_FOUND) return new SalarError("unavailable", `${action}: there is no such stream`);
  const refused = code === SUBJECTS_OVERLAP || answer.error?.code === 400;
  return new SalarError(refused ? "bad-input" : "unavailable", `${action}: ${reasonOf(answer)}`);
}

/** JetStream counts time in nanoseconds. */
export const nanos = (ms: number): number => ms * 1_000_000;
export const encode = (body: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(body));
export const decode = <T>(data: Uint8Array): T => JSON.parse(new TextDecoder().decode(data)) as T;
