/**
 * The host: runs any set of functions, on what it is given. One process may run all of them, or one in many replicas.
 *
 * In: functions as values, and every seam, already connected. Out: a `Host`.
 * O1. Nothing starts unless the whole set is sound (`check.ts`).
 * O2. While store or bus is gone it takes no work, and resumes by itself: routes answer 503, ticks pause, and
 *     subscriptions are given back when it is the store that is gone, so that other replicas get the messages.
 * O3. `drain` loses nothing: requests, messages and ticks that were begun end, for DRAIN_MS_MAX at most; what is left
 *     then is cut off, unacknowledged, and comes again elsewhere.
 * O4. Killing it at any moment loses nothing that was accepted: durable messages are unacked, the store is the truth.
 */
import type { Bus, Subscription } from "../bus/bus.ts";
import { isSalarError } from "../errors.ts";
import { DRAIN_MS_MAX } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Crypt, Net, Probe, Scope, Signer } from "../seams.ts";
import type { Store } from "../store/store.ts";
import { checkFunctions } from "./check.ts";
import type { MeshFunction } from "./function.ts";
import { type Gate, watchGate } from "./gate.ts";
import type { Role } from "./handler.ts";
import { createHouse, type DocsFiles } from "./house.ts";
import { type AppParts, createApp } from "./http.ts";
import { Lanes } from "./lanes.ts";
import { subscribeAll } from "./messages.ts";
import { createMetrics, type ProcessFacts } from "./metrics.ts";
import { openApi } from "./openapi.ts";
import { type Listen, listen, type Listening } from "./serve.ts";
import { runTicks } from "./ticks.ts";
import type { Trust } from "./trust.ts";
import type { Workplace } from "./work.ts";

export interface HostOptions {
  functions: readonly MeshFunction[];
  /** Life of the process; when it ends, everything here ends at once, without a drain. */
  scope: Scope;
  store: Store;
  bus: Bus;
  net: Net;
  crypt: Crypt;
  signer: Signer;
  probe: Probe;
  log: Log;
  cluster: string;
  replica: string;
  trust: Trust;
  /** Null where nobody listens: `fetch` answers all the same. */
  http: Listen | null;
  /** Audit lanes, when several hosts of one process share a replica's name. */
  lanes?: Lanes;
  /** @default "viewer" */
  metricsRole?: Role;
  processFacts?: ProcessFacts;
  /** @default null: no `/docs` */
  docs?: DocsFiles | null;
  /** Told which route answers a request, to name its span. */
  onRoute?: AppParts["onRoute"];
  /** Of the OpenAPI document. @default "0" */
  version?: string;
}

export interface Host {
  /** Where it listens; null without `http`. */
  readonly url: string | null;
  /** Answers a request as the listener would. */
  fetch(request: Request): Promise<Response>;
  /** Whether it should be given work, and why not. */
  ready(): { ready: boolean; reasons: string[] };
  /** O3. Store and bus stay open: they were given. Safe to call twice. */
  drain(): Promise<void>;
}

/** @throws `bad-config` (O1); `unavailable` when store or bus cannot be reached. */
export async function startHost(options: HostOptions): Promise<Host> {
  const { functions, scope, trust, http, log, store, bus, docs = null } = options;
  const stopping = new AbortController();
  const ending = new AbortController();
  const place = workplaceOf(options, scope.child("work", ending.signal), stopping.signal);

  const intake = createIntake(place, functions, trust);
  const reasons = () => [...(stopping.signal.aborted ? ["this replica is draining"] : []), ...gate.reasons()];
  const house = createHouse({
    metrics: place.metrics,
    reasons,
    metricsRole: options.metricsRole ?? "viewer",
    api: () => openApi(functions, { title: "Salar", version: options.version ?? "0" }),
    docs,
  });
  checkFunctions([house, ...functions]);

  await bus.ensureStreams(scope, functions.flatMap(({ streams }) => streams));
  const gate: Gate = watchGate(
    place.scope,
    { store, bus, log },
    (there) => there ? intake.open() : intake.close(),
  );
  const ticks = runTicks(place, [house, ...functions], gate);
  const fetch = createApp({ place, trust, functions, gate, house, onRoute: options.onRoute });
  let listening: Listening | null = null;
  try {
    await intake.open();
    listening = http === null ? null : listen(place.scope, log, http, fetch);
  } catch (error) {
    stopping.abort();
    ending.abort(); // half a host is none: what was started ends
    throw error;
  }
  const url = listening?.url ?? null;
  log.info("host started", { functions: functions.map(({ name }) => name), url });

  let drained: Promise<void> | null = null;
  return {
    url,
    fetch,
    ready: () => ({ ready: reasons().length === 0, reasons: reasons() }),
    drain: () => drained ??= drain(place, { stopping, ending, listening, intake, ticks }),
  };
}

function workplaceOf(options: HostOptions, scope: Scope, stopping: AbortSignal): Workplace {
  const { store, bus, net, crypt, signer, probe, cluster, replica, log } = options;
  const lanes = options.lanes ?? new Lanes(replica);
  return {
    seams: { store, bus, net, crypt, signer, probe, cluster, replica, lanes },
    scope,
    stopping,
    log,
    metrics: createMetrics(options.processFacts),
    running: new Set(),
  };
}

/** The subscriptions of a host, taken and given back as a whole. Whatever is asked happens in turn, and may be repeated. */
interface Intake {
  open(): Promise<void>;
  close(): Promise<void>;
  /** Closes; no later `open` has an effect. */
  end(): Promise<void>;
}

function createIntake(place: Workplace, functions: readonly MeshFunction[], trust: Trust): Intake {
  let subscriptions: Subscription | null = null;
  let ended = false;
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const turn = last.then(work);
    last = turn.catch(() => {}); // told to whoever asked for it
    return turn;
  };
  const open = async () => {
    if (!ended) subscriptions ??= await subscribeAll(place, functions, trust);
  };
  const close = async () => {
    const closing = subscriptions;
    subscriptions = null;
    await closing?.drain();
  };
  return {
    open: () => inTurn(open),
    close: () => inTurn(close),
    end() {
      ended = true;
      return inTurn(close);
    },
  };
}

interface Ending {
  stopping: AbortController;
  ending: AbortController;
  listening: Listening | null;
  intake: Intake;
  ticks: Promise<void>;
}

async function drain(
  place: Workplace,
  { stopping, ending, listening, intake, ticks }: Ending,
): Promise<void> {
  const { scope, log, running } = place;
  const startMs = scope.monoMs();
  stopping.abort();
  const orderly = async () => {
    await Promise.all([listening?.shutdown(), intake.end(), ticks]);
    while (running.size > 0) await Promise.all(running); // direct calls of `fetch`
  };
  try {
    await scope.timeout(DRAIN_MS_MAX, orderly);
    log.info("host drained", { ms: Math.round(scope.monoMs() - startMs) });
  } catch (error) {
    if (!isSalarError(error)) throw error;
    log.warn("host cut off", { running: running.size, error });
  } finally {
    ending.abort();
  }
}
