import assert from "node:assert/strict";
import { RegionError } from "./messages_meta.ts";
import type { Encodable } from "./protobuf.ts";
import { type Attempt, kindOf, type Step, stepFor } from "./regions_errors.ts";

const peer = (id: bigint) => ({ id, storeId: id / 10n, role: 0, isWitness: false });
const asked: Attempt = {
  region: { id: 5n, version: 7n, confVer: 3n },
  peers: [peer(10n), peer(20n), peer(30n)],
  asFollower: false,
  isPrewrite: false,
  isFateful: false,
};
const region = (id: bigint, version: bigint, confVer: bigint) => ({ id, regionEpoch: { version, confVer } });

type Row = [
  name: string,
  error: Encodable<typeof RegionError>,
  step: Partial<Step>,
  attempt?: Partial<Attempt>,
];

const drop: Partial<Step> = { then: "drop", wait: "regionMiss" };
const rows: Row[] = [
  ["NotLeader, leader known: ask it at once", { notLeader: { leader: peer(20n) } }, {
    then: "ask leader",
    leader: peer(20n),
  }],
  ["NotLeader, leader is no peer known: drop", { notLeader: { leader: peer(40n) } }, drop],
  ["NotLeader, none given: wait, next peer", { notLeader: {} }, { then: "ask next", wait: "scheduling" }],
  ["NotLeader, id 0 given: wait, next peer", { notLeader: { leader: { storeId: 1n } } }, {
    then: "ask next",
    wait: "scheduling",
  }],
  ["RegionNotFound: drop", { regionNotFound: {} }, drop],
  ["RegionNotFound of a follower: ask the leader", { regionNotFound: {} }, {
    then: "ask leader",
    leader: null,
  }, {
    asFollower: true,
  }],
  ["KeyNotInRegion: drop and warn", { keyNotInRegion: {} }, { ...drop, also: "warn" } as Partial<Step>],
  ["EpochNotMatch, reported version older: wait, same region", {
    epochNotMatch: { currentRegions: [region(5n, 6n, 3n)] },
  }, { then: "again", wait: "regionMiss" }],
  ["EpochNotMatch, reported confVer older: wait, same region", {
    epochNotMatch: { currentRegions: [region(5n, 8n, 2n), region(6n, 8n, 2n)] },
  }, { then: "again", wait: "regionMiss" }],
  ["EpochNotMatch, the very same reported: wait, for nothing is won", {
    epochNotMatch: { currentRegions: [region(5n, 7n, 3n)] },
  }, { then: "again", wait: "regionMiss" }],
  ["EpochNotMatch, newer: install", {
    epochNotMatch: { currentRegions: [region(5n, 8n, 3n), region(6n, 8n, 3n)] },
  }, {
    then: "install",
  }],
  [
    "EpochNotMatch, merged into another: install",
    { epochNotMatch: { currentRegions: [region(6n, 9n, 3n)] } },
    {
      then: "install",
    },
  ],
  ["EpochNotMatch, empty: drop", { epochNotMatch: {} }, drop],
  ["ServerIsBusy: mark, wait", { serverIsBusy: {} }, {
    then: "again",
    wait: "serverBusy",
    also: "mark busy",
  }],
  ["ServerIsBusy with a hint: wait no longer", { serverIsBusy: { backoffMs: 300n } }, {
    then: "again",
    wait: "serverBusy",
    also: "mark busy",
    atMostMs: 300,
  }],
  ["StaleCommand: next peer, uncertain", { staleCommand: {} }, {
    then: "ask next",
    wait: "staleCommand",
    also: "uncertain",
  }],
  ["StoreNotMatch: forget the address, drop", { storeNotMatch: { requestStoreId: 1n, actualStoreId: 2n } }, {
    ...drop,
    also: "forget address",
  } as Partial<Step>],
  ["RaftEntryTooLarge: fail", { raftEntryTooLarge: { entrySize: 9_000_000n } }, {
    then: "fail",
    code: "too-large",
  }],
  ["MaxTimestampNotSynced: wait, same peer", { maxTimestampNotSynced: {} }, {
    then: "again",
    wait: "maxTimestamp",
  }],
  ["ReadIndexNotReady: wait, same peer", { readIndexNotReady: {} }, { then: "again", wait: "scheduling" }],
  ["ProposalInMergingMode: wait, same peer", { proposalInMergingMode: {} }, {
    then: "again",
    wait: "scheduling",
  }],
  ["DataIsNotReady: again, not stale", { dataIsNotReady: {} }, { then: "again" }],
  ["RegionNotInitialized: wait, retry", { regionNotInitialized: {} }, {
    then: "again",
    wait: "regionNotInitialized",
  }],
  ["DiskFull: wait", { diskFull: {} }, { then: "again", wait: "diskFull" }],
  ["DiskFull of a prewrite: fail", { diskFull: {} }, { then: "fail", code: "disk-full" }, {
    isPrewrite: true,
  }],
  ["RecoveryInProgress: drop, wait", { recoveryInProgress: {} }, { then: "drop", wait: "recovery" }],
  ["FlashbackInProgress: fail", { flashbackInProgress: {} }, { then: "fail", code: "aborted" }],
  ["FlashbackInProgress of a follower: ask the leader", { flashbackInProgress: {} }, {
    then: "ask leader",
    leader: null,
  }, { asFollower: true }],
  ["FlashbackNotPrepared: fail", { flashbackNotPrepared: {} }, { then: "fail", code: "aborted" }],
  ["FlashbackNotPrepared of a follower: ask the leader", { flashbackNotPrepared: {} }, {
    then: "ask leader",
    leader: null,
  }, { asFollower: true }],
  ["IsWitness: drop, wait", { isWitness: {} }, { then: "drop", wait: "witness" }],
  ["MismatchPeerId: drop", { mismatchPeerId: {} }, drop],
  ["BucketVersionNotMatch: drop", { bucketVersionNotMatch: {} }, drop],
  ["UndeterminedResult: again", { undeterminedResult: {} }, { then: "again", wait: "regionMiss" }],
  ["UndeterminedResult of a write that matters: fail, uncertain", { undeterminedResult: {} }, {
    then: "fail",
    code: "undetermined",
    also: "uncertain",
  }, { isFateful: true }],
  ["only a message: next peer", { message: "something new" }, { then: "ask next" }],
  ["only a message, of max_ts: fail", { message: "x: invalid max_ts update: y" }, {
    then: "fail",
    code: "aborted",
  }],
];

for (const [name, error, step, attempt] of rows) {
  Deno.test(`stepFor() ${name}`, () => {
    const decoded = RegionError.decode(RegionError.encode(error));
    const { regions: _, ...given } = { regions: null, ...stepFor(decoded, { ...asked, ...attempt }) };
    assert.deepEqual(given, step);
  });
}

Deno.test("stepFor() knows every kind of region error, and the table above tries each", () => {
  const kinds = Object.keys(RegionError.decode(new Uint8Array())).filter((kind) => kind !== "message");
  const tried = new Set(rows.map(([, error]) => Object.keys(error)[0]));
  for (const kind of kinds) {
    assert.equal(kindOf(RegionError.decode(RegionError.encode({ [kind]: {} }))), kind);
    assert.ok(tried.has(kind), kind);
  }
});
