/**
 * In which order the values of each key followed each other, read off what transactions saw.
 *
 * O1. A transaction that failed wrote nothing; one of unknown end did when somebody saw what it wrote.
 * O2. Of several values that one transaction writes to a register only the last one counts; of a list they stand
 *     together.
 */
import type { Anomaly, Model, Recorded } from "./history.ts";

export interface Order {
  values: readonly string[];
  /** Of each value in `values`. */
  places: ReadonlyMap<string, number>;
}

export interface Orders {
  /** Those that took place, by O1. */
  transactions: readonly Recorded[];
  /** Value → number of the transaction in `transactions`. */
  writers: ReadonlyMap<string, number>;
  orders: ReadonlyMap<string, Order>;
  anomalies: Anomaly[];
}

export function ordersOf(history: readonly Recorded[], model: Model): Orders {
  const anomalies = [...dirtyReads(history, model)];
  const transactions = tookPlace(history);
  const writers = new Map<string, number>();
  transactions.forEach(({ steps }, number) => {
    for (const step of steps) if (step.kind === "write") writers.set(step.value, number);
  });
  const keys = new Set(transactions.flatMap(({ steps }) => steps.map(({ key }) => key)));
  const orderOf = model === "list" ? listOrders : registerOrders;
  const orders = new Map<string, Order>();
  for (const [key, values] of orderOf(transactions, keys, anomalies)) {
    orders.set(key, { values, places: new Map(values.map((value, place) => [value, place])) });
  }
  return { transactions, writers, orders, anomalies };
}

/** O1. */
function tookPlace(history: readonly Recorded[]): Recorded[] {
  const seen = new Set<string>();
  for (const { id, steps } of history) {
    const own = ownValues(steps);
    for (const step of steps) {
      if (step.kind === "read") { for (const value of step.seen) if (!own.has(value)) seen.add(value); }
    }
    if (id === "") throw new Error("a transaction needs an id");
  }
  const wasSeen = (step: Recorded["steps"][number]) => step.kind === "write" && seen.has(step.value);
  return history.filter(({ outcome, steps }) =>
    outcome === "committed" || outcome === "unknown" && steps.some(wasSeen)
  );
}

function dirtyReads(history: readonly Recorded[], model: Model): Anomaly[] {
  const writers = new Map<string, { by: Recorded; replacedBy: string | null }>();
  for (const by of history) {
    const last = new Map<string, string>();
    for (const step of by.steps) {
      if (step.kind === "read") continue;
      if (writers.has(step.value)) throw new Error(`value ${step.value} was written twice`);
      writers.set(step.value, { by, replacedBy: null });
      const before = writers.get(last.get(step.key) ?? "");
      if (before !== undefined) before.replacedBy = step.value;
      last.set(step.key, step.value);
    }
  }
  return history.flatMap(({ id, steps }): Anomaly[] =>
    steps.flatMap((step): Anomaly[] => {
      if (step.kind === "write") return [];
      const values = new Set(step.seen);
      return step.seen.flatMap((value): Anomaly[] => {
        const writer = writers.get(value);
        if (writer?.by.id === id) return [];
        const text = (what: string) => `${id} saw ${value} in ${step.key}, ${what}`;
        if (writer === undefined) return [{ kind: "dirty read", text: text("which nobody wrote") }];
        if (writer.by.outcome === "failed") {
          return [{ kind: "dirty read", text: text(`of ${writer.by.id}, which failed`) }];
        }
        const { replacedBy } = writer;
        if (replacedBy === null || model === "list" && values.has(replacedBy)) return [];
        return [{ kind: "dirty read", text: text(`which ${writer.by.id} replaced by ${replacedBy} itself`) }];
      });
    })
  );
}

/** Each transaction names what it replaced: a chain from the absent key on. */
function registerOrders(
  transactions: readonly Recorded[],
  keys: ReadonlySet<string>,
  anomalies: Anomaly[],
): Map<string, string[]> {
  const next = new Map<string, { value: string; by: string }>();
  const ABSENT = "";
  for (const { id, steps } of transactions) {
    for (const [key, { before, values }] of writesOf(steps)) {
      const link = JSON.stringify([key, before.at(-1) ?? ABSENT]);
      const value = values.at(-1) ?? "";
      const rival = next.get(link);
      if (rival === undefined) next.set(link, { value, by: id });
      else anomalies.push({ kind: "lost update", text: `${id} and ${rival.by} replaced ${link}` });
    }
  }
  return new Map([...keys].map((key) => {
    const values: string[] = [];
    for (let last = ABSENT;;) {
      const following = next.get(JSON.stringify([key, last]));
      if (following === undefined || values.length > transactions.length) return [key, values];
      values.push(last = following.value);
    }
  }));
}

/** The longest list that was there at any time; every other one has to be a beginning of it. */
function listOrders(
  transactions: readonly Recorded[],
  keys: ReadonlySet<string>,
  anomalies: Anomaly[],
): Map<string, string[]> {
  const longest = new Map<string, string[]>([...keys].map((key) => [key, []]));
  const states: { key: string; values: string[]; by: string; isOwn: boolean }[] = [];
  for (const { id, steps } of transactions) {
    for (const step of steps) {
      if (step.kind === "read") states.push({ key: step.key, values: [...step.seen], by: id, isOwn: false });
    }
    for (const [key, { before, values }] of writesOf(steps)) {
      states.push({ key, values: [...before, ...values], by: id, isOwn: true });
    }
  }
  // What others saw outweighs what a writer must have left.
  for (const isOwn of [false, true]) {
    for (const { key, values } of states.filter((state) => state.isOwn === isOwn)) {
      const known = longest.get(key) ?? [];
      if (values.length > known.length && (!isOwn || isBeginning(known, values))) longest.set(key, values);
    }
  }
  for (const { key, values, by, isOwn } of states) {
    if (isBeginning(values, longest.get(key) ?? [])) continue;
    const kind = isOwn ? "lost update" : "lost append";
    const text =
      `${by} ${isOwn ? "left" : "saw"} ${key} as [${values.join(" ")}], which is no beginning of ` +
      `[${longest.get(key)?.join(" ")}]`;
    anomalies.push({ kind, text });
  }
  return longest;
}

/** Key → what a transaction saw before its first write, and all that it wrote. */
function writesOf(steps: Recorded["steps"]): Map<string, { before: readonly string[]; values: string[] }> {
  const seen = new Map<string, readonly string[]>();
  const writes = new Map<string, { before: readonly string[]; values: string[] }>();
  for (const step of steps) {
    const written = writes.get(step.key);
    if (step.kind === "read") {
      if (written === undefined) seen.set(step.key, step.seen);
    } else if (written !== undefined) written.values.push(step.value);
    else writes.set(step.key, { before: seen.get(step.key) ?? [], values: [step.value] });
  }
  return writes;
}

function ownValues(steps: Recorded["steps"]): Set<string> {
  return new Set(steps.flatMap((step) => step.kind === "write" ? [step.value] : []));
}

function isBeginning(short: readonly string[], long: readonly string[]): boolean {
  return short.length <= long.length && short.every((value, at) => value === long[at]);
}
