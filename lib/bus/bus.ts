/**
 * The Bus: subjects between functions and node agents. Words are those of NATS.
 *
 * Core messages are delivered at most once, to one subscriber of each queue group. Durable messages live in a
 * stream: `append` resolves once the message is stored (replicated, synced), and each durable consumer gets it at
 * least once until it acks or terms.
 * B1. Events are hints: the store is the truth, so a lost core message delays work and never loses it.
 * B2. `append` with the same `id` within BUS_DEDUPE_WINDOW_MS stores one message; the second answers `duplicate`.
 * B3. A handler that throws, or that neither acks nor naks within `ackWaitMs`, gets the message again.
 * B4. Within one stream `seq` rises in the order of storage; `replay` yields exactly that order.
 * Subjects: dot-separated tokens of [A-Za-z0-9_-]; patterns may hold `*` (one token) and a final `>` (the rest).
 * Errors: `bad-input` (subject, size), `unavailable`, `deadline`, `cancelled`, `closed`.
 * Every adapter passes `bus_suite.ts`.
 */
import type { Scope } from "../seams.ts";

export interface Message {
  subject: string;
  data: Uint8Array;
  /** Answers a request; does nothing when the message was none. */
  respond(data: Uint8Array): void;
}

export interface DurableMessage {
  subject: string;
  data: Uint8Array;
  /** Position in the stream, from 1. */
  seq: number;
  /** 1 at the first delivery. */
  attempt: number;
  /** When the stream took it, epoch milliseconds. */
  atMs: number;
  /** Resolves once the bus has the ack; later calls of ack, nak or term do nothing. */
  ack(): Promise<void>;
  nak(delayMs?: number): void;
  /** Never again; `reason` goes to the log of the bus. */
  term(reason: string): void;
  /** "Still at it": the ack wait starts anew. */
  working(): void;
}

export interface StoredMessage {
  subject: string;
  data: Uint8Array;
  seq: number;
  atMs: number;
}

/** A durable stream and what it captures; `ensureStreams` makes or updates it. Ages in milliseconds, sizes in bytes. */
export interface StreamSpec {
  /** Upper-case name, such as `CHANGES`. */
  name: string;
  subjects: readonly string[];
  ageMsMax: number;
  bytesMax: number;
}

export interface ConsumeOptions {
  stream: string;
  /** Shared by all replicas: each message goes to one of them. */
  durable: string;
  /** A pattern within the stream's subjects; default all. */
  filter?: string;
  /** @default BUS_ACK_WAIT_MS */
  ackWaitMs?: number;
  /** Unacked messages over all replicas. @default BUS_IN_FLIGHT_MAX */
  inFlightMax?: number;
}

export interface Subscription {
  /** Takes no new message, waits until handlers that run have ended. Safe to call twice. */
  drain(): Promise<void>;
}

export type BusState = "connected" | "reconnecting" | "closed";

export interface Bus {
  publish(scope: Scope, subject: string, data: Uint8Array): Promise<void>;
  /** The first answer; `unavailable` when nobody listens, `deadline` after `deadlineMs` (default BUS_REQUEST_MS). */
  request(
    scope: Scope,
    subject: string,
    data: Uint8Array,
    options?: { deadlineMs?: number },
  ): Promise<Uint8Array>;
  /** Resolves once the subscription is in force. Without a group every subscriber gets each message. */
  subscribe(
    scope: Scope,
    pattern: string,
    options: { group?: string },
    handler: (message: Message) => Promise<void>,
  ): Promise<Subscription>;

  ensureStreams(scope: Scope, streams: readonly StreamSpec[]): Promise<void>;
  append(
    scope: Scope,
    subject: string,
    data: Uint8Array,
    options: { id: string },
  ): Promise<{ seq: number; duplicate: boolean }>;
  consume(
    scope: Scope,
    options: ConsumeOptions,
    handler: (message: DurableMessage) => Promise<void>,
  ): Promise<Subscription>;
  /** Stored messages from `fromSeq` (default the first kept) in order, to the end of what is stored now. */
  replay(scope: Scope, stream: string, options?: { filter?: string; fromSeq?: number }): AsyncIterable<
    StoredMessage
  >;

  state(): BusState;
  /** Drains subscriptions, flushes, closes. Safe to call twice. */
  close(): Promise<void>;
}
