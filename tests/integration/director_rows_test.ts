/** Database changes become what the cluster knows, in whatever order and however often they come. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { VANISHED_MS } from "../../lib/limits.ts";
import type { RowChange } from "../../lib/cluster/protocol.ts";
import type { ClusterRig } from "../../lib/cluster/testing.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { clusterIdOf, localIdOf } from "../../lib/cluster/ids.ts";
import { clusterTest } from "./director_support.ts";
import { Events, Systems, SystemView } from "./director_replies.ts";

const channel = (op: RowChange["op"], id: number, label = `label-${id}`): RowChange => ({
  table: "rhnchannel",
  op,
  row: op === "truncate" ? {} : op === "delete" ? { id: String(id) } : { id: String(id), label },
  oldKey: null,
});
const shuffled = (all: number[]) => fc.shuffledSubarray(all, { minLength: all.length });
const machine = (digit: number) => String(digit).repeat(32);
const systemsOf = async (rig: ClusterRig) => (await rig.ask(Systems, "GET", "/v1/systems")).items;

async function channelsOf(rig: ClusterRig, fp: string): Promise<Record<string, string | null>> {
  const labels: Record<string, string | null> = {};
  for (let id = 1; id <= 4; id++) {
    const label = (await rig.row(fp, "rhnchannel", String(id)))?.["label"];
    if (label !== undefined) labels[id] = label;
  }
  return labels;
}

clusterTest("reordered, repeated and split in parts, changes end as they would in order", async (rig) => {
  const change = fc.oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom("insert", "update"), fc.integer({ min: 1, max: 4 })) },
    { weight: 2, arbitrary: fc.tuple(fc.constant("delete"), fc.integer({ min: 1, max: 4 })) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("truncate"), fc.constant(0)) },
  );
  const story = fc.array(fc.array(change, { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 })
    .chain((transactions) =>
      fc.record({
        transactions: fc.constant(transactions),
        order: shuffled([...transactions, ...transactions].map((_, at) => at % transactions.length)),
      })
    );
  await fc.assert(
    fc.asyncProperty(story, async ({ transactions, order }) => {
      const key = rig.newKey();
      const node = rig.nodeOf("n", key);
      const wanted = new Map<number, string>();
      const parts = transactions.map((transaction, lsn) =>
        transaction.map(([op, id], index) => {
          const label = `label-${lsn}-${index}`;
          if (op === "truncate") wanted.clear();
          else if (op === "delete") wanted.delete(id);
          else wanted.set(id, label);
          return channel(op as RowChange["op"], id, label);
        })
      );
      for (const at of order) { // each twice
        const changes = parts[at] ?? [];
        const half = Math.ceil(changes.length / 2);
        await node.changes(changes.slice(half), { lsn: at, first: half });
        await node.changes(changes.slice(0, half), { lsn: at, first: 0 });
      }
      assert.deepEqual(
        await channelsOf(rig, key.fp),
        Object.fromEntries([...wanted].map(([id, label]) => [String(id), label])),
      );
    }),
    { numRuns: 150 },
  );
});

clusterTest("an update keeps what it left out, also when it changes the key", async (rig) => {
  const node = rig.nodeOf("n", rig.newKey());
  const row = { id: "1", label: "a", name: "long text" };
  await node.changes([{ table: "rhnchannel", op: "insert", row, oldKey: null }]);
  await node.changes([{ table: "rhnchannel", op: "update", row: { id: "1", label: "b" }, oldKey: null }]);
  assert.deepEqual(await rig.row(node.fp, "rhnchannel", "1"), { ...row, label: "b" });
  const moved = { table: "rhnchannel", op: "update" as const, row: { id: "2" }, oldKey: { id: "1" } };
  for (let twice = 0; twice < 2; twice++) await node.changes([moved], { lsn: 3 });
  assert.equal(await rig.row(node.fp, "rhnchannel", "1"), null);
  assert.deepEqual(await rig.row(node.fp, "rhnchannel", "2"), { id: "2", label: "b", name: "long text" });
});

clusterTest("a new origin wins over all positions of the old one", async (rig) => {
  const node = rig.nodeOf("n", rig.newKey());
  await node.changes([channel("insert", 1, "old"), channel("insert", 2, "gone")], { lsn: 900 });
  const copy = [channel("truncate", 0), channel("insert", 1, "new")];
  await node.changes(copy, { originNo: 2, lsn: 5 });
  await node.changes([channel("update", 1, "late")], { lsn: 901 });
  assert.deepEqual(await channelsOf(rig, node.fp), { 1: "new" });
});

clusterTest(
  "more changes than one transaction takes are all there, and a truncate of as many",
  async (rig) => {
    const node = await rig.node("a");
    const many = Array.from({ length: 700 }, (_, at) => channel("insert", at + 1));
    await node.changes(many, { lsn: 50 });
    const count = async () => {
      const prefix = keys.rows(node.fp, "rhnchannel");
      let rows = 0;
      for (
        const { key } of await rig.read((tx) =>
          tx.scan({ from: prefix, to: `${prefix}~` }, { limit: 10_000 })
        )
      ) {
        if (await rig.row(node.fp, "rhnchannel", key.slice(prefix.length)) !== null) rows++;
      }
      return rows;
    };
    assert.equal(await count(), 700);
    await node.changes([channel("truncate", 0)], { lsn: 51 });
    assert.equal(await count(), 0);
  },
);

clusterTest("a profile is there once both its rows are, in any order, and gone with either", async (rig) => {
  const node = await rig.node("a");
  const server: RowChange = {
    table: "rhnserver",
    op: "insert",
    row: { id: "7", name: "", machine_id: machine(7) },
    oldKey: null,
  };
  const minion: RowChange = {
    table: "suseminioninfo",
    op: "insert",
    row: { server_id: "7", minion_id: "seven.example" },
    oldKey: null,
  };
  for (const [round, order] of [[server, minion], [minion, server]].entries()) {
    for (const [at, change] of order.entries()) {
      await node.changes([change], { lsn: 100 * round + at + 1 });
      const all = await systemsOf(rig);
      assert.equal(all.filter(({ state }) => state === "bound").length, at);
    }
    const [first] = order;
    assert.ok(first);
    const gone = { ...first, op: "delete" as const };
    await node.changes([gone], { lsn: 100 * round + 10 });
    assert.deepEqual((await systemsOf(rig)).map(({ state }) => state), ["deleted"]);
    const rest = { ...(order[1] ?? first), op: "delete" as const };
    await node.changes([rest], { lsn: 100 * round + 11 });
  }
});

clusterTest("ids are the same on every node and stay for good", async (rig) => {
  const [a, b] = [await rig.node("a"), await rig.node("b")];
  const shown = { machineId: machine(1), minionId: "one.example" };
  await a.show({ localId: 11, ...shown });
  await b.show({ localId: 22, ...shown });
  await a.changes([channel("insert", 1, "pool")]);
  await b.changes([channel("insert", 9, "pool")]);
  const idOn = (fp: string, localId: number) => rig.read((tx) => clusterIdOf(tx, "system", fp, localId));
  const [system] = await systemsOf(rig);
  assert.ok(system);
  assert.deepEqual([await idOn(a.fp, 11), await idOn(b.fp, 22)], [system.id, system.id]);
  assert.equal(system.node, a.fp, "who showed it first owns it");
  const pool = await rig.read((tx) => clusterIdOf(tx, "channel", a.fp, 1));
  assert.ok(pool !== null && pool === await rig.read((tx) => clusterIdOf(tx, "channel", b.fp, 9)));

  const gone = (localId: number) =>
    a.changes([
      { table: "rhnserver", op: "delete", row: { id: String(localId) }, oldKey: null },
    ]);
  await gone(11);
  assert.equal((await systemsOf(rig))[0]?.state, "deleted");
  await a.show({ localId: 12, ...shown });
  const [again] = await systemsOf(rig);
  assert.deepEqual([again?.id, again?.state], [system.id, "bound"]);

  await a.show({ localId: 13, ...shown }); // registered again before the old profile was deleted
  await gone(12);
  assert.equal((await systemsOf(rig))[0]?.state, "bound");
  assert.equal(await rig.read((tx) => localIdOf(tx, "system", a.fp, system.id)), 13);
});

clusterTest("what a node should not send spoils nothing", async (rig) => {
  const node = await rig.node("a");
  const row = (table: string, row: Record<string, string | null>): RowChange => ({
    table,
    op: "insert",
    row,
    oldKey: null,
  });
  await node.changes([
    row("unheard_of", { id: "1" }),
    row("rhnserver", { id: "x/../y", name: "n", machine_id: "no" }),
    row("rhnserver", { id: "5", name: "n".repeat(5_000), machine_id: machine(5) }),
    row("suseminioninfo", { server_id: "5", minion_id: "five.example" }),
    row("rhnchannel", { id: null, label: "nameless" }),
  ]);
  const [system] = await systemsOf(rig);
  assert.ok(system);
  assert.equal(system.name.length, 253);
  assert.equal((await rig.ask(Events, "GET", "/v1/events")).items.length > 0, true);
});

clusterTest("a removed node shows nobody any more", async (rig) => {
  const node = await rig.node("a");
  await rig.must("POST", `/v1/nodes/${node.fp}/drain`, {});
  await rig.tick("advance");
  await rig.must("DELETE", `/v1/nodes/${node.fp}`);
  await node.show({ localId: 1, machineId: machine(1), minionId: "one.example" });
  assert.deepEqual(await systemsOf(rig), []);
});

/** Both rows of profiles 1 … `count`. */
function profiles(count: number): RowChange[] {
  return Array.from({ length: count }, (_, at) => String(at + 1)).flatMap((id): RowChange[] => [
    {
      table: "rhnserver",
      op: "insert",
      row: { id, name: `n${id}`, machine_id: id.padStart(32, "0") },
      oldKey: null,
    },
    { table: "suseminioninfo", op: "insert", row: { server_id: id, minion_id: `n${id}` }, oldKey: null },
  ]);
}
const emptied = ["rhnserver", "suseminioninfo"].map((table): RowChange => ({
  table,
  op: "truncate",
  row: {},
  oldKey: null,
}));
const eventsOf = async (rig: ClusterRig) =>
  (await rig.ask(Events, "GET", "/v1/events?limit=1000")).items.map(({ what }) => what);
const rewritten = (before: string[], after: string[]) => after.slice(0, after.length - before.length);

clusterTest(
  "a table that is emptied and filled again keeps records and pins; the audit tells it once",
  async (rig) => {
    const node = await rig.node("a");
    await node.changes(profiles(300), { lsn: 10 });
    const [first] = await systemsOf(rig);
    assert.ok(first);
    await rig.must("PUT", `/v1/systems/${first.id}/pin`, { node: node.fp });
    const [before, events] = [await systemsOf(rig), await eventsOf(rig)];

    const back = profiles(300).slice(0, 2 * 299); // all but the last; in several messages, the truncates alone in the first
    await node.changes(emptied, { lsn: 20 });
    assert.deepEqual(await systemsOf(rig), before, "not gone yet");
    await node.changes(back, { lsn: 20, first: 2 });
    assert.deepEqual(await systemsOf(rig), before);
    assert.deepEqual(rewritten(events, await eventsOf(rig)), ["node.truncate"]);

    rig.later(VANISHED_MS);
    await node.beat();
    await rig.tick("vanish");
    const gone = (await rig.ask(Systems, "GET", "/v1/systems?state=deleted")).items;
    assert.deepEqual(gone.map(({ minionId }) => minionId), ["n300"]);
    assert.equal((await rig.ask(SystemView, "GET", `/v1/systems/${first.id}`)).pin, node.fp);
    await rig.tick("vanish");
    assert.deepEqual(rewritten(events, await eventsOf(rig)), ["system.delete", "node.truncate"]);
  },
);

clusterTest("rows deleted and written again in one message, and a new copy, end nobody", async (rig) => {
  const node = await rig.node("a");
  const rowsOf = profiles(150);
  await node.changes(rowsOf, { lsn: 10 });
  const [before, events] = [await systemsOf(rig), await eventsOf(rig)];
  const gone = rowsOf.map(({ table, row }): RowChange => {
    const name = table === "rhnserver" ? "id" : "server_id";
    return { table, op: "delete", row: { [name]: row[name] ?? null }, oldKey: null };
  });
  await node.changes([...gone, ...rowsOf], { lsn: 20 });
  await node.changes(gone, { lsn: 30, more: true });
  await node.changes(rowsOf, { lsn: 30, first: gone.length });
  await node.changes([...rowsOf], { originNo: 2, lsn: 5, first: 2 });
  await node.changes(emptied, { originNo: 2, lsn: 5 });
  rig.later(VANISHED_MS);
  await node.beat();
  await rig.tick("vanish");
  assert.deepEqual([await systemsOf(rig), await eventsOf(rig)], [before, events]);
  await node.changes(gone, { originNo: 2, lsn: 30 });
  assert.equal((await rig.ask(Systems, "GET", "/v1/systems?state=deleted&limit=1000")).items.length, 150);
});

clusterTest("a profile whose number another machine has got meanwhile is gone", async (rig) => {
  const node = await rig.node("a");
  await node.show({ localId: 1, machineId: machine(1), minionId: "one.example" });
  await node.changes(emptied);
  await node.show({ localId: 1, machineId: machine(2), minionId: "two.example" });
  await node.show({ localId: 2, machineId: machine(3), minionId: "three.example" });
  rig.later(VANISHED_MS);
  await node.beat();
  await rig.tick("vanish");
  const states = (await systemsOf(rig)).map((
    { minionId, state },
  ) => [minionId, state]);
  assert.deepEqual(Object.fromEntries(states), {
    "one.example": "deleted",
    "two.example": "bound",
    "three.example": "bound",
  });
});
