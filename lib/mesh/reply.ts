/**
 * Answers to requests on the bus: the reply as JSON, or a problem document.
 *
 * Y1. A reply is told from a problem by the latter's `type`, `urn:salar:error:…`; no reply of ours has such a field.
 */
import { z } from "zod";
import { SalarError } from "../errors.ts";
import { errorOfProblem, problemOf, problemsOf } from "./problem.ts";
import type { Verdict } from "./work.ts";

/** @param instance Which message it was, for the log. */
export function encodeReply(verdict: Verdict, instance: string): Uint8Array {
  const answer = verdict.outcome === "done" ? verdict.reply ?? null : problemOf(verdict, instance);
  return new TextEncoder().encode(JSON.stringify(answer));
}

/** The reply that `bus.request` brought. @throws what the far side threw, or `bad-peer` when it is neither. */
export function decodeReply<T>(schema: z.ZodType<T>, data: Uint8Array): T {
  const value = parseJson(data, "bad-peer", "Cannot read reply");
  const error = errorOfProblem(value);
  if (error !== null) throw error;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new SalarError("bad-peer", "Cannot read reply: it does not match its schema", {
    detail: { problems: problemsOf("reply", parsed.error) },
  });
}

/** JSON in UTF-8, strictly. @throws `code` */
export function parseJson(data: Uint8Array, code: "bad-peer" | "bad-input", action: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(data));
  } catch (cause) {
    throw new SalarError(code, `${action}: it is not JSON in UTF-8`, { cause });
  }
}
