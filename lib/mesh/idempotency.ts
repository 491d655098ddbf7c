/**
 * `Idempotency-Key`: one effect per key, and the same answer again.
 *
 * A key is claimed with the hash of its request before the route runs, and keeps the answer afterwards.
 * K1. The claim holds a token for the route's `store.write`: whoever runs the route again, at the same time or after a
 *     crash, changes nothing a second time (store.ts, T4).
 * K2. Only `done` is kept. A refusal changed nothing, so a repeat is judged anew; another request under the same key
 *     is `key-reused` all the same.
 * K3. An answer that cannot be kept (too large, store gone) is given nevertheless; K1 makes the repeat safe.
 * K4. A route whose reply is a secret keeps no answer: a repeat, even a simultaneous one, is a `conflict`.
 * Source: draft-ietf-httpapi-idempotency-key-header; trust brief, section 4.
 */
import { z } from "zod";
import { isSalarError, SalarError } from "../errors.ts";
import { IDEMPOTENCY_KEEP_MS, IDEMPOTENCY_SWEEP_MAX } from "../limits.ts";
import { EMPTY, records } from "../store/record.ts";
import { prefixRange, type Write } from "../store/store.ts";
import type { Context } from "./context.ts";
import { meshKeys } from "./keys.ts";

/** All that it needs of a context. */
export type AnswerContext = Pick<Context, "store" | "scope" | "crypt" | "log">;

const Answer = z.object({ status: z.int(), body: z.string(), etag: z.string().nullable() });
/** An HTTP answer as it is kept: the body is JSON text. */
export type Answer = z.infer<typeof Answer>;

const Kept = z.object({
  v: z.literal(1),
  requestHash: z.string(),
  token: z.string(),
  atMs: z.int(),
  answer: Answer.nullable(),
});
type Kept = z.infer<typeof Kept>;

const answers = records(Kept, (hash: string) => meshKeys.answer(hash));

export interface Asked {
  principal: string;
  key: string;
  /** Method, path, query and body in one hash. */
  requestHash: string;
  secretReply: boolean;
}

/** The kept answer, or what `run` gives under the key's token; null from `run` is kept as nothing. */
export async function answerOnce<T>(
  context: AnswerContext,
  asked: Asked,
  run: (token: string) => Promise<{ answer: Answer | null; result: T }>,
): Promise<{ kept: Answer } | { result: T }> {
  const hash = context.crypt.sha256(new TextEncoder().encode(`${asked.principal}\n${asked.key}`)).toHex();
  const { mine, kept } = await claim(context, hash, asked);
  if (kept.answer !== null) return { kept: kept.answer };
  if (asked.secretReply && !mine) {
    const state = "it was used before, and its answer held a secret that is not kept";
    throw new SalarError("conflict", `Cannot repeat Idempotency-Key: ${state}; look at what is there`);
  }

  const { answer, result } = await run(kept.token);
  if (answer !== null && !asked.secretReply) await keep(context, hash, { ...kept, answer });
  return { result };
}

async function claim(
  context: AnswerContext,
  hash: string,
  asked: Asked,
): Promise<{ mine: boolean; kept: Kept }> {
  const { store, scope } = context;
  const atMs = scope.nowMs();
  const token = `http/${scope.random.id()}`;
  return await store.write(scope, async (tx) => {
    const found = await answers.get(tx, hash);
    if (found !== null && found.atMs + IDEMPOTENCY_KEEP_MS > atMs) {
      if (found.requestHash === asked.requestHash) return { mine: found.token === token, kept: found };
      throw new SalarError("key-reused", "Cannot use Idempotency-Key again: it stands for another request");
    }
    const kept: Kept = { v: 1, requestHash: asked.requestHash, token, atMs, answer: null };
    answers.put(tx, kept, hash);
    tx.put(meshKeys.answerAt(atMs, hash), EMPTY);
    return { mine: true, kept };
  });
}

async function keep({ store, scope, log }: AnswerContext, hash: string, kept: Kept): Promise<void> {
  try {
    await store.write(scope, (tx) => Promise.resolve(answers.put(tx, kept, hash)));
  } catch (error) {
    if (!isSalarError(error)) throw error;
    log.warn("answer not kept", { error }); // K3
  }
}

/** Forgets answers older than IDEMPOTENCY_KEEP_MS, at most IDEMPOTENCY_SWEEP_MAX; returns how many. */
export async function sweepAnswers({ store, scope }: AnswerContext): Promise<number> {
  const { from } = prefixRange(meshKeys.answersAt);
  const to = meshKeys.answerAt(Math.max(0, scope.nowMs() - IDEMPOTENCY_KEEP_MS), "");
  return await store.write(scope, async (tx) => {
    const due = await tx.scan({ from, to }, { limit: IDEMPOTENCY_SWEEP_MAX });
    for (const { key } of due) await forget(tx, key);
    return due.length;
  });
}

async function forget(tx: Write, indexKey: string): Promise<void> {
  const [at = "", hash = ""] = indexKey.slice(meshKeys.answersAt.length).split("/");
  const kept = await answers.get(tx, hash);
  if (kept !== null && kept.atMs <= Number(at)) answers.delete(tx, hash); // else the key was claimed anew since
  tx.delete(indexKey);
}
