import assert from "node:assert/strict";
import { encodeKey } from "../../../lib/tikv/keys.ts";
import { Context, type Context as ContextInit } from "../../../lib/tikv/messages_kv.ts";
import { contextFor, metaRegion, Topology } from "./topology.ts";

const k = (text: string) => new TextEncoder().encode(text);
const NONE = new Uint8Array(0);

function topology(...splitAt: string[]): Topology {
  const made = new Topology([1n, 2n, 3n]);
  made.split(...splitAt.map(k));
  return made;
}

/** How store `storeId` takes a request with this context. */
function check(of: Topology, storeId: bigint, context: ContextInit, ...keys: string[]) {
  return of.check(storeId, Context.decode(Context.encode(context)), keys.map(k));
}

function bounds({ regions }: Topology): string[] {
  return regions.map(({ startKey, endKey }) =>
    `${new TextDecoder().decode(startKey)}-${new TextDecoder().decode(endKey)}`
  );
}

Deno.test("regions cover all keys through splits and merges, and their versions grow", () => {
  const made = topology("m", "f", "m");
  assert.deepEqual(bounds(made), ["-f", "f-m", "m-"]);
  const versions = () => made.regions.map(({ version }) => version);
  assert.deepEqual(versions(), [3n, 3n, 2n]);
  assert.equal(new Set(made.regions.map(({ id }) => id)).size, 3);
  made.merge(k("g"));
  assert.deepEqual([bounds(made), versions()], [["-f", "f-"], [3n, 4n]]);
});

Deno.test("the right part of a split keeps the id, and the leader's store leads both", () => {
  const made = topology();
  const { id } = made.regionOf(k("z"));
  made.transferLeader(k("z"), 2n);
  made.split(k("m"));
  assert.equal(made.regionOf(k("z")).id, id);
  assert.deepEqual([made.leaderStore(k("a")), made.leaderStore(k("z"))], [2n, 2n]);
});

Deno.test("the leader of a region takes a request that is right in every part", () => {
  const made = topology("m");
  assert.equal(check(made, 1n, contextFor(made, k("a")), "a", "lzzz"), null);
});

Deno.test("a request for another store, an unknown region, or another peer is refused", () => {
  const made = topology();
  const context = contextFor(made, k("a"));
  assert.deepEqual(check(made, 2n, context)?.storeNotMatch, { requestStoreId: 1n, actualStoreId: 2n });
  assert.deepEqual(check(made, 1n, { ...context, regionId: 7n })?.regionNotFound, { regionId: 7n });
  const stranger = { ...context.peer, id: 99n };
  assert.equal(check(made, 1n, { ...context, peer: stranger })?.mismatchPeerId?.requestPeerId, 99n);
});

Deno.test("a follower names the leader; after a move of leaders the old one does", () => {
  const made = topology();
  const before = contextFor(made, k("a"));
  const follower = made.regionOf(k("a")).peers[1];
  assert.ok(follower !== undefined);
  const toFollower = { ...before, peer: { ...before.peer, ...follower } };
  assert.equal(check(made, 2n, toFollower)?.notLeader?.leader?.storeId, 1n);
  assert.equal(check(made, 2n, { ...toFollower, replicaRead: true }), null);
  made.transferLeader(k("a"), 3n);
  assert.equal(check(made, 1n, before)?.notLeader?.leader?.storeId, 3n);
  made.transferLeader(k("a"), null);
  assert.equal(check(made, 1n, before)?.notLeader?.leader, null);
});

Deno.test("a follower whose leader's store is down is elected when it is asked, not before", () => {
  const made = topology();
  const context = contextFor(made, k("a"));
  const follower = made.regionOf(k("a")).peers[1];
  const store = made.stores.get(1n);
  assert.ok(follower !== undefined && store !== undefined);
  store.isUp = false;
  assert.equal(made.leaderStore(k("a")), 1n);
  const toFollower = { ...context, peer: { ...context.peer, ...follower } };
  assert.equal(check(made, 2n, toFollower)?.notLeader?.leader, null);
  assert.equal(made.leaderStore(k("a")), 2n);
  assert.equal(check(made, 2n, toFollower), null);
});

Deno.test("a request from before a split, a merge or a move of a peer is told the regions of today", () => {
  const made = topology();
  const old = contextFor(made, k("z"));
  made.split(k("m"));
  const { epochNotMatch } = check(made, 1n, old, "z") ?? {};
  assert.deepEqual(epochNotMatch?.currentRegions?.map(({ startKey }) => startKey), [encodeKey(k("m")), NONE]);
  const current = contextFor(made, k("z"));
  made.movePeer(k("z"), 2n, 4n);
  assert.ok(check(made, 1n, current, "z")?.epochNotMatch);
  made.merge(k("a"));
  assert.ok(check(made, 1n, current, "z")?.regionNotFound);
});

Deno.test("a key outside the region is refused with its bounds", () => {
  const made = topology("m");
  const { keyNotInRegion } = check(made, 1n, contextFor(made, k("a")), "a", "z") ?? {};
  assert.deepEqual([keyNotInRegion?.key, keyNotInRegion?.endKey], [k("z"), encodeKey(k("m"))]);
});

Deno.test("a frozen placement driver does not hear of changes", () => {
  const made = topology();
  made.freezePlacement();
  made.split(k("m"));
  assert.equal(made.placed.length, 1);
  made.thawPlacement();
  assert.deepEqual(made.placed.map(metaRegion).map(({ endKey }) => endKey), [encodeKey(k("m")), NONE]);
});
