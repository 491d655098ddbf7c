/**
 * What this room's tests share: a disk in memory, a node as a model, and the cluster's side of the protocol.
 *
 * V1. The cluster is the real protocol: statements are opened and signed by lib/secure.
 */
import assert from "node:assert/strict";
import { type Broker, createBroker } from "../../lib/bus/in_process.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import {
  Fetch,
  NodeBeat,
  NodeReport,
  NodeRun,
  STATEMENT_KINDS,
  type StatementKind,
} from "../../lib/cluster/protocol.ts";
import { SalarError } from "../../lib/errors.ts";
import { createLog } from "../../lib/log.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import { TestingClock } from "../../lib/mesh/testing_clock.ts";
import type { Disk, Scope } from "../../lib/seams.ts";
import { identityFromSeed } from "../../lib/secure/keys.ts";
import { type Claims, openStatement, signStatement } from "../../lib/secure/statement.ts";
import type { NodeAgentDeps } from "./logic.ts";
import type { NodeApi, Outcome } from "./node_api.ts";
import { type NodeState, readState, writeState } from "./state.ts";
import { nodeTrust } from "./trust.ts";

export const CLUSTER = "c-test";
export const nodeKey = identityFromSeed(new Uint8Array(32).fill(11));
export const clusterKey = identityFromSeed(new Uint8Array(32).fill(12));
export const FOLDER = "/state";

export const PEM_A = pemOf(identityFromSeed(new Uint8Array(32).fill(21)).spki);
export const PEM_B = pemOf(identityFromSeed(new Uint8Array(32).fill(22)).spki);

function pemOf(spki: Uint8Array): string {
  return `-----BEGIN PUBLIC KEY-----\n${spki.toBase64()}\n-----END PUBLIC KEY-----\n`;
}

export interface MemoryDisk extends Disk {
  readonly files: Map<string, Uint8Array>;
  text(path: string): string | null;
  put(path: string, text: string): void;
}

export function memoryDisk(): MemoryDisk {
  const files = new Map<string, Uint8Array>();
  return {
    files,
    text: (path) => files.has(path) ? new TextDecoder().decode(files.get(path)) : null,
    put: (path, text) => void files.set(path, new TextEncoder().encode(text)),
    read: (path) => Promise.resolve(files.get(path) ?? null),
    replace: (path, bytes) => Promise.resolve(void files.set(path, bytes)),
    remove: (path) => Promise.resolve(void files.delete(path)),
    list(folder) {
      const names = [...files.keys()].filter((path) => path.startsWith(`${folder}/`));
      return Promise.resolve(names.map((path) => path.slice(folder.length + 1)).sort());
    },
  };
}

/** A node that remembers what was done to it, in order. `fault` is thrown instead, for as long as it is set. */
export class ModelNode implements NodeApi {
  readonly done: string[] = [];
  refusal: string | null = null;
  fault: Error | null = null;
  systems = 3;

  acceptKey(_scope: Scope, minionId: string): Promise<Outcome> {
    return this.#do(`accept ${minionId}`);
  }

  forgetKey(_scope: Scope, minionId: string): Promise<Outcome> {
    return this.#do(`forget ${minionId}`);
  }

  retire(_scope: Scope, minionIds: readonly string[]): Promise<Outcome> {
    return this.#do(`retire ${minionIds.join()}`);
  }

  countSystems(): Promise<number> {
    return this.fault === null ? Promise.resolve(this.systems) : Promise.reject(this.fault);
  }

  load(): number {
    return 0.5;
  }

  versions(): Promise<Record<string, string>> {
    return Promise.resolve({ agent: "test" });
  }

  #do(what: string): Promise<Outcome> {
    if (this.fault !== null) return Promise.reject(this.fault);
    if (this.refusal !== null) return Promise.resolve({ ok: false, reason: this.refusal });
    this.done.push(what);
    return Promise.resolve({ ok: true });
  }
}

export interface Order {
  seq: number;
  kind: StatementKind;
  body: Record<string, unknown>;
  /** @default 0 */
  epoch?: number;
}

export const accept = (seq: number, minionId: string): Order => ({
  seq,
  kind: "directive.key.accept",
  body: { plan: "p", system: 1, minionId, minionKey: PEM_A },
});

/** A node agent's surroundings, on a clock of their own. */
export class Rig {
  readonly clock = new TestingClock();
  readonly scope = this.clock.scope({ name: "rig" });
  readonly broker: Broker = createBroker(this.scope);
  readonly disk = memoryDisk();
  readonly node = new ModelNode();
  /** Lines of level warn and error. */
  readonly complaints: string[] = [];

  readonly beats: NodeBeat[] = [];
  readonly reports: NodeReport[] = [];
  readonly fetches: number[] = [];
  /** What was told of runs. */
  readonly told: NodeRun[] = [];
  /** The cluster wants these runs to stop. */
  readonly stopping = new Set<string>();
  /** What the cluster gives to a run that begins. */
  joinToken: string | null = null;
  /** The next words about runs are answered by this error. */
  runError: SalarError | null = null;
  readonly orders: Order[] = [];
  /** It hands out everything again, whatever was asked for. */
  replaying = false;
  /** Nobody answers while it is set. */
  down = false;
  /** The next reports are answered by this error. */
  reportError: SalarError | null = null;
  /** Who signs the orders. */
  signer = clusterKey;

  deps(): NodeAgentDeps {
    const write = (line: string) => void this.complaints.push(line);
    const log = createLog({ level: "warn", nowMs: this.clock.nowMs, write });
    return {
      bus: this.broker.connect(),
      disk: this.disk,
      folder: FOLDER,
      trust: nodeTrust(nodeKey, realCrypt()),
      api: this.node,
      source: null,
      runner: null,
      probe: realProbe(log),
      log,
    };
  }

  async enrol(): Promise<void> {
    await writeState(this.disk, FOLDER, {
      v: 1,
      fp: nodeKey.fp,
      zone: "z",
      cluster: CLUSTER,
      clusterKey: clusterKey.spki.toBase64(),
      done: 0,
      reports: [],
    });
  }

  async state(): Promise<NodeState> {
    const state = await readState(this.disk, FOLDER);
    assert(state !== null);
    return state;
  }

  /** Answers as functions/node-events does. */
  async serve(): Promise<void> {
    const bus = this.broker.connect();
    const reply = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
    await bus.subscribe(this.scope, subjects.nodeBeat("*"), {}, ({ data }) => {
      this.beats.push(NodeBeat.parse(this.open(data, "node.beat").body));
      return Promise.resolve();
    });
    await bus.subscribe(this.scope, subjects.nodeFetch("*"), {}, (message) => {
      const { after } = Fetch.parse(this.open(message.data, "node.fetch").body);
      this.fetches.push(after);
      const directives = this.orders.filter(({ seq }) => seq > after || this.replaying).map((order) =>
        this.#sign(order)
      );
      if (!this.down) message.respond(reply({ directives, last: this.orders.at(-1)?.seq ?? 0 }));
      return Promise.resolve();
    });
    await bus.subscribe(this.scope, subjects.nodeReport("*"), {}, (message) => {
      const report = NodeReport.parse(this.open(message.data, "node.report").body);
      if (this.down) return Promise.resolve();
      this.reports.push(report);
      message.respond(reply(this.reportError === null ? { ok: true } : problem(this.reportError)));
      return Promise.resolve();
    });
    await bus.subscribe(this.scope, subjects.nodeRun("*"), {}, (message) => {
      const told = NodeRun.parse(this.open(message.data, "node.run").body);
      if (this.down) return Promise.resolve();
      this.told.push(told);
      const token = told.what === "begin" ? this.joinToken : null;
      const answer = { ok: true, stop: this.stopping.has(told.run), token };
      message.respond(reply(this.runError === null ? answer : problem(this.runError)));
      return Promise.resolve();
    });
  }

  open(data: Uint8Array, kind: StatementKind): Claims {
    return openStatement(new TextDecoder().decode(data), {
      me: clusterKey.fp,
      cluster: CLUSTER,
      kinds: STATEMENT_KINDS,
      accepts: [kind],
      nowMs: this.clock.nowMs(),
      sender: () => ({ spki: nodeKey.spki, role: "node" }),
    });
  }

  /** Lets everybody know that there is something to fetch. */
  async hint(): Promise<void> {
    await this.broker.connect().publish(this.scope, subjects.hint(nodeKey.fp), new Uint8Array());
  }

  #sign({ seq, kind, body, epoch = 0 }: Order): string {
    const iat = Math.floor(this.clock.nowMs() / 1000);
    const claims = { kind, cluster: CLUSTER, to: nodeKey.fp, seq, iat, exp: iat + 60, epoch, body };
    return signStatement(claims, this.signer);
  }
}

/** A refusal, as a function answers it. */
function problem({ code, status, message }: SalarError): Record<string, unknown> {
  return { type: `urn:salar:error:${code}`, title: code, status, detail: message, code };
}
