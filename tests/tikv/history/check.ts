/**
 * Whether a history is one of snapshot isolation in which every transaction sees what was committed before it began.
 *
 * First each transaction by itself and each key by itself; then all together: transactions are the nodes of a graph
 * whose edges say who came before whom, and a circle is a contradiction unless two steps of it in a row are
 * "read what the next one replaced", which snapshot isolation allows (write skew).
 * Sources: Adya's thesis for the edges; Cerone and Gotsman, "Analysing Snapshot Isolation", for the circles;
 * Elle (Kingsbury, Alvaro) for reading the order of versions off lists.
 */
import { circles, type Edge } from "./graph.ts";
import type { Anomaly, Model, Recorded } from "./history.ts";
import { type Orders, ordersOf } from "./orders.ts";

export function check(history: readonly Recorded[], model: Model): Anomaly[] {
  const anomalies = history.flatMap((transaction) => checkAlone(transaction, model));
  const orders = ordersOf(history, model);
  anomalies.push(...orders.anomalies, ...missing(history));
  const edges = edgesOf(orders);
  const apart = circles(edges, []);
  // Without a contradiction in what was seen, what the clock says is added; else it would only repeat it.
  const found = apart.length > 0 ? apart : circles(edges, orders.transactions);
  anomalies.push(...found.map(anomalyOf));
  return anomalies;
}

/** A transaction sees one state, and its own changes over it. */
function checkAlone({ id, steps }: Recorded, model: Model): Anomaly[] {
  const views = new Map<string, readonly string[]>();
  return steps.flatMap((step): Anomaly[] => {
    const view = views.get(step.key);
    if (step.kind === "write") {
      if (view === undefined) throw new Error(`transaction ${id} wrote ${step.key} without reading it`);
      views.set(step.key, model === "list" ? [...view, step.value] : [step.value]);
      return [];
    }
    views.set(step.key, step.seen);
    if (view === undefined || sameValues(view, step.seen)) return [];
    const text = `${id} saw ${shown(step.seen)} in ${step.key} where ${shown(view)} was`;
    return [{ kind: "non-repeatable read", text }];
  });
}

/** Commits that nobody ever saw, though somebody looked afterwards. */
function missing(history: readonly Recorded[]): Anomaly[] {
  const seen = new Set<string>();
  const lastLookMs = new Map<string, number>();
  for (const { steps, invokedAtMs, outcome } of history) {
    const own = new Set(steps.flatMap((step) => step.kind === "write" ? [step.value] : []));
    for (const step of steps) {
      if (step.kind === "write") continue;
      if (outcome === "committed") {
        lastLookMs.set(step.key, Math.max(lastLookMs.get(step.key) ?? -Infinity, invokedAtMs));
      }
      for (const value of step.seen) if (!own.has(value)) seen.add(value);
    }
  }
  return history.flatMap(({ id, steps, outcome, returnedAtMs }): Anomaly[] => {
    if (outcome !== "committed" || returnedAtMs === null) return [];
    return steps.flatMap((step, at): Anomaly[] => {
      if (step.kind === "read" || seen.has(step.value)) return [];
      if (steps.some((other, later) => later > at && other.kind === "write" && other.key === step.key)) {
        return [];
      }
      if ((lastLookMs.get(step.key) ?? -Infinity) <= returnedAtMs) return [];
      return [{ kind: "acknowledged but missing", text: `${step.value} of ${id} in ${step.key}` }];
    });
  });
}

/** Who came before whom by what they saw; the numbers of the nodes are those of `transactions`. */
function edgesOf({ transactions, writers, orders }: Orders): Edge[] {
  const edges: Edge[] = [];
  const add = (kind: Edge["kind"], from: number | undefined, to: number | undefined, key: string) => {
    if (from !== undefined && to !== undefined && from !== to) edges.push({ kind, from, to, key });
  };
  for (const [key, { values }] of orders) {
    for (let at = 1; at < values.length; at++) {
      add("write-write", writers.get(values[at - 1] ?? ""), writers.get(values[at] ?? ""), key);
    }
  }
  transactions.forEach(({ steps }, reader) => {
    const own = new Set<string>();
    for (const step of steps) {
      if (step.kind === "write") {
        own.add(step.key);
        continue;
      }
      if (own.has(step.key)) continue; // it sees its own
      const { values, places } = orders.get(step.key) ?? { values: [], places: new Map<string, number>() };
      const last = step.seen.at(-1);
      const place = last === undefined ? -1 : places.get(last);
      if (place === undefined) continue; // of a branch that was told of already
      add("write-read", writers.get(last ?? ""), reader, step.key);
      const next = values.findIndex((value, at) => at > place && writers.get(value) !== reader);
      // Of its own appends nothing follows that it could have seen.
      if (next === place + 1) add("read-write", reader, writers.get(values[next] ?? ""), step.key);
    }
  });
  return edges;
}

function anomalyOf(circle: readonly Edge[]): Anomaly {
  const replaced = circle.filter(({ kind }) => kind === "read-write").length;
  const text = circle.map(({ kind, from, to, key }) => `${from} ${kind}${key && ` (${key})`} ${to}`).join(
    ", ",
  );
  if (circle.some(({ kind }) => kind === "time")) return { kind: "stale read", text };
  if (replaced === 0) return { kind: "circular flow", text };
  return { kind: replaced === 1 ? "read skew" : "long fork", text };
}

function sameValues(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, at) => value === b[at]);
}

function shown(values: readonly string[]): string {
  return `[${values.join(" ")}]`;
}
