/**
 * A cluster in a test: a host over the embedded store and the in-process bus, with people, nodes and systems that speak
 * the real protocol. Ticks run when the test says so, and time goes on by `later`.
 */
import assert from "node:assert/strict";
import { createBroker } from "../bus/in_process.ts";
import { subjects } from "../bus/subjects.ts";
import { createLog, silentLog } from "../log.ts";
import type { Context } from "../mesh/context.ts";
import type { MeshFunction } from "../mesh/function.ts";
import { type Host, startHost } from "../mesh/host.ts";
import { Lanes } from "../mesh/lanes.ts";
import { ProblemDocument } from "../mesh/problem.ts";
import { realCrypt } from "../mesh/real_crypt.ts";
import { realProbe } from "../mesh/real_probe.ts";
import { realScope } from "../mesh/real_scope.ts";
import { decodeReply } from "../mesh/reply.ts";
import { createScope } from "../mesh/scope.ts";
import { CLUSTER, clusterKey, until } from "../mesh/testing.ts";
import { createTrust } from "../mesh/trust.ts";
import { type Identity, identityFromSeed } from "../secure/keys.ts";
import { proveRequest } from "../secure/proof.ts";
import { openStatement, signStatement } from "../secure/statement.ts";
import { mintToken, TOKEN_RANDOM_BYTES } from "../secure/token.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Read, Write } from "../store/store.ts";
import { z } from "zod";
import { credentials } from "./credentials.ts";
import {
  Directive,
  Directives,
  EnrolAnswer,
  EnrolChallenge,
  type NodeRun,
  type RowChange,
  RunAnswer,
  STATEMENT_KINDS,
} from "./protocol.ts";
import { apiTokens, beats, rows } from "./records.ts";

const PEOPLE = ["viewer", "operator", "admin"] as const;
type Person = typeof PEOPLE[number];

/** An answer, its body read; a schema or `problemIn` tells what it holds. */
export interface Answer {
  status: number;
  headers: Headers;
  body: unknown;
}

/** Why an answer is a refusal. */
export function problemIn({ body }: Answer): ProblemDocument {
  return ProblemDocument.parse(body);
}

/** A new token: of people or for enrolment. */
export const Minted = z.object({ id: z.string(), token: z.string() });

export interface Ask {
  /** @default "admin"; null: nobody */
  as?: Person | null;
  headers?: Record<string, string>;
}

/** A directive as its recipient reads it. */
export type Told = Directive & { seq: number; epoch: number; exp: number };

export interface TestNode {
  fp: string;
  name: string;
  master: string;
  beat(): Promise<void>;
  fetch(after?: number): Promise<Told[]>;
  report(seq: number, outcome?: "done" | "refused", reason?: string): Promise<void>;
  /** Tells of a run. */
  tell(told: NodeRun): Promise<RunAnswer>;
  /** Appends changes and waits until all of them are known. */
  changes(
    changes: RowChange[],
    at?: { originNo?: number; lsn?: number; first?: number; more?: boolean },
  ): Promise<void>;
  /** Its database shows the system. */
  show(system: Shown): Promise<void>;
}

export interface Shown {
  localId: number;
  machineId: string;
  minionId: string;
  name?: string;
}

export interface TestSystem extends Omit<Shown, "localId"> {
  id: number;
  fp: string;
  ask(method: string, target: string, body?: unknown): Promise<Answer>;
  directives(after?: number): Promise<Told[]>;
  report(told: { seq: number; epoch: number }, outcome: "there" | "back", reason?: string): Promise<Answer>;
}

export class ClusterRig {
  #number = 0;

  private constructor(
    readonly context: Context,
    readonly host: Host,
    readonly lines: Record<string, unknown>[],
    private readonly parts: {
      functions: readonly MeshFunction[];
      tokens: ReadonlyMap<Person, string>;
      later(ms: number): void;
      end(): Promise<void>;
    },
  ) {}

  static async start(functions: readonly MeshFunction[]): Promise<ClusterRig> {
    const ending = new AbortController();
    const base = realScope({ name: "rig" });
    let aheadMs = 0;
    const clock = {
      nowMs: () => base.nowMs() + aheadMs,
      monoMs: () => base.monoMs() + aheadMs,
      random: base.random,
      after(ms: number, fire: () => void) {
        const timer = setTimeout(fire, ms);
        return () => clearTimeout(timer);
      },
    };
    const scope = createScope(clock, { name: "rig", signal: ending.signal });
    const store = openSqliteStore({ path: ":memory:" });
    const broker = createBroker(scope, { log: silentLog });
    const [bus, hostBus] = [broker.connect(), broker.connect()];
    const lines: Record<string, unknown>[] = [];
    const log = createLog({
      level: "debug",
      nowMs: scope.nowMs,
      write: (line) => lines.push(JSON.parse(line)),
    });
    const nobody = () => Promise.reject(new Error("a test has no network"));
    const lanes = new Lanes("rig");
    const shared = {
      scope,
      store,
      net: { request: nobody, connectMs: nobody },
      crypt: realCrypt(),
      signer: clusterKey,
      probe: realProbe(log),
      log,
      cluster: CLUSTER,
      replica: "rig",
      lanes,
    };
    const hosted = functions.map((each) => ({ ...each, ticks: [] }));
    const trust = createTrust(credentials);
    const host = await startHost({ ...shared, bus: hostBus, functions: hosted, trust, http: null });
    const meter = { count: () => {}, gauge: () => {}, timeMs: () => {} };
    const tokens = new Map<Person, string>();
    await store.write(scope, (tx) => {
      for (const role of PEOPLE) {
        const { id, secretHash, token } = mintToken(scope.random.bytes(TOKEN_RANDOM_BYTES));
        tokens.set(role, token.reveal());
        const times = { createdAtMs: 0, expiresAtMs: Number.MAX_SAFE_INTEGER };
        apiTokens.put(tx, { v: 1, id, secretHash, role, name: role, ...times }, id);
      }
      return Promise.resolve();
    });
    return new ClusterRig({ ...shared, bus, meter }, host, lines, {
      functions,
      tokens,
      later: (ms) => void (aheadMs += ms),
      async end() {
        await host.drain();
        ending.abort();
        await Promise.all([bus.close(), hostBus.close()]);
        await store.close();
      },
    });
  }

  end(): Promise<void> {
    return this.parts.end();
  }

  later(ms: number): void {
    this.parts.later(ms);
  }

  nowMs(): number {
    return this.context.scope.nowMs();
  }

  read<T>(fn: (tx: Read) => Promise<T>): Promise<T> {
    return this.context.store.read(this.context.scope, fn);
  }

  write<T>(fn: (tx: Write) => Promise<T>): Promise<T> {
    return this.context.store.write(this.context.scope, fn);
  }

  /** Runs each of these ticks once, in this order. */
  async tick(...names: string[]): Promise<void> {
    for (const name of names) {
      const tick = this.parts.functions.flatMap(({ ticks }) => ticks).find((each) => each.name === name);
      assert.ok(tick, `there is a tick "${name}"`);
      await tick.run(this.context);
    }
  }

  async call(method: string, target: string, body?: unknown, ask: Ask = {}): Promise<Answer> {
    const { as = "admin", headers = {} } = ask;
    const given = new Headers(headers);
    if (as !== null) given.set("authorization", `Bearer ${this.parts.tokens.get(as)}`);
    return await this.send(method, target, body, given);
  }

  /** As `call`, and the answer must be a good one. */
  async must(method: string, target: string, body?: unknown, ask: Ask = {}): Promise<unknown> {
    const answer = await this.call(method, target, body, ask);
    assert.ok(
      answer.status < 300,
      `${method} ${target} answers ${answer.status}: ${JSON.stringify(answer.body)}`,
    );
    return answer.body;
  }

  /** As `must`, and the answer is what `reply` says. */
  async ask<T>(reply: z.ZodType<T>, method: string, target: string, body?: unknown): Promise<T> {
    return reply.parse(await this.must(method, target, body));
  }

  async send(method: string, target: string, body: unknown, headers: Headers): Promise<Answer> {
    if (body !== undefined) headers.set("content-type", "application/json");
    const text = body === undefined ? null : typeof body === "string" ? body : JSON.stringify(body);
    const response = await this.host.fetch(
      new Request(`http://salar.example${target}`, { method, headers, body: text }),
    );
    const answered = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      body: answered === "" ? null : JSON.parse(answered),
    };
  }

  /** A key that this rig has given to nobody yet. */
  newKey(): Identity {
    const seed = new Uint8Array(32).fill(77);
    new DataView(seed.buffer).setUint32(0, ++this.#number);
    return identityFromSeed(seed);
  }

  async joinToken(kind: "node" | "system", zone: string, options = {}): Promise<string> {
    return (await this.ask(Minted, "POST", "/v1/join-tokens", { kind, zone, ...options })).token;
  }

  /** An enrolment statement, sent: the answer as it is. */
  async enrol(kind: "node" | "system", key: Identity, body: Record<string, unknown>): Promise<Answer> {
    const challenge = await this.call("GET", "/v1/enrol/challenge", undefined, { as: null });
    const { nonce } = EnrolChallenge.parse(challenge.body);
    const identityKey = key.spki.toBase64();
    const statement = this.#sign(key, `enrol.${kind}`, { nonce, identityKey, ...body }, "*");
    return await this.call("POST", `/v1/enrol/${kind}`, { statement }, { as: null });
  }

  /** An accepted node that has been heard of. */
  async node(name: string, options: Record<string, unknown> & { zone?: string } = {}): Promise<TestNode> {
    const { zone = "z", ...facts } = options;
    const key = this.newKey();
    const token = await this.joinToken("node", zone);
    const answer = await this.enrol("node", key, { ...nodeFacts(name, key), token, ...facts });
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    await this.must("POST", `/v1/nodes/${key.fp}/accept`, { why: "test" });
    const node = this.nodeOf(name, key);
    await node.beat();
    return node;
  }

  nodeOf(name: string, key: Identity): TestNode {
    const { fp } = key;
    const { scope, bus } = this.context;
    const signed = (kind: string, body: Record<string, unknown>) =>
      new TextEncoder().encode(this.#sign(key, kind, body, clusterKey.fp));
    const sentOf = { n: 0, lsn: 0 };
    const self: TestNode = {
      fp,
      name,
      master: `${name}.example`,
      beat: async () => {
        const atMs = this.nowMs();
        const facts = { load: 0, systems: 0, versions: {}, slotLagBytes: null };
        const body = { boot: "b", n: ++sentOf.n, ...facts };
        await bus.publish(scope, subjects.nodeBeat(fp), signed("node.beat", body));
        await until(async () => ((await this.read((tx) => beats.get(tx, fp)))?.atMs ?? -1) >= atMs);
      },
      fetch: async (after = 0) => {
        const data = signed("node.fetch", { after });
        const reply = await bus.request(scope, subjects.nodeFetch(fp), data);
        return decodeReply(Directives, reply).directives.map((text) => this.#open(text, fp));
      },
      report: async (seq, outcome = "done", reason = "") => {
        const data = signed("node.report", { seq, outcome, reason });
        const reply = await bus.request(scope, subjects.nodeReport(fp), data);
        decodeReply(z.object({ ok: z.literal(true) }), reply);
      },
      tell: async (told) =>
        decodeReply(RunAnswer, await bus.request(scope, subjects.nodeRun(fp), signed("node.run", told))),
      changes: async (changes, { originNo = 1, lsn = ++sentOf.lsn, first = 0, more = false } = {}) => {
        const handler = this.parts.functions.flatMap(({ handlers }) => handlers)
          .find((each) => each.name === "changes");
        assert.ok(handler && !("batch" in handler), "node-events is among the functions");
        const hex = lsn.toString(16).toUpperCase().padStart(16, "0");
        const input = handler.input.parse({ origin: "o", originNo, lsn: hex, first, more, changes });
        const from = { id: `node:${fp}`, role: "node" as const, fp };
        await handler.run(this.context, input, { subject: subjects.changes(fp), from, attempt: 1 });
      },
      show: async ({ localId, machineId, minionId, name = minionId }) => {
        const id = String(localId);
        const row = { id, name, machine_id: machineId };
        await self.changes([
          { table: "rhnserver", op: "insert", row, oldKey: null },
          {
            table: "suseminioninfo",
            op: "insert",
            row: { server_id: id, minion_id: minionId },
            oldKey: null,
          },
        ]);
      },
    };
    return self;
  }

  /** An enrolled system; bound at once when `master` names a node. */
  async system(
    name: string,
    options: Record<string, unknown> & { zone?: string; token?: string } = {},
  ): Promise<TestSystem> {
    const { zone = "z", ...facts } = options;
    const key = this.newKey();
    const token = options.token ?? await this.joinToken("system", zone);
    const body = { ...systemFacts(name, key), token, ...facts };
    const { status, body: answer } = await this.enrol("system", key, body);
    assert.equal(status, 200, JSON.stringify(answer));
    const { id } = EnrolAnswer.parse(answer);
    assert.ok(id !== null);
    return this.systemOf({ machineId: body.machineId, minionId: body.minionId, id }, key);
  }

  systemOf({ id, machineId, minionId }: Omit<Shown, "localId"> & { id: number }, key: Identity): TestSystem {
    const ask = (method: string, target: string, body?: unknown) => {
      const bytes = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
      const nonce = this.context.scope.random.bytes(16);
      const proof = proveRequest({ method, target, body: bytes }, key, { nowMs: this.nowMs(), nonce });
      return this.send(method, target, body, new Headers({ authorization: proof }));
    };
    return {
      id,
      fp: key.fp,
      machineId,
      minionId,
      ask,
      directives: async (after = 0) => {
        const { status, body } = await ask("GET", `/v1/directives?after=${after}`);
        assert.equal(status, 200, JSON.stringify(body));
        return Directives.parse(body).directives.map((text) => this.#open(text, key.fp));
      },
      report: ({ seq, epoch }, outcome, reason = "") =>
        ask("POST", "/v1/reports", { seq, epoch, plan: "", outcome, reason }),
    };
  }

  /** Is the row there? */
  async row(fp: string, table: string, rowKey: string): Promise<Record<string, string | null> | null> {
    return (await this.read((tx) => rows.get(tx, fp, table, rowKey)))?.row ?? null;
  }

  #sign(key: Identity, kind: string, body: Record<string, unknown>, to: string): string {
    const iat = Math.floor(this.nowMs() / 1_000);
    return signStatement({ kind, cluster: CLUSTER, to, seq: 1, iat, exp: iat + 60, epoch: 0, body }, key);
  }

  #open(text: string, me: string): Told {
    const { kind, seq, epoch, exp, body } = openStatement(text, {
      me,
      cluster: CLUSTER,
      kinds: STATEMENT_KINDS,
      accepts: Object.keys(STATEMENT_KINDS),
      nowMs: this.nowMs(),
      sender: (kid) => kid === clusterKey.fp ? { spki: clusterKey.spki, role: "cluster" } : null,
    });
    return { ...Directive.parse({ kind, body }), seq, epoch, exp };
  }
}

export function pemOf({ spki }: Identity): string {
  return `-----BEGIN PUBLIC KEY-----\n${spki.toBase64()}\n-----END PUBLIC KEY-----\n`;
}

function machineIdOf({ fp }: Identity): string {
  return fp.slice(0, 32);
}

export function nodeFacts(name: string, key: Identity) {
  return {
    machineId: machineIdOf(key),
    name,
    apiUrl: `https://${name}.example`,
    master: `${name}.example`,
    masterKey: pemOf(key),
    versions: {},
  };
}

export function systemFacts(name: string, key: Identity) {
  return {
    machineId: machineIdOf(key),
    minionId: `${name}.example`,
    minionKey: pemOf(key),
    name,
    master: null as string | null,
  };
}
