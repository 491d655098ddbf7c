import assert from "node:assert/strict";
import { STORE_GROUP_WRITES_MAX } from "../limits.ts";
import { realScope } from "../mesh/real_scope.ts";
import { WriteBuffer } from "./buffer.ts";
import { type Ended, groupCommit } from "./group_commit.ts";
import { openTables, type Tables } from "./sqlite_tables.ts";

const scope = realScope({ name: "group commit test" });
const value = new Uint8Array([1]);

Deno.test("groupCommit() commits all transactions of a turn at once", async () => {
  const { commit, tables, commits } = group();
  const outcomes = await Promise.all(Array.from({ length: 100 }, (_, n) => commit(ended(`k/${n}`))));
  assert.ok(outcomes.every(({ kind }) => kind === "committed"));
  assert.equal(commits(), 1);
  assert.equal(tables.meta().revision, 100); // G3
});

Deno.test("groupCommit() lets the first of a group win, and the loser leaves nothing", async () => {
  const { commit, tables } = group();
  const outcomes = await Promise.all([commit(ended("a")), commit(ended("b", "a")), commit(ended("c"))]);
  assert.deepEqual(outcomes, [{ kind: "committed" }, { kind: "conflict", lost: "a change of key a" }, {
    kind: "committed",
  }]);
  assert.equal(tables.get("b", 10), null);
  assert.deepEqual(tables.get("c", 10), value);
});

Deno.test("groupCommit() lets one that lost before go first", async () => {
  const { commit } = group();
  const outcomes = await Promise.all([commit(ended("a")), commit({ ...ended("a"), losses: 1 })]);
  assert.deepEqual(outcomes.map(({ kind }) => kind), ["conflict", "committed"]);
});

Deno.test("groupCommit() applies a token once, even twice in one group", async () => {
  const { commit, tables } = group();
  const token = (result: string) => ({ name: "t", result });
  const outcomes = await Promise.all([
    commit({ ...ended("a"), token: token("1") }),
    commit({ ...ended("b"), token: token("2") }),
  ]);
  assert.deepEqual(outcomes, [{ kind: "committed" }, { kind: "repeated", result: "1" }]);
  assert.equal(tables.get("b", 10), null);
});

Deno.test("groupCommit() does not apply a transaction that was cancelled while it waited", async () => {
  const { commit, tables } = group();
  const abort = new AbortController();
  const waiting = commit({ ...ended("a"), scope: scope.child("cancelled", abort.signal) });
  const other = commit(ended("b"));
  abort.abort();
  await assert.rejects(waiting, { code: "cancelled" });
  assert.deepEqual(await other, { kind: "committed" });
  assert.equal(tables.get("a", 10), null);
});

Deno.test("groupCommit() fails all of a group whose commit failed, and serves the next", async () => {
  const fault = new Error("disk");
  let faults = 1;
  const { commit, tables } = group((work) => {
    const result = work();
    if (faults-- > 0) throw fault;
    return result;
  });
  const outcomes = await Promise.allSettled([commit(ended("a")), commit(ended("b"))]);
  assert.ok(outcomes.every((outcome) => outcome.status === "rejected" && outcome.reason === fault));
  assert.equal(tables.meta().revision, 0);
  assert.deepEqual(await commit(ended("c")), { kind: "committed" });
});

Deno.test("groupCommit() splits what is too much for one commit", async () => {
  const { commit, commits } = group();
  const large = (name: string) => {
    const keys = Array.from({ length: STORE_GROUP_WRITES_MAX * 0.6 }, (_, n) => `${name}/${n}`);
    return commit(ended(...keys));
  };
  const outcomes = await Promise.all([large("a"), large("b"), commit(ended("c"))]);
  assert.ok(outcomes.every(({ kind }) => kind === "committed"));
  assert.equal(commits(), 2);
});

/** A group commit over memory, with a count of its commits and a place to make them fail. */
function group(around: <T>(work: () => T) => T = (work) => work()) {
  const tables = openTables({ path: ":memory:", sync: "full" });
  let commits = 0;
  const counted: Tables = {
    ...tables,
    locked(work) {
      commits++;
      return tables.locked(() => around(work));
    },
  };
  const commit = groupCommit({ tables: counted, defer: queueMicrotask, prune: (meta) => meta.horizon });
  return { commit, tables, commits: () => commits };
}

function ended(...keys: string[]): Ended {
  const buffer = new WriteBuffer();
  for (const key of keys) buffer.put(key, value);
  return { scope, snapshot: 0, buffer, losses: 0, token: null };
}
