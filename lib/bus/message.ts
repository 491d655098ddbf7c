/** Rules that every adapter shares: what is accepted, and how soon a message whose handler threw comes again. */
import { SalarError } from "../errors.ts";
import {
  BUS_DEDUPE_WINDOW_MS,
  BUS_MESSAGE_BYTES_MAX,
  BUS_THROWN_NAK_MS,
  BUS_THROWN_NAK_MS_MAX,
} from "../limits.ts";
import type { ConsumeOptions, StreamSpec } from "./bus.ts";
import { checkPattern } from "./subject.ts";

const STREAM_NAME = /^[A-Z][A-Z0-9_]{0,63}$/;
const GROUP_NAME = /^[A-Za-z0-9_-]{1,64}$/;
const MESSAGE_ID = /^[\x21-\x7e]{1,255}$/;
const STREAM_AGE_MS_MIN = 100;

export function checkSize(action: string, data: Uint8Array): void {
  if (data.length <= BUS_MESSAGE_BYTES_MAX) return;
  refuse(action, "data", `${data.length} bytes, over the ${BUS_MESSAGE_BYTES_MAX} that a message may have`);
}

/** Printable ASCII without spaces: the id travels in a header line of NATS. */
export function checkMessageId(action: string, id: string): void {
  if (!MESSAGE_ID.test(id)) refuse(action, "id", `${quoted(id)}, not 1-255 printable characters`);
}

export function checkGroup(action: string, group: string): void {
  if (!GROUP_NAME.test(group)) refuse(action, "group", `${quoted(group)}, not 1-64 of [A-Za-z0-9_-]`);
}

export function checkStreamName(action: string, name: string): void {
  if (!STREAM_NAME.test(name)) refuse(action, "stream", `${quoted(name)}, not 1-64 of [A-Z0-9_]`);
}

export function checkStream(action: string, spec: StreamSpec): void {
  checkStreamName(action, spec.name);
  if (spec.subjects.length === 0) refuse(action, "subjects", "an empty list");
  for (const pattern of spec.subjects) checkPattern(action, pattern);
  // Two of the largest messages, with their subjects and headers, always fit.
  atLeast(action, "bytesMax", spec.bytesMax, 4 * BUS_MESSAGE_BYTES_MAX);
  atLeast(action, "ageMsMax", spec.ageMsMax, STREAM_AGE_MS_MIN);
}

export function checkConsume(action: string, options: ConsumeOptions): void {
  checkStreamName(action, options.stream);
  if (!GROUP_NAME.test(options.durable)) {
    refuse(action, "durable", `${quoted(options.durable)}, not 1-64 of [A-Za-z0-9_-]`);
  }
  if (options.filter !== undefined) checkPattern(action, options.filter);
  if (options.ackWaitMs !== undefined) atLeast(action, "ackWaitMs", options.ackWaitMs, 1);
  if (options.inFlightMax !== undefined) atLeast(action, "inFlightMax", options.inFlightMax, 1);
}

/** How long a stream remembers ids: never longer than it keeps messages. */
export function dedupeWindowMs(spec: StreamSpec): number {
  return Math.min(BUS_DEDUPE_WINDOW_MS, spec.ageMsMax);
}

/** Wait before the delivery after `attempt` (from 1), when its handler threw. */
export function thrownNakMs(attempt: number): number {
  return Math.min(BUS_THROWN_NAK_MS * 2 ** Math.min(attempt - 1, 20), BUS_THROWN_NAK_MS_MAX);
}

function atLeast(action: string, field: string, value: number, least: number): void {
  if (!Number.isSafeInteger(value) || value < least) {
    refuse(action, field, `${value}, not a whole number from ${least}`);
  }
}

function refuse(action: string, field: string, reason: string): never {
  throw new SalarError("bad-input", `${action}: ${field} is ${reason}`, {
    detail: { problems: [{ field, reason }] },
  });
}

const quoted = (text: string): string => JSON.stringify(text.slice(0, 80));
