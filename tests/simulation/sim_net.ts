/**
 * HTTP between agents and replicas: a balancer before them, and a network that loses, doubles, delays and cuts off.
 *
 * N1. A replica that dies ends what it was answering: its callers see a broken connection.
 * N2. Something on the way may keep what it must not: an agent that asks for directives gets an earlier answer again.
 */
import { SalarError } from "../../lib/errors.ts";
import type { Net } from "../../lib/seams.ts";
import type { Faults } from "./faults.ts";
import { type Life, never } from "./life.ts";
import { pick } from "./random.ts";

const LATENCY_MS_MAX = 20;
const HELD_MS_MAX = 8_000;
const DIRECTIVES = "/v1/directives?";
const NO_DIRECTIVES = '"directives":[]';

/** A replica that answers. */
export interface Answering {
  life: Life;
  fetch(request: Request): Promise<Response>;
}

export interface NetWay {
  faults: Faults;
  /** The replicas that take this path now. */
  replicasFor(path: string): readonly Answering[];
  /** N2: by process, the last answer with directives that it was given. */
  kept: Map<string, Response>;
  /** Whether a TCP connect to that master would be answered. */
  masterAnswers(host: string): boolean;
}

export function simNet(life: Life, { faults, replicasFor, kept, masterAnswers }: NetWay): Net {
  const { kernel } = life;
  const random = life.random.fork("net");
  const site = (kind: Parameters<Faults["site"]>[0]) => faults.site(kind, `net.${life.name}`);
  const [isLost, isUnheard, isTwice, isHeld, isStale] = [
    site("loss"),
    faults.site("loss", `net-back.${life.name}`),
    site("duplicate"),
    site("reorder"),
    site("stale-answer"),
  ];
  const legMs = () => 1 + random.below(isHeld() ? HELD_MS_MAX : LATENCY_MS_MAX);
  const unreachable = () => new SalarError("unavailable", "Cannot reach the director: connection refused");

  /** One copy of a request on its way to one replica; calls back at most once. */
  function carry(
    request: Request,
    replica: Answering,
    answered: (answer: Response | SalarError) => void,
  ): void {
    kernel.after(legMs(), () => {
      if (replica.life.isDead() || replica.life.isCut("net")) return answered(unreachable());
      const forget = replica.life.onKill(() => answered(unreachable()));
      replica.life.enter(() => replica.fetch(request))
        .then((response) => asKept(request, response))
        .then((response) => {
          forget();
          answered(response);
        });
    });
  }

  /** N2. */
  async function asKept({ url }: Request, answer: Response): Promise<Response> {
    if (!faults.isOn("stale-answer") || !url.includes(DIRECTIVES) || answer.status !== 200) return answer;
    const earlier = kept.get(life.name);
    if (earlier !== undefined && isStale()) return earlier.clone();
    const text = await answer.clone().text();
    if (!text.includes(NO_DIRECTIVES)) kept.set(life.name, new Response(text));
    return answer;
  }

  return {
    request(_scope, request) {
      if (life.isDead() || life.isCut("net") || isLost()) return never(); // the caller's own limit ends it
      const replicas = replicasFor(new URL(request.url).pathname);
      return new Promise((resolve, reject) => {
        const settle = (answer: Response | SalarError) =>
          kernel.after(legMs(), () => {
            if (life.isCut("net") || isUnheard()) return;
            life.deliver(() => answer instanceof Response ? resolve(answer) : reject(answer));
          });
        if (replicas.length === 0) return void settle(unreachable());
        if (isTwice()) carry(request.clone(), pick(random, replicas), () => {});
        carry(request, pick(random, replicas), settle);
      });
    },
    connectMs(_scope, { host }) {
      if (life.isDead() || life.isCut("net")) return never();
      return new Promise((resolve, reject) => {
        const ms = legMs();
        kernel.after(
          ms,
          () =>
            life.deliver(() =>
              masterAnswers(host)
                ? resolve(ms)
                : reject(new SalarError("unavailable", `Cannot reach ${host}: nobody answers`))
            ),
        );
      });
    },
  };
}
