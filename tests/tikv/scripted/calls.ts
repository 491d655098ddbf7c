/**
 * The calls that the scripted servers know, how a test steps between a call and its execution, and the log of all.
 *
 * I1. Of several steps that fit a call the one set first acts; it counts down with every call it took.
 */
import { Kv, type Method, Pd, Store, Streams } from "../../../lib/tikv/methods.ts";

export const METHODS = { ...Kv, ...Store, ...Pd, tso: Streams.tso } as const;
export type MethodName = keyof typeof METHODS;

export type Request<N extends MethodName> = typeof METHODS[N] extends
  Method<infer Q, infer _Q, infer _A, infer _I> ? Q
  : never;
/** What the encoder of the reply takes. */
export type Reply<N extends MethodName> = typeof METHODS[N] extends
  Method<infer _Q, infer _QI, infer _A, infer I> ? I
  : never;

/** Which server was called: a store by its id, or a member of the placement driver by its number. */
export type Target = { store: bigint } | { member: number };

export interface Call<N extends MethodName = MethodName> {
  readonly method: N;
  readonly request: Request<N>;
  readonly target: Target;
  /** True for a command of a batch stream. */
  readonly batched: boolean;
}

/** How a call ends that gets no reply. */
export class Fault {
  readonly kind: "silence" | "broken-stream" | "closed-connection" | "status";
  readonly status: number;
  readonly text: string;

  private constructor(kind: Fault["kind"], status = 0, text = "") {
    this.kind = kind;
    this.status = status;
    this.text = text;
  }

  /** Nothing is ever answered. */
  static silence(): Fault {
    return new Fault("silence");
  }

  /** The stream of the call is reset; a batch stream takes its other calls with it. */
  static brokenStream(): Fault {
    return new Fault("broken-stream");
  }

  static closedConnection(): Fault {
    return new Fault("closed-connection");
  }

  /** A status of gRPC. In a batch it is that of the stream. */
  static status(status: number, text: string): Fault {
    return new Fault("status", status, text);
  }
}

export type Outcome<N extends MethodName> = Reply<N> | Fault;

/** Stands between a call and its execution: may run `execute` once, many times or never. */
export type Step<N extends MethodName> = (
  call: Call<N>,
  execute: () => Promise<Outcome<N>>,
) => Outcome<N> | Promise<Outcome<N>>;

export interface StepOptions<N extends MethodName> {
  /** How many calls it takes; 1 unless given, Infinity for all. */
  times?: number;
  /** How many fitting calls pass before. */
  after?: number;
  store?: bigint;
  when?(call: Call<N>): boolean;
}

interface Rule {
  readonly method: MethodName;
  readonly step: Step<MethodName>;
  readonly options: StepOptions<MethodName>;
  left: number;
  before: number;
}

export class Calls {
  /** Every call in the order of its arrival. */
  readonly log: Call[] = [];
  #rules: Rule[] = [];

  /** Calls of `method` go to `step` instead of being executed. Call the result to take it back. */
  intercept<N extends MethodName>(method: N, step: Step<N>, options: StepOptions<N> = {}): () => void {
    const { times = 1, after = 0 } = options;
    const rule = { method, step, options, left: times, before: after } as unknown as Rule;
    this.#rules.push(rule);
    return () => this.#rules = this.#rules.filter((each) => each !== rule);
  }

  /** How often each method was called. */
  counts(): Partial<Record<MethodName, number>> {
    const counts: Partial<Record<MethodName, number>> = {};
    for (const { method } of this.log) counts[method] = (counts[method] ?? 0) + 1;
    return counts;
  }

  of<N extends MethodName>(method: N): Call<N>[] {
    return this.log.filter((call) => call.method === method) as unknown as Call<N>[];
  }

  clear(): void {
    this.log.length = 0;
  }

  async run<N extends MethodName>(call: Call<N>, execute: () => Promise<Outcome<N>>): Promise<Outcome<N>> {
    const seen = call as unknown as Call;
    this.log.push(seen);
    const rule = this.#rules.find((rule) => this.#takes(rule, seen));
    if (rule === undefined) return await execute();
    return await (rule.step as unknown as Step<N>)(call, execute);
  }

  #takes(rule: Rule, call: Call): boolean {
    const { store, when } = rule.options;
    if (rule.method !== call.method || rule.left === 0) return false;
    if (store !== undefined && (!("store" in call.target) || call.target.store !== store)) return false;
    if (when !== undefined && !when(call)) return false;
    if (rule.before > 0) {
      rule.before--;
      return false;
    }
    rule.left--;
    return true;
  }
}
