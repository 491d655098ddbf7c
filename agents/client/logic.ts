/**
 * The client agent: enrols once, then follows its directives, one move at a time, and says what came of each.
 *
 * In: seams only, so that the simulation runs it. Out: nothing; it ends when its scope ends.
 * A1. With the director gone it leaves everything as it is, and comes back without haste (lib/backoff.ts).
 * A2. A directive is done once, in rising order: its number and its report are on disk together, after its effect.
 * A3. A move whose epoch is not above the last one acted on is refused and reported `back`.
 * A4. An interrupted move is finished before anything else is asked for, and without the director.
 * A5. A report stays on disk until the director acknowledges it or refuses it for good.
 * Source: restate's tunnel client (supervisor, back-off), Kubernetes' level-triggered loops.
 */
import { backoffMs } from "../../lib/backoff.ts";
import { requirePinned } from "../../lib/cluster/pinning.ts";
import { DirectiveMove, type EnrolSystem, type MoveReport } from "../../lib/cluster/protocol.ts";
import { isSalarError, messageOf, SalarError } from "../../lib/errors.ts";
import {
  CLIENT_BACKOFF,
  CLIENT_BEAT_MS,
  CLIENT_POLL_MS_MIN,
  LONG_POLL_MS,
  MINION_CONNECT_MS_MAX,
} from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Net, Probe, Scope } from "../../lib/seams.ts";
import { type Director, directorAt } from "./director.ts";
import type { MoveJournal } from "./journal.ts";
import { PUBLISH_PORT } from "./minion.ts";
import { move, readJournal, type RepointDeps, resumeMove } from "./repoint.ts";
import { type AgentState, readState, withReport, writeState } from "./state.ts";
import type { ClientTrust, Directive } from "./trust.ts";

export interface ClientAgentDeps extends RepointDeps {
  net: Net;
  trust: ClientTrust;
  log: Log;
  probe: Probe;
  /** Base address of the director, such as `https://salar.example`. */
  directorUrl: string;
  /** Name of this system for people, such as its host name. */
  name: string;
  /** The whole join token; asked for only while the agent is not enrolled. */
  joinToken(): Promise<string>;
}

const REASON_CHARS_MAX = 1_000;

/**
 * Runs until the scope ends, then rejects with `cancelled`.
 * @throws {SalarError} a refusal of enrolment that trying again cannot mend, or `bad-record` for a damaged state.
 */
export async function runClientAgent(scope: Scope, deps: ClientAgentDeps): Promise<void> {
  const director = directorAt({ url: deps.directorUrl, net: deps.net, trust: deps.trust });
  const agent = new ClientAgent(deps, director, await enrolled(scope, deps, director));
  scope.every(CLIENT_BEAT_MS, "beat", () => agent.beat(scope));
  await agent.follow(scope);
}

/** The state of an enrolled agent: from disk, or by enrolling with as much patience as it takes. */
export async function enrolled(scope: Scope, deps: ClientAgentDeps, director: Director): Promise<AgentState> {
  const known = await readState(deps.disk, deps.folder);
  if (known !== null) {
    if (known.fp === deps.trust.fp) return known;
    throw new SalarError(
      "bad-config",
      `Cannot run: ${deps.folder}/state.json belongs to key ${known.fp}; put that key back, or remove it to enrol anew`,
    );
  }
  for (let failures = 1;; failures++) {
    try {
      return await enrol(scope, deps, director);
    } catch (error) {
      if (scope.signal.aborted || !isSalarError(error) || !error.retry) throw error;
      deps.log.warn("not enrolled yet", { reason: error.message, failures });
    }
    await scope.sleep(backoffMs(scope.random, failures, CLIENT_BACKOFF));
  }
}

async function enrol(scope: Scope, deps: ClientAgentDeps, director: Director): Promise<AgentState> {
  const { trust, minion } = deps;
  const facts = await minion.facts(scope);
  const { master } = await minion.setting();
  const { nonce, nowMs, cluster } = await director.challenge(scope);
  const token = await deps.joinToken();
  const body: EnrolSystem = {
    token,
    nonce,
    identityKey: trust.identityKey,
    ...facts,
    name: deps.name,
    master,
  };
  const answer = await director.enrol(scope, trust.signEnrolment(body, { cluster, nowMs }));
  if (answer.fp !== trust.fp || answer.id === null) {
    throw new SalarError("bad-peer", "Cannot enrol: the director's answer is not for this system");
  }
  requirePinned(token, answer.clusterKey);
  const state: AgentState = {
    v: 1,
    fp: answer.fp,
    id: answer.id,
    zone: answer.zone,
    cluster: answer.cluster,
    clusterKey: answer.clusterKey,
    lastSeq: answer.lastSeq,
    lastEpoch: 0,
    reports: [],
  };
  await writeState(deps.disk, deps.folder, state);
  deps.log.info("enrolled", { system: state.id, zone: state.zone, cluster: state.cluster });
  return state;
}

/** One enrolled agent. Only `follow` changes its state, so there is one writer of the state file. */
class ClientAgent {
  readonly #deps: ClientAgentDeps;
  readonly #director: Director;
  #state: AgentState;

  constructor(deps: ClientAgentDeps, director: Director, state: AgentState) {
    this.#deps = deps;
    this.#director = director;
    this.#state = state;
  }

  /** Rounds until the scope ends; a failed one is followed by a wait that grows. */
  async follow(scope: Scope): Promise<never> {
    for (let failures = 0;;) {
      try {
        await this.#round(scope);
        failures = 0;
      } catch (error) {
        if (scope.signal.aborted) throw error;
        failures++;
        this.#deps.log.warn("round failed", { reason: messageOf(error), failures });
        await scope.sleep(backoffMs(scope.random, failures, CLIENT_BACKOFF));
      }
    }
  }

  async #round(scope: Scope): Promise<void> {
    await this.#finishInterrupted(scope);
    await this.#sendReports(scope);

    const askedAtMs = scope.monoMs();
    const query = { after: this.#state.lastSeq, waitMs: LONG_POLL_MS };
    const { directives } = await this.#director.directives(scope, query);
    const doneBefore = this.#state.lastSeq;
    for (const text of directives) {
      const directive = this.#deps.trust.openDirective(text, this.#state, scope.nowMs());
      if (directive.seq <= this.#state.lastSeq) {
        this.#deps.probe.sometimes("client agent: late directive");
        continue;
      }
      await this.#obey(scope, directive);
      await this.#sendReports(scope);
    }
    const restMs = CLIENT_POLL_MS_MIN - (scope.monoMs() - askedAtMs);
    if (this.#state.lastSeq === doneBefore && restMs > 0) await scope.sleep(restMs);
  }

  async #finishInterrupted(scope: Scope): Promise<void> {
    const journal = await readJournal(this.#deps);
    if (journal === null || journal.order.seq <= this.#state.lastSeq) return;
    this.#deps.probe.sometimes("client agent: move taken up again");
    await this.#settle(await resumeMove(scope, this.#deps, journal));
  }

  async #obey(scope: Scope, { seq, epoch, body }: Directive): Promise<void> {
    const parsed = DirectiveMove.safeParse(body);
    if (!parsed.success) {
      throw new SalarError("bad-peer", `Cannot follow directive ${seq}: its body is not of the agreed form`);
    }
    const { plan, system, master, masterKey } = parsed.data;
    if (epoch <= this.#state.lastEpoch || system !== this.#state.id) {
      const reason = system === this.#state.id ? "late directive" : `directive for system ${system}`;
      this.#deps.probe.sometimes("client agent: directive of an old epoch");
      return await this.#record({ seq, epoch, plan, outcome: "back", reason });
    }
    this.#deps.log.info("move begins", { seq, epoch, plan, master });
    await this.#settle(await move(scope, this.#deps, { seq, epoch, plan, master, masterKey }));
  }

  async #settle({ order: { seq, epoch, plan }, step, reason }: MoveJournal): Promise<void> {
    const outcome = step === "there" ? "there" : "back";
    this.#deps.probe.sometimes(`client agent: move ended ${outcome}`);
    await this.#record({ seq, epoch, plan, outcome, reason: reason.slice(0, REASON_CHARS_MAX) });
  }

  async #record(report: MoveReport): Promise<void> {
    this.#deps.log.info("directive done", { ...report });
    await this.#keep(withReport(this.#state, report));
  }

  /** A report that cannot be sent now waits; the round goes on, and fails by itself when the director is gone. */
  async #sendReports(scope: Scope): Promise<void> {
    for (const report of this.#state.reports) {
      try {
        await this.#director.report(scope, report);
      } catch (error) {
        if (scope.signal.aborted) throw error;
        this.#deps.log.warn("report not taken", { seq: report.seq, reason: messageOf(error) });
        if (!isRefusal(error)) return;
      }
      await this.#keep({ ...this.#state, reports: this.#state.reports.filter((other) => other !== report) });
    }
  }

  async #keep(state: AgentState): Promise<void> {
    await writeState(this.#deps.disk, this.#deps.folder, state);
    this.#state = state;
  }

  /** One heartbeat. Losing one does no harm, so a failure is only a debug line. */
  async beat(scope: Scope): Promise<void> {
    try {
      // Agents that were started together drift apart.
      await scope.sleep(scope.random.below(CLIENT_BEAT_MS / 10));
      const { master } = await this.#deps.minion.setting();
      const rttMs = master === null ? null : await this.#rttMs(scope, master);
      await this.#director.beat(scope, { rttMs, master, epoch: this.#state.lastEpoch });
    } catch (error) {
      if (scope.signal.aborted) throw error;
      this.#deps.log.debug("heartbeat lost", { reason: messageOf(error) });
    }
  }

  async #rttMs(scope: Scope, host: string): Promise<number | null> {
    try {
      const target = { host, port: PUBLISH_PORT };
      return await scope.timeout(
        MINION_CONNECT_MS_MAX,
        (limited) => this.#deps.net.connectMs(limited, target),
      );
    } catch (error) {
      if (scope.signal.aborted) throw error;
      return null;
    }
  }
}

/**
 * The director has understood and will not take it. Not so where a fault of its own is the reason, nor where a right is
 * missing that may be given back.
 */
function isRefusal(error: unknown): boolean {
  return isSalarError(error) && !error.retry && error.status < 500 &&
    !["unauthenticated", "forbidden"].includes(error.code);
}
