/**
 * One host of a run, from its connection to its result. Never throws: what goes wrong is in the result.
 *
 * In: a target, and what all hosts share. Out: events as they happen, one `HostResult`.
 * H1. What can be known without the host is done before it is connected to: a state that does not compile costs nothing.
 * H2. Facts are gathered only for a state that asks for them, once, by the same agent.
 * H3. The plan goes in one write; only a reboot, or waiting for a connection, cuts it in two.
 * H4. With a stored plan the host is checked first, over the same connection, and left alone when it has moved on.
 */
import type { AgentRun } from "../agent/protocol.ts";
import { NanostateError } from "../errors.ts";
import { isObject, type JsonObject } from "../json.ts";
import { STEP_MS } from "../limits.ts";
import { ModuleError } from "../modules/library.ts";
import { HostError } from "../transport/transport.ts";
import { Book, notReached, type Rules } from "./book.ts";
import { Connection, lastResult, type StartAgent } from "./connection.ts";
import { countsOf, noCounts } from "./counts.ts";
import { Fetches } from "./fetches.ts";
import { causeOf, endedBy } from "./limit.ts";
import type { Mask } from "./mask.ts";
import type { Gate } from "./pool.ts";
import { worstCode } from "../codes.ts";
import { type Compiled, type Plans } from "./plans.ts";
import type { Preparation, ReadyPlan, ReadyStep } from "./prepare.ts";
import { reconnecting } from "./reconnect.ts";
import type { HostResult, RunEvent } from "./result.ts";
import type { RunOptions, Target } from "./run.ts";
import { movedOn, otherPlan } from "./stored_plan.ts";

/** What all hosts of a run share. */
export interface Shared {
  options: RunOptions;
  plans: Plans;
  preparation: Preparation;
  mask: Mask;
  connects: Gate;
  start: StartAgent;
  connectMs: number | null;
  emit: (event: RunEvent) => void;
}

/** A host that is left alone, or not gone on with; the message is for people. */
class Refused extends Error {}

const SETUP = "ansible.builtin.setup";
const FACTS_STEP = "facts";

/** @param signal ends the host's work; its reason may be a HostError */
export async function runHost(target: Target, shared: Shared, signal: AbortSignal): Promise<HostResult> {
  const startMs = performance.now();
  const host = new HostRun(target, shared, signal);
  const result = { ...await host.result(), ms: Math.round(performance.now() - startMs) };
  shared.emit({ type: "host", host: target.name, result });
  return result;
}

class HostRun {
  readonly #connection: Connection;
  #compiled: Compiled | null = null;
  #book: Book | null = null;
  /** A run was given to the agent: what it did before the connection was lost is not known. */
  #isSent = false;
  #isTold = false;

  constructor(readonly target: Target, readonly shared: Shared, readonly signal: AbortSignal) {
    const { start, connects, connectMs, emit } = shared;
    const onConnecting = () => emit({ type: "connecting", host: target.name });
    const onConnected = () => this.#tellConnected();
    const means = { start, gate: connects, connectMs, signal, onConnecting, onConnected };
    this.#connection = new Connection(target, means);
  }

  async result(): Promise<HostResult> {
    try {
      if (this.signal.aborted) throw endedBy(this.signal);
      await this.#carryOut();
      return this.#resultOf(null);
    } catch (error) {
      return this.#resultOf(causeOf(error, this.signal));
    } finally {
      await this.#connection.close().catch(() => {}); // its end was the aim
    }
  }

  async #carryOut(): Promise<void> {
    const compiled = await this.#compile();
    this.#compiled = compiled;
    const { options } = this.shared;
    const expected = options.stored?.hosts[this.target.name];
    if (options.stored !== undefined) refuse(otherPlan(expected, compiled.trace));
    if (stepsOf(compiled) === 0) return;
    this.#tellConnected();
    const ready = await this.shared.preparation.ready(compiled, this.#platform);
    if (expected !== undefined) { // H4
      const check = await this.#work(ready, "check", () => {});
      refuse(movedOn(expected, check.groups(compiled.plan)));
    }
    await this.#work(ready, options.mode, (book) => this.#book = book);
  }

  /** H1, H2 @throws {NanostateError} */
  async #compile(): Promise<Compiled> {
    const { plans, options } = this.shared;
    const params = { ...options.params, ...this.target.params };
    const compiled = plans.compile(params, null) ?? plans.compile(params, await this.#facts());
    if (compiled !== null) return compiled;
    throw new Error("Cannot compile: the state asks for facts although they were given");
  }

  #platform = async () => await (await this.#connection.session()).info;

  /** Once, when both are known: that the host is there, and how many steps await it. */
  #tellConnected(): void {
    if (this.#isTold || this.#compiled === null || !this.#connection.isOpen) return;
    this.#isTold = true;
    this.shared.emit({ type: "connected", host: this.target.name, steps: stepsOf(this.#compiled) });
  }

  async #facts(): Promise<JsonObject> {
    const { preparation } = this.shared;
    const bundle = await preparation.bundle([SETUP], this.#platform);
    const step = { kind: "module", id: FACTS_STEP, module: SETUP, args: {}, action: null } as const;
    const { modules, ansible } = bundle;
    const run = { ...this.#basics(true), groups: [{ steps: [step] }], modules, ansible };
    const session = await this.#connection.session();
    const answer = await lastResult(session.run(run, (hash) => preparation.blob(hash, bundle)));
    if (answer?.kind === "not-run") throw new Refused(`Cannot gather facts: ${answer.why}`);
    if (answer?.kind !== "module") throw new HostError("protocol", "the agent did not answer for the facts");
    const { ansible_facts: facts, msg } = answer.result;
    if (isObject(facts)) return facts as JsonObject; // of a JSON result
    throw new Refused(`Cannot gather facts: ${typeof msg === "string" ? msg : "setup gave none"}`);
  }

  async #work(ready: ReadyPlan, mode: Rules["mode"], onBook: (book: Book) => void): Promise<Book> {
    const { options: { onFailure }, mask, emit } = this.shared;
    const { name: host } = this.target;
    const isShown = mode === this.shared.options.mode;
    const book = new Book(ready.steps, { mode, onFailure }, mask, (result) => {
      if (isShown) emit({ type: "step", host, result });
    });
    onBook(book);
    const check = mode === "check";
    for (const part of partsOf(ready.steps)) {
      if (part.kind === "runner") await this.#byRunner(book, part.ready, check);
      else await this.#byAgent(book, part.steps, ready, check);
    }
    book.finish(null);
    return book;
  }

  async #byAgent(
    book: Book,
    steps: readonly ReadyStep[],
    { bundle }: ReadyPlan,
    check: boolean,
  ): Promise<void> {
    const groups = book.sendable(steps);
    if (groups.length === 0) return;
    const { modules, ansible } = bundle;
    const run: AgentRun = { ...this.#basics(check), open: book.isOpen, groups, modules, ansible };
    const session = await this.#connection.session();
    const fetches = new Fetches(this.shared.options.files, this.target.name, steps);
    const { preparation, emit } = this.shared;
    try {
      this.#isSent = true;
      for await (const event of session.run(run, (hash) => preparation.blob(hash, bundle))) {
        if (event.type === "begin") {
          book.begin(event.step);
          emit({ type: "begin", host: this.target.name, step: event.step });
        } else if (event.type === "fetched") await fetches.take(event.fetched);
        else book.settle(await fetches.finished(event.result));
      }
      this.#isSent = false;
    } finally {
      await fetches.drop();
    }
  }

  /** H3 */
  async #byRunner(book: Book, ready: ReadyStep, check: boolean): Promise<void> {
    if (ready.work.kind !== "runner" || !book.mayRun(ready)) return;
    const { step, work: { part, args } } = ready;
    const startMs = performance.now();
    book.begin(step.id);
    this.shared.emit({ type: "begin", host: this.target.name, step: step.id });
    const around = {
      connection: this.#connection,
      check,
      signal: this.signal,
      basics: this.#basics(check),
    };
    const result = await reconnecting(part, args, around);
    const ms = Math.round(performance.now() - startMs);
    book.settle({ step: step.id, kind: "module", ms, result, stderr: "", timedOut: false });
  }

  #basics(check: boolean): AgentRun {
    const { onFailure, limits = {}, diff = false } = this.shared.options;
    return {
      groups: [],
      check,
      diff: diff || check,
      onFailure,
      stepMs: limits.stepMs ?? STEP_MS,
      environment: this.target.environment,
      modules: {},
      ansible: null,
    };
  }

  /** @param cause why it ended before its end; null when it did not */
  #resultOf(cause: unknown): HostResult {
    const { options: { id, index }, mask } = this.shared;
    const why = cause === null ? "" : mask.text(messageOf(cause));
    if (cause !== null) this.#book?.finish(why, this.#isSent && isBreak(cause));
    const plan = this.#compiled?.plan;
    const groups = plan === undefined ? [] : this.#book?.groups(plan) ?? notReached(plan, why);
    const code = worstCode([...groups.map((group) => group.code), codeOfCause(cause)]);
    const counts = groups.length === 0 ? noCounts() : countsOf(groups);
    if (code === 1 && counts.failed === 0) counts.failed = 1; // a host that was refused is not one that is fine
    return {
      host: this.target.name,
      address: this.target.transport.address,
      id,
      description: plan?.description ?? index.state(id)?.description ?? "",
      code,
      message: why,
      counts,
      groups,
      plan: this.#compiled?.trace ?? null,
      ms: 0,
    };
  }
}

type Part = { kind: "agent"; steps: ReadyStep[] } | { kind: "runner"; ready: ReadyStep };

function stepsOf({ plan: { groups } }: Compiled): number {
  return groups.reduce((sum, { steps }) => sum + steps.length, 0);
}

/** H3 */
function partsOf(steps: readonly ReadyStep[]): Part[] {
  const parts: Part[] = [];
  for (const ready of steps) {
    const last = parts.at(-1);
    if (ready.work.kind === "runner") parts.push({ kind: "runner", ready });
    else if (last?.kind === "agent") last.steps.push(ready);
    else parts.push({ kind: "agent", steps: [ready] });
  }
  return parts;
}

function refuse(why: string | null): void {
  if (why !== null) {
    throw new Refused(`Cannot apply the stored plan: ${why}; look at it again with --check --out`);
  }
}

/** The connection broke or was ended while a run was under way, other than at a known place. */
function isBreak(cause: unknown): boolean {
  return !(cause instanceof HostError) ||
    !["disk", "become", "no-shell", "login", "host-key"].includes(cause.code);
}

function codeOfCause(cause: unknown): 0 | 1 | 2 | 255 {
  if (cause === null) return 0;
  if (!(cause instanceof HostError)) return 1;
  return cause.code === "cancelled" ? 2 : 255;
}

function messageOf(cause: unknown): string {
  if (cause instanceof ModuleError || cause instanceof NanostateError) return cause.message;
  return cause instanceof Error ? cause.message : String(cause);
}
