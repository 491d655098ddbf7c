/**
 * Circles in a graph of transactions that snapshot isolation forbids.
 *
 * G1. No two "read-write" edges in a row lie on such a circle. So each node is split: one half was entered by a
 *     read-write edge and cannot be left by another.
 * G2. Time is a chain of moments, one for each end of a transaction: it leads from its transaction to all that began
 *     later, with a few edges instead of one for each pair.
 * Source for the search: Tarjan's strongly connected components, without recursion.
 */
import type { Recorded } from "./history.ts";

export interface Edge {
  /**
   * `write-write`: `to` replaced what `from` wrote; `write-read`: saw it; `read-write`: replaced what `from` saw;
   * `time`: began after the end of `from`.
   */
  kind: "write-write" | "write-read" | "read-write" | "time";
  from: number;
  to: number;
  key: string;
}

/** @param timed The transactions that the numbers of `edges` mean, to add what the clock says; else none. */
export function circles(edges: readonly Edge[], timed: readonly Recorded[]): Edge[][] {
  const all = [...edges, ...timeEdges(timed)];
  const count = 1 + all.reduce((most, { from, to }) => Math.max(most, from, to), -1);
  const out: { edge: Edge; state: number }[][] = Array.from({ length: 2 * count }, () => []);
  for (const edge of all) {
    const replaces = edge.kind === "read-write";
    const state = 2 * edge.to + (replaces ? 1 : 0);
    out[2 * edge.from]?.push({ edge, state });
    if (!replaces) out[2 * edge.from + 1]?.push({ edge, state }); // G1
  }
  const moments = timed.length;
  const isShown = ({ from, to }: Edge) => moments === 0 || from < moments || to < moments;
  return components(out.map((next) => next.map(({ state }) => state)))
    .filter((component) => component.length > 1)
    .map((component) => shortest(out, component).filter(isShown));
}

/** G2. */
function timeEdges(transactions: readonly Recorded[]): Edge[] {
  const ends = transactions
    .flatMap(({ outcome, returnedAtMs }, from) =>
      outcome === "committed" && returnedAtMs !== null ? [{ from, returnedAtMs }] : []
    )
    .sort((a, b) => a.returnedAtMs - b.returnedAtMs);
  const moment = (at: number) => transactions.length + at;
  const edges = ends.map(({ from }, at): Edge => ({ kind: "time", from, to: moment(at), key: "" }));
  for (let at = 1; at < ends.length; at++) {
    edges.push({ kind: "time", from: moment(at - 1), to: moment(at), key: "" });
  }
  const begins = transactions.map(({ invokedAtMs }, to) => ({ to, invokedAtMs }))
    .sort((a, b) => a.invokedAtMs - b.invokedAtMs);
  let passed = 0;
  for (const { to, invokedAtMs } of begins) {
    while (passed < ends.length && (ends[passed]?.returnedAtMs ?? Infinity) < invokedAtMs) passed++;
    if (passed > 0) edges.push({ kind: "time", from: moment(passed - 1), to, key: "" });
  }
  return edges;
}

function components(next: readonly (readonly number[])[]): number[][] {
  const index = new Int32Array(next.length).fill(-1);
  const low = new Int32Array(next.length);
  const onStack = new Uint8Array(next.length);
  const stack: number[] = [];
  const found: number[][] = [];
  let visited = 0;
  for (let root = 0; root < next.length; root++) {
    if (index[root] !== -1) continue;
    const path: { node: number; edge: number }[] = [{ node: root, edge: 0 }];
    while (path.length > 0) {
      const frame = path.at(-1) as { node: number; edge: number };
      const { node } = frame;
      if (frame.edge === 0) {
        index[node] = low[node] = visited++;
        stack.push(node);
        onStack[node] = 1;
      }
      const to = next[node]?.[frame.edge++];
      if (to !== undefined) {
        if (index[to] === -1) path.push({ node: to, edge: 0 });
        else if (onStack[to] === 1) low[node] = Math.min(low[node] ?? 0, index[to] ?? 0);
        continue;
      }
      path.pop();
      const parent = path.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
      if (low[node] !== index[node]) continue;
      const component: number[] = [];
      let member: number;
      do {
        member = stack.pop() as number;
        onStack[member] = 0;
        component.push(member);
      } while (member !== node);
      found.push(component);
    }
  }
  return found;
}

/** A shortest circle through the first state of a component. */
function shortest(out: readonly { edge: Edge; state: number }[][], component: readonly number[]): Edge[] {
  const inside = new Set(component);
  const start = component[0] as number;
  const reached = new Map<number, { from: number; edge: Edge }>();
  const queue = [start];
  for (let at = 0; at < queue.length && !reached.has(start); at++) {
    const from = queue[at] as number;
    for (const { edge, state } of out[from] ?? []) {
      if (!inside.has(state) || reached.has(state)) continue;
      reached.set(state, { from, edge });
      queue.push(state);
    }
  }
  const circle: Edge[] = [];
  let state = start;
  do {
    const step = reached.get(state);
    if (step === undefined) throw new Error("a component without a circle");
    circle.unshift(step.edge);
    state = step.from;
  } while (state !== start);
  return circle;
}
