/**
 * What a handler is and what it may answer. The host (`host.ts`) turns answers into ack, nak, term and HTTP status:
 *
 * | a handler gives             | message                                        | request            |
 * | `done(reply?)`              | ack, reply                                     | 200 (or as named)  |
 * | `again({ afterMs })`        | nak(afterMs)                                   | 503, Retry-After   |
 * | throws a code marked retry  | nak(backoff), counted                          | its 429, 502-504   |
 * | throws a code marked final  | term(code)                                     | its 4xx            |
 * | throws anything else        | error log with stack, nak, term after          | bare 500           |
 * |                             | HANDLER_ATTEMPTS_MAX                           |                    |
 *
 * A thrown `conflict` is final for a request, whose caller can decide again; a message is given to the handler again,
 * HANDLER_ATTEMPTS_MAX times at most. A core message is delivered once: nak and term only count and log, a request on
 * the bus gets the reply or a problem document (`reply.ts`). A tick simply runs again.
 *
 * H1. A handler is named work over the world as it is now: safe to lose, repeat and reorder.
 */
import type { z } from "zod";
import type { Context } from "./context.ts";

export interface Done<R> {
  kind: "done";
  reply: R;
}
export interface Again {
  kind: "again";
  afterMs: number;
}
export type Outcome<R = void> = Done<R> | Again;

export function done(): Done<void>;
export function done<R>(reply: R): Done<R>;
export function done<R>(reply?: R): Done<R | undefined> {
  return { kind: "done", reply };
}

/** Another try is wanted `afterMs` from now; nothing was changed, or the change is safe to repeat. */
export function again(options: { afterMs: number }): Again {
  return { kind: "again", afterMs: options.afterMs };
}

/** Who sent a message or made a request, as proven by token, signature or (`public`) not at all. */
export interface Principal {
  /** `token:<id>`, `node:<fp>`, `system:<fp>` or `public`. Goes into the audit. */
  id: string;
  role: Role;
  /** The agent's fingerprint, when it is an agent. */
  fp: string | null;
}

/** People and automation have one of the first three, each including those before; agents are what they are. */
export const ROLES = ["viewer", "operator", "admin", "node", "system", "public"] as const;
export type Role = typeof ROLES[number];

/** Facts about the delivery; handlers that are safe to repeat rarely need them. */
export interface Delivery {
  subject: string;
  /** The proven sender. `public` when the handler takes unsigned messages (from functions only). */
  from: Principal;
  attempt: number;
}

export interface SubjectHandler<I = unknown, R = unknown> {
  /** Unique in its function; the durable consumer's name is `<function>-<name>`. */
  name: string;
  /** Pattern, such as `salar.node.*.report`. */
  subject: string;
  /** Of the JSON payload, or of the signed statement's body when `signedBy` is given. */
  input: z.ZodType<I>;
  /** The payload is a signed statement of this kind by an agent of this role; its fp must be the subject's third token. */
  signedBy?: { role: "node"; kind: string };
  /** Consume from this stream instead of core delivery. */
  stream?: string;
  run(context: Context, input: I, delivery: Delivery): Promise<Outcome<R>>;
}

/** Core messages gathered per replica: `run` gets at least one, at most `sizeMax`, at most `waitMs` after the first. */
export interface BatchHandler<I = unknown> {
  name: string;
  subject: string;
  input: z.ZodType<I>;
  signedBy?: { role: "node"; kind: string };
  batch: { sizeMax: number; waitMs: number };
  run(context: Context, inputs: { input: I; delivery: Delivery }[]): Promise<Outcome>;
}

/** Work by interval, on one replica of the cluster at a time (a lease in the store). */
export interface Tick {
  name: string;
  everyMs: number;
  run(context: Context): Promise<Outcome>;
}

// deno-lint-ignore ban-types
type Erased = {};

/** Keeps the input's type inside `run` and forgets it outside, so that handlers of all inputs fit one list. */
export function handler<I, R>(definition: SubjectHandler<I, R>): SubjectHandler {
  return definition as SubjectHandler<Erased, R> as SubjectHandler;
}

export function batchHandler<I>(definition: BatchHandler<I>): BatchHandler {
  return definition as BatchHandler<Erased> as BatchHandler;
}
