/**
 * Problem documents (RFC 9457): the one form in which a fault or refusal reaches a caller, over HTTP and on the bus.
 *
 * P1. `type` is `urn:salar:error:<code>`; `code`, `problems`, `facts` and `retryAfterMs` are extensions of ours.
 * P2. A fault of our own (status 500) tells no more than its code and the request's id: the log has the rest.
 */
import { z } from "zod";
import { ERROR_CODES, type ErrorCode, type Problem, SalarError } from "../errors.ts";
import { HTTP_RETRY_AFTER_MS } from "../limits.ts";
import type { Verdict } from "./work.ts";

export const ProblemDocument = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int().min(400).max(599),
  detail: z.string(),
  /** One of `docs/errors.md`; `internal` for a fault that is nobody's code. */
  code: z.string(),
  /** Which request or message it was: find this in the log. */
  instance: z.string().optional(),
  problems: z.array(z.object({ field: z.string(), reason: z.string() })).optional(),
  facts: z.record(z.string(), z.unknown()).optional(),
  retryAfterMs: z.number().optional(),
});
export type ProblemDocument = z.infer<typeof ProblemDocument>;

/** What a verdict other than `done` tells the caller. */
export function problemOf(verdict: Exclude<Verdict, { outcome: "done" }>, instance: string): ProblemDocument {
  switch (verdict.outcome) {
    case "again":
      return documentOf("unavailable", 503, "Cannot answer yet: ask again", {
        instance,
        retryAfterMs: verdict.afterMs,
      });
    case "crashed":
      return documentOf("internal", 500, "Cannot answer: an internal error, see the log", { instance });
    default:
      return ofError(verdict.error, instance);
  }
}

function ofError({ code, status, message, retry, detail }: SalarError, instance: string): ProblemDocument {
  if (status === 500) {
    return documentOf(code, 500, "Cannot answer: an internal error, see the log", { instance });
  }
  const { problems, retryAfterMs, ...facts } = detail;
  return documentOf(code, status, message, {
    instance,
    ...(isProblems(problems) ? { problems } : {}),
    ...(Object.keys(facts).length > 0 ? { facts } : {}),
    ...(retry ? { retryAfterMs: typeof retryAfterMs === "number" ? retryAfterMs : HTTP_RETRY_AFTER_MS } : {}),
  });
}

function documentOf(
  code: string,
  status: number,
  detail: string,
  extensions: Partial<ProblemDocument>,
): ProblemDocument {
  return {
    type: `urn:salar:error:${code}`,
    title: code.replaceAll("-", " "),
    status,
    detail,
    code,
    ...extensions,
  };
}

function isProblems(value: unknown): value is Problem[] {
  return Array.isArray(value);
}

/** The error that a peer's problem document stands for; null when `value` is none. */
export function errorOfProblem(value: unknown): SalarError | null {
  const parsed = ProblemDocument.safeParse(value);
  if (!parsed.success) return null;
  const { code, detail, problems, facts, retryAfterMs, status } = parsed.data;
  const known = isErrorCode(code) ? code : status >= 500 ? "unavailable" : "bad-peer";
  return new SalarError(known, detail, {
    detail: {
      ...facts,
      ...(problems === undefined ? {} : { problems }),
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    },
  });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}

/** The `bad-input` of a schema's complaints, each with its path below `where` (`body`, `query`, …). */
export function problemsOf(where: string, error: z.ZodError): Problem[] {
  return error.issues.flatMap((issue) => {
    const field = [where, ...issue.path.map(String)].join(".");
    return issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({ field: `${field}.${key}`, reason: "is not known here" }))
      : [{ field, reason: issue.message }];
  });
}
