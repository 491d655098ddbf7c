/**
 * One durable stream in memory: numbered, deduplicated, bounded by age and bytes. No timers: time is a parameter.
 *
 * T1. `seq` starts at 1 and rises by 1; a message that retention took away leaves a gap at the front only.
 * T2. An id seen within the dedupe window answers with the seq it got then (bus.ts, B2).
 * T3. Over `bytesMax` or `ageMsMax` the oldest go first; the newest message always stays.
 */
import type { StoredMessage, StreamSpec } from "./bus.ts";
import { dedupeWindowMs } from "./message.ts";
import { matcher } from "./subject.ts";

export interface StoredStream {
  spec(): StreamSpec;
  update(spec: StreamSpec): void;
  takes(subject: string): boolean;
  append(subject: string, data: Uint8Array, id: string | null, nowMs: number): {
    seq: number;
    duplicate: boolean;
  };
  /** Null once retention took it, and for a seq not reached yet. */
  get(seq: number, nowMs: number): StoredMessage | null;
  firstSeq(nowMs: number): number;
  /** 0 before the first message. */
  lastSeq(): number;
}

export function createStoredStream(first: StreamSpec): StoredStream {
  let spec = first;
  let matchers = first.subjects.map(matcher);
  let messages: StoredMessage[] = [];
  let head = 0; // `messages[head]` is the oldest kept
  let bytes = 0;
  let lastSeq = 0;
  const seen = new Map<string, { seq: number; atMs: number }>(); // in order of age

  const retain = (nowMs: number) => {
    while (messages.length - head > 1 || (messages.length - head === 1 && bytes <= spec.bytesMax)) {
      const oldest = messages[head] as StoredMessage;
      if (bytes <= spec.bytesMax && nowMs - oldest.atMs <= spec.ageMsMax) break;
      bytes -= bytesOf(oldest);
      head++;
    }
    if (head > 0 && head >= messages.length / 2) {
      messages = messages.slice(head);
      head = 0;
    }
  };
  const forget = (nowMs: number) => {
    for (const [id, { atMs }] of seen) {
      if (nowMs - atMs <= dedupeWindowMs(spec)) break;
      seen.delete(id);
    }
  };

  return {
    spec: () => spec,
    update(next) {
      spec = next;
      matchers = next.subjects.map(matcher);
    },
    takes: (subject) => matchers.some((takes) => takes(subject)),
    append(subject, data, id, nowMs) {
      forget(nowMs);
      const known = id === null ? undefined : seen.get(id);
      if (known) return { seq: known.seq, duplicate: true };
      const message = { subject, data, seq: ++lastSeq, atMs: nowMs };
      messages.push(message);
      bytes += bytesOf(message);
      if (id !== null) seen.set(id, { seq: lastSeq, atMs: nowMs });
      retain(nowMs);
      return { seq: lastSeq, duplicate: false };
    },
    get(seq, nowMs) {
      retain(nowMs);
      return messages[head + seq - (lastSeq - (messages.length - head) + 1)] ?? null;
    },
    firstSeq(nowMs) {
      retain(nowMs);
      return lastSeq - (messages.length - head) + 1;
    },
    lastSeq: () => lastSeq,
  };
}

const bytesOf = (message: StoredMessage): number => message.data.length + message.subject.length;
