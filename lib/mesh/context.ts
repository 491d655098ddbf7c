/**
 * What a handler, a route or a tick is given: every seam, already connected, and nothing else.
 *
 * C1. A context lives for one invocation; `scope` ends with it. Nothing is kept between invocations.
 */
import type { Bus } from "../bus/bus.ts";
import type { Log } from "../log.ts";
import type { Crypt, Net, Probe, Scope, Signer } from "../seams.ts";
import type { Store } from "../store/store.ts";
import type { Lanes } from "./lanes.ts";

/** Counters and gauges by name; the host owns the registry and adds the function's name as a label. */
export interface Meter {
  count(name: string, by?: number, labels?: Record<string, string>): void;
  gauge(name: string, value: number, labels?: Record<string, string>): void;
  /** Milliseconds, into a histogram. */
  timeMs(name: string, ms: number, labels?: Record<string, string>): void;
}

export interface Context {
  scope: Scope;
  store: Store;
  bus: Bus;
  net: Net;
  crypt: Crypt;
  /** Signs directives and statements in the cluster's name. */
  signer: Signer;
  probe: Probe;
  log: Log;
  meter: Meter;
  /** Name of the cluster, such as `c-berlin`; part of every signed statement. */
  cluster: string;
  /** Name of this replica, unique in the cluster and stable over restarts: its audit lane and lease holder. */
  replica: string;
  /** One pool per process, made of `replica`. */
  lanes: Lanes;
}
