/**
 * Subject handlers on the bus: decode, prove the sender, check the input, run, settle as `work.ts` says.
 *
 * S1. Nothing of a message is believed before its signature; the subject must name the proven sender.
 * S2. A stored message is judged by the clock at which the stream took it: it may wait there longer than its `exp`.
 * S3. `Subscriptions.drain` ends the intake and waits for what runs; nothing that was taken is dropped.
 */
import { isSalarError, SalarError } from "../errors.ts";
import { BUS_ACK_WAIT_MS } from "../limits.ts";
import type { DurableMessage, Message, Subscription } from "../bus/bus.ts";
import { isFingerprint } from "../secure/keys.ts";
import { PUBLIC } from "./auth.ts";
import { startBatch } from "./batch.ts";
import type { Context } from "./context.ts";
import { groupOf, type MeshFunction } from "./function.ts";
import type { BatchHandler, Delivery, Principal, SubjectHandler } from "./handler.ts";
import { problemsOf } from "./problem.ts";
import { encodeReply, parseJson } from "./reply.ts";
import type { Trust } from "./trust.ts";
import { type Order, perform, toDelivery, type Workplace } from "./work.ts";

/** Of a subject such as `salar.node.<fp>.beat`: where the sender's fingerprint stands. */
const FP_TOKEN = 2;
const decoder = new TextDecoder();

export async function subscribeAll(
  place: Workplace,
  functions: readonly MeshFunction[],
  trust: Trust,
): Promise<Subscription> {
  const subscriptions: Subscription[] = [];
  const drain = async () => void await Promise.all(subscriptions.map((each) => each.drain()));
  try {
    for (const { name, handlers } of functions) {
      for (const handler of handlers) {
        subscriptions.push(
          isBatch(handler)
            ? await startBatch(place, name, handler, {
              meet: (context, messages) => met(context, trust, handler, messages),
              open: (context, message) => opened(context, trust, handler, message),
            })
            : await subscribe(place, name, handler, trust),
        );
      }
    }
  } catch (error) {
    await drain();
    throw error;
  }
  return { drain };
}

function subscribe(
  place: Workplace,
  owner: string,
  handler: SubjectHandler,
  trust: Trust,
): Promise<Subscription> {
  const { scope, seams: { bus } } = place;
  const { stream, subject } = handler;
  const group = groupOf(owner, handler);
  return stream === undefined
    ? bus.subscribe(scope, subject, { group }, (message) => onMessage(place, owner, handler, trust, message))
    : bus.consume(
      scope,
      { stream, durable: group, filter: subject },
      (message) => onDurable(place, owner, handler, trust, message),
    );
}

async function onMessage(
  place: Workplace,
  owner: string,
  handler: SubjectHandler,
  trust: Trust,
  message: Message,
): Promise<void> {
  const order = orderOf(owner, handler, message.subject);
  const verdict = await perform(place, order, async (context) => {
    const { input, delivery } = await opened(context, trust, handler, message);
    return await handler.run(context, input, delivery);
  });
  message.respond(encodeReply(verdict, message.subject));
}

async function onDurable(
  place: Workplace,
  owner: string,
  handler: SubjectHandler,
  trust: Trust,
  message: DurableMessage,
): Promise<void> {
  const order = orderOf(owner, handler, message.subject);
  Object.assign(order.fields ?? {}, { seq: message.seq, attempt: message.attempt });
  const verdict = await perform(place, order, async (context) => {
    context.scope.spawn("still at it", async () => {
      for (;;) {
        await context.scope.sleep(BUS_ACK_WAIT_MS / 3); // ends with the run
        message.working();
      }
    });
    const { input, delivery } = await opened(context, trust, handler, message);
    return await handler.run(context, input, delivery);
  });
  const settling = toDelivery(verdict, message.attempt);
  switch (settling.act) {
    case "ack":
      return await message.ack();
    case "nak":
      return message.nak(settling.delayMs);
    case "term":
      return message.term(settling.reason);
  }
}

function orderOf(owner: string, handler: SubjectHandler, subject: string): Order {
  return { kind: "message", owner, name: handler.name, fields: { subject } };
}

/** Whom the subjects name: not believed, but whose key each statement will need. */
async function met(
  context: Context,
  trust: Trust,
  handler: BatchHandler,
  messages: readonly Message[],
): Promise<void> {
  if (handler.signedBy === undefined) return;
  const senders = messages.map(({ subject }) => subject.split(".")[FP_TOKEN] ?? "").filter(isFingerprint);
  try {
    await trust.meet(context, senders);
  } catch (error) {
    // One of them is damaged: each is then looked up by itself, and only that one's messages fail.
    if (!isSalarError(error, "bad-record")) throw error;
  }
}

/** S1. The input and its delivery, once sender and shape are proven. */
async function opened(
  context: Context,
  trust: Trust,
  handler: SubjectHandler | BatchHandler,
  message: Message | DurableMessage,
): Promise<{ input: unknown; delivery: Delivery }> {
  const { subject, data } = message;
  const durable = "seq" in message ? message : null;
  const atMs = durable?.atMs ?? context.scope.nowMs(); // S2
  const { body, from } = handler.signedBy === undefined
    ? { body: parseJson(data, "bad-input", "Cannot read message"), from: PUBLIC }
    : await proven(context, trust, handler.signedBy, { subject, data, atMs });

  const parsed = handler.input.safeParse(body);
  if (!parsed.success) {
    throw new SalarError(
      "bad-input",
      `Cannot accept message on ${handler.subject}: it does not match its schema`,
      {
        detail: { problems: problemsOf("body", parsed.error) },
      },
    );
  }
  return { input: parsed.data, delivery: { subject, from, attempt: durable?.attempt ?? 1 } };
}

async function proven(
  context: Context,
  trust: Trust,
  { role, kind }: { role: "node"; kind: string },
  { subject, data, atMs }: { subject: string; data: Uint8Array; atMs: number },
): Promise<{ body: unknown; from: Principal }> {
  const text = decoder.decode(data); // what is not ASCII, openStatement refuses
  const { claims, from } = await trust.statement(context, text, { role, kind, atMs });
  if (subject.split(".")[FP_TOKEN] !== claims.from) {
    throw new SalarError("forbidden", `Cannot accept statement: ${from.id} sent it on another's subject`);
  }
  return { body: claims.body, from };
}

function isBatch(handler: SubjectHandler | BatchHandler): handler is BatchHandler {
  return "batch" in handler;
}
