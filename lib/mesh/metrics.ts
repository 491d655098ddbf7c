/**
 * Counters of one host in Prometheus' format: every piece of work by outcome, what functions count, the process.
 *
 * M1. One registry per host, none in the module. Names begin with `salar_`; times are seconds, as Prometheus wants.
 * M2. Label values come from small fixed sets (names, outcomes), never from input: each set is a series for ever.
 */
import { Counter, Gauge, Histogram, type Metric, Registry } from "prom-client";
import { assert } from "../errors.ts";
import type { Meter } from "./context.ts";

export interface Metrics {
  /** The meter of one function: its name is the label `function`. */
  meter(owner: string): Meter;
  /** One piece of work that ended, by its labels. */
  work(ended: { function: string; kind: string; work: string; outcome: string }, ms: number): void;
  /** The page that Prometheus reads. */
  text(): Promise<string>;
}

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Readings of the process at the moment of asking, by metric name: `process_resident_memory_bytes`, … */
export type ProcessFacts = () => Record<string, number>;

type Labels = Record<string, string>;
const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30];

export function createMetrics(processFacts: ProcessFacts = () => ({})): Metrics {
  const registry = new Registry();
  const made = new Map<string, Metric>();

  /** The metric of that name, made at first use; its label names are fixed from then on. */
  function metric<M extends Metric>(
    kind: new (configuration: MetricConfiguration) => M,
    name: string,
    help: string,
    labelNames: string[],
  ): M {
    assert(/^salar_[a-z][a-z0-9_]*$/.test(name), `metric "${name}" is lower-case words joined by _`);
    const found = made.get(name) ?? new kind({
      name,
      help,
      labelNames,
      registers: [registry],
      ...(kind.name === "Histogram" ? { buckets: SECONDS } : {}),
    });
    assert(found instanceof kind, `metric "${name}" is always of one kind`);
    made.set(name, found);
    return found;
  }

  const count = (name: string, by: number, labels: Labels) =>
    metric(Counter, name, "Counted by a function.", Object.keys(labels)).inc(labels, by);
  const seconds = (name: string, ms: number, labels: Labels) =>
    metric(Histogram, name, "Timed by a function.", Object.keys(labels)).observe(labels, ms / 1_000);

  return {
    meter: (owner) => ({
      count: (name, by = 1, labels = {}) => count(`salar_${name}_total`, by, { function: owner, ...labels }),
      gauge: (name, value, labels = {}) => {
        const all = { function: owner, ...labels };
        metric(Gauge, `salar_${name}`, "Set by a function.", Object.keys(all)).set(all, value);
      },
      timeMs: (name, ms, labels = {}) => seconds(`salar_${name}_seconds`, ms, { function: owner, ...labels }),
    }),

    work({ outcome, ...labels }, ms) {
      count("salar_work_total", 1, { ...labels, outcome });
      seconds("salar_work_seconds", ms, labels);
    },

    async text() {
      const facts = Object.entries(processFacts()).map(([name, value]) =>
        `# TYPE ${name} gauge\n${name} ${value}\n`
      );
      return await registry.metrics() + facts.join("");
    },
  };
}

interface MetricConfiguration {
  name: string;
  help: string;
  labelNames: string[];
  registers: Registry[];
  buckets?: number[];
}
