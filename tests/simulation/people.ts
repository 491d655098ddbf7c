/**
 * People: they set the cluster up, drain, pin, move, pause and cancel while everything fails, and tidy up at the end.
 *
 * P1. What they must get done they ask for again, under the same idempotency key, until it is answered.
 */
import { Minted } from "../../lib/cluster/testing.ts";
import { isSalarError } from "../../lib/errors.ts";
import type { Net, Random, Scope } from "../../lib/seams.ts";
import { DIRECTOR_URL, type Mesh } from "./mesh.ts";
import { pick } from "./random.ts";
import { ANNEX } from "./scale.ts";
import type { Seen } from "./seen.ts";
import type { NodeMachine, World } from "./world.ts";

const ASK_MS = 5_000;
/** How often a zone is removed under the eyes of one system, and how long after that has begun to enrol. */
const FUMBLES_MAX = 4;
const FUMBLE_MS_MAX = 80;

export interface PeopleOptions {
  scope: Scope;
  net: Net;
  random: Random;
  world: World;
  mesh: Mesh;
  seen: Seen;
  adminToken: string;
  tell: (text: string) => void;
}

interface Answer {
  status: number;
  body: unknown;
}

export class People {
  readonly #options: PeopleOptions;
  readonly #random: Random;

  constructor(options: PeopleOptions) {
    this.#options = options;
    this.#random = options.random;
  }

  /** Zones, tokens, nodes and agents, in the order in which a cluster comes up. */
  async setUp(): Promise<void> {
    const { world, mesh, scope } = this.#options;
    for (const zone of new Set(world.nodes.map(({ zone }) => zone))) {
      await this.#must("POST", "/v1/zones", { name: zone, description: "", fallback: true });
      for (const kind of ["node", "system"]) {
        mesh.joinTokens.set(`${kind}/${zone}`, await this.#joinToken(kind, zone));
      }
    }
    for (const agent of mesh.nodeAgents.values()) agent.start();
    scope.spawn("annex", () => this.#fumble());
    for (const node of world.nodes) {
      while ((await this.#must("GET", `/v1/nodes/${node.fp}`)).status !== 200) await scope.sleep(1_000);
      await this.#must("POST", `/v1/nodes/${node.fp}/accept`, { why: "set up" });
    }
    for (const [{ zone }, agent] of mesh.clientAgents) {
      if (zone === ANNEX) continue;
      agent.start();
      await scope.sleep(this.#random.below(100));
    }
  }

  /**
   * A zone is removed while a system enrols into it, again and again: one of the two comes first, and the other must be
   * refused. Whoever forgets a lock lets both pass.
   */
  async #fumble(): Promise<void> {
    const { mesh, seen, scope } = this.#options;
    const random = this.#random.fork("annex");
    for (const [{ zone, minionId }, agent] of mesh.clientAgents) {
      if (zone !== ANNEX) continue;
      const isEnrolled = () => [...seen.systems.values()].some((system) => system.minionId === minionId);
      for (let tries = 0; tries < FUMBLES_MAX && !isEnrolled(); tries++) {
        await this.#openAnnex();
        agent.stop();
        agent.start();
        await scope.sleep(random.below(FUMBLE_MS_MAX));
        await this.#may("DELETE", `/v1/zones/${ANNEX}?why=people`);
      }
    }
  }

  /** As far as it can be done now; a removal that was long on its way may undo it. */
  async #openAnnex(): Promise<void> {
    const { mesh, seen } = this.#options;
    if (!seen.zones.has(ANNEX)) await this.#must("POST", "/v1/zones", { name: ANNEX, fallback: true });
    if (mesh.joinTokens.has(`system/${ANNEX}`)) return;
    const token = await this.#askJoinToken("system", ANNEX);
    if (token !== null) mesh.joinTokens.set(`system/${ANNEX}`, token);
  }

  /** A repeat of a lost answer that held a secret is a conflict: another token is asked for. */
  async #joinToken(kind: string, zone: string): Promise<string> {
    for (;;) {
      const token = await this.#askJoinToken(kind, zone);
      if (token !== null) return token;
    }
  }

  async #askJoinToken(kind: string, zone: string): Promise<string | null> {
    const { status, body } = await this.#must("POST", "/v1/join-tokens", { kind, zone, uses: 1_000 });
    return status < 300 ? Minted.parse(body).token : null;
  }

  /** One thing that somebody takes into their head. Refusals are fine. */
  async meddle(): Promise<void> {
    const { world, seen } = this.#options;
    const node = pick(this.#random, world.nodes);
    const system = pick(this.#random, [...seen.systems.keys(), 0]);
    const plan = pick(this.#random, [...seen.openPlans, ""]);
    const why = { why: "people" };
    switch (this.#random.below(9)) {
      case 0:
      case 1:
        await this.#may("POST", `/v1/nodes/${node.fp}/drain`, why);
        return await this.#haveSecondThoughts(node);
      case 2:
        return await this.#may("POST", `/v1/nodes/${node.fp}/undrain`, why);
      case 3:
        return await this.#may("POST", `/v1/nodes/${node.fp}/uncordon`, why);
      case 4:
        return await this.#may("POST", `/v1/nodes/${node.fp}/cordon`, why);
      case 5:
        return await this.#may("PUT", `/v1/systems/${system}/pin`, { node: node.fp, ...why });
      case 6:
        return await this.#may("POST", `/v1/systems/${system}/move`, { to: node.fp, ...why });
      case 7:
        return await this.#may("POST", `/v1/plans/${plan}/${pick(this.#random, ["pause", "cancel"])}`, why);
      default:
        return await this.#may("POST", `/v1/plans/${plan}/resume`, why);
    }
  }

  /** Half of all drains are stopped soon, when some moves are under way and some are not. */
  async #haveSecondThoughts({ fp }: NodeMachine): Promise<void> {
    if (this.#random.below(2) === 0) return;
    const { scope, seen } = this.#options;
    await scope.sleep(this.#random.below(4_000));
    const plan = [...seen.openPlans].find((open) => seen.plans.get(open)?.node === fp);
    if (plan !== undefined) await this.#may("POST", `/v1/plans/${plan}/cancel`, { why: "second thoughts" });
  }

  /** Leaves nothing paused, pinned or closed to systems, as often as it takes. */
  async tidyUp(): Promise<void> {
    const { world, mesh, seen, scope } = this.#options;
    for (;;) {
      for (const plan of seen.openPlans) {
        if (seen.plans.get(plan)?.state === "paused") {
          await this.#must("POST", `/v1/plans/${plan}/resume`, { why: "tidy" });
        }
      }
      for (const [id, { pin }] of seen.systems) {
        if (pin !== null) await this.#must("PUT", `/v1/systems/${id}/pin`, { node: null, why: "tidy" });
      }
      for (const node of world.nodes) await this.#open(node);
      await this.#openAnnex();
      for (const agent of mesh.clientAgents.values()) agent.start(); // who runs already goes on
      await scope.sleep(2_000);
    }
  }

  async #open({ fp }: NodeMachine): Promise<void> {
    const { seen } = this.#options;
    const state = seen.nodes.get(fp)?.state;
    const isDrained = ![...seen.openPlans].some((plan) => seen.plans.get(plan)?.node === fp);
    if (state === "draining" && isDrained) {
      await this.#must("POST", `/v1/nodes/${fp}/undrain`, { why: "tidy" });
    }
    if (state === "cordoned" || state === "drained") {
      await this.#must("POST", `/v1/nodes/${fp}/uncordon`, { why: "tidy" });
    }
  }

  async #may(method: string, path: string, body?: unknown): Promise<void> {
    try {
      const { status } = await this.#ask(method, path, body, this.#random.id());
      this.#options.tell(`people: ${method} ${path.slice(0, 40)}: ${status}`);
    } catch (error) {
      if (!isSalarError(error)) throw error;
    }
  }

  /** P1. */
  async #must(method: string, path: string, body?: unknown): Promise<Answer> {
    const key = this.#random.id();
    for (;;) {
      try {
        const answer = await this.#ask(method, path, body, key);
        if (answer.status < 500) return answer;
      } catch (error) {
        if (!isSalarError(error)) throw error;
      }
      await this.#options.scope.sleep(500);
    }
  }

  async #ask(method: string, path: string, body: unknown, key: string): Promise<Answer> {
    const { scope, net, adminToken } = this.#options;
    const headers = new Headers({ authorization: `Bearer ${adminToken}` });
    if (body !== undefined) {
      headers.set("content-type", "application/json");
      headers.set("idempotency-key", key);
    }
    const text = body === undefined ? null : JSON.stringify(body);
    return await scope.timeout(ASK_MS, async (limited) => {
      const request = new Request(new URL(path, DIRECTOR_URL), { method, headers, body: text });
      const response = await net.request(limited, request);
      const answer = await response.text();
      return { status: response.status, body: answer === "" ? null : JSON.parse(answer) };
    });
  }
}
