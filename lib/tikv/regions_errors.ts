/**
 * Region errors: what each kind says and what to do about it. Pure.
 *
 * Source: pingcap/kvproto errorpb.proto, client-go internal/locate/region_request.go.
 */
import type { TikvErrorCode } from "./errors.ts";
import type { Peer, Region, RegionEpoch, RegionError } from "./messages_meta.ts";
import type { WaitKind } from "./operation.ts";

/** What to do next, beyond `also`. */
export type Step =
  /** Ask the same replica again; without `wait` at once. */
  | Doing<"again"> & { readonly wait?: WaitKind; readonly atMostMs?: number }
  /** This peer leads: ask it at once. */
  | Doing<"ask leader"> & { readonly leader: Peer | null }
  /** Ask a replica that was not asked yet; when all were, as for "drop". */
  | Doing<"ask next"> & { readonly wait?: WaitKind }
  /** The region is not what it was thought to be: forget it, wait, let the caller look it up and regroup. */
  | Doing<"drop"> & { readonly wait: WaitKind }
  /** These are the regions now: remember them, let the caller regroup at once. */
  | Doing<"install"> & { readonly regions: readonly Region[] }
  | Doing<"fail"> & { readonly code: TikvErrorCode };

interface Doing<Then extends string> {
  readonly then: Then;
  readonly also?: Also;
}

/** `uncertain`: the request may have been executed all the same. */
export type Also = "mark busy" | "forget address" | "warn" | "uncertain";

/** The attempt that met the error. */
export interface Attempt {
  readonly region: { readonly id: bigint; readonly confVer: bigint; readonly version: bigint };
  readonly peers: readonly Peer[];
  readonly asFollower: boolean;
  readonly isPrewrite: boolean;
  /** Whether it matters that the request may have been executed (see `Fate`). */
  readonly isFateful: boolean;
}

export type RegionErrorKind = Exclude<keyof RegionError, "message">;
type Row<K extends RegionErrorKind> = (detail: NonNullable<RegionError[K]>, attempt: Attempt) => Step;

const again = (wait?: WaitKind): Step => wait === undefined ? { then: "again" } : { then: "again", wait };
const next = (wait: WaitKind, also?: Also): Step => ({ then: "ask next", wait, ...also && { also } });
const drop = (wait: WaitKind = "regionMiss", also?: Also): Step => ({
  then: "drop",
  wait,
  ...also && { also },
});
const fail = (code: TikvErrorCode, also?: Also): Step => ({ then: "fail", code, ...also && { also } });
const askLeader = (leader: Peer | null = null): Step => ({ then: "ask leader", leader });

const ROWS: { readonly [K in RegionErrorKind]: Row<K> } = {
  notLeader: ({ leader }, { peers }) =>
    leader === null || leader.id === 0n
      ? next("scheduling")
      : peers.some(({ id }) => id === leader.id)
      ? askLeader(leader)
      : drop(),
  regionNotFound: (_, { asFollower }) => asFollower ? askLeader() : drop(),
  keyNotInRegion: () => drop("regionMiss", "warn"),
  epochNotMatch: ({ currentRegions }, { region }) => {
    if (currentRegions.length === 0) return drop();
    const reported = currentRegions.find(({ id }) => id === region.id)?.regionEpoch ?? null;
    return reported !== null && !isNewer(reported, region)
      ? again("regionMiss")
      : { then: "install", regions: currentRegions };
  },
  serverIsBusy: ({ backoffMs }) => ({
    then: "again",
    wait: "serverBusy",
    also: "mark busy",
    ...backoffMs > 0n && { atMostMs: Number(backoffMs) },
  }),
  staleCommand: () => next("staleCommand", "uncertain"),
  storeNotMatch: () => drop("regionMiss", "forget address"),
  raftEntryTooLarge: () => fail("too-large"),
  maxTimestampNotSynced: () => again("maxTimestamp"),
  readIndexNotReady: () => again("scheduling"),
  proposalInMergingMode: () => again("scheduling"),
  dataIsNotReady: () => again(), // only the first attempt may be a stale read
  regionNotInitialized: () => again("regionNotInitialized"),
  diskFull: (_, { isPrewrite }) => isPrewrite ? fail("disk-full") : again("diskFull"),
  recoveryInProgress: () => drop("recovery"),
  flashbackInProgress: (_, { asFollower }) => asFollower ? askLeader() : fail("aborted"),
  flashbackNotPrepared: (_, { asFollower }) => asFollower ? askLeader() : fail("aborted"),
  isWitness: () => drop("witness"),
  mismatchPeerId: () => drop(),
  bucketVersionNotMatch: () => drop(), // of coprocessors, which this client does not ask
  undeterminedResult: (_, { isFateful }) =>
    isFateful ? fail("undetermined", "uncertain") : again("regionMiss"),
};

/** One that is older in one number is older: the store lags behind, whatever the other number says. */
function isNewer(reported: RegionEpoch, { version, confVer }: Attempt["region"]): boolean {
  if (reported.version < version || reported.confVer < confVer) return false;
  return reported.version > version || reported.confVer > confVer;
}

/** Null for an error that is only a message. */
export function kindOf(error: RegionError): RegionErrorKind | null {
  for (const kind of KINDS) {
    if (error[kind] !== null) return kind;
  }
  return null;
}

const KINDS = Object.keys(ROWS) as RegionErrorKind[];

export function stepFor(error: RegionError, attempt: Attempt): Step {
  const kind = kindOf(error);
  if (kind !== null) return (ROWS[kind] as Row<RegionErrorKind>)(error[kind] as never, attempt);
  return /invalid max_ts update/i.test(error.message) ? fail("aborted") : { then: "ask next" };
}
