/**
 * Where the regions of a cluster are and how to move them, by PD's HTTP API and, for splits, the official Go client.
 *
 * In: PD addresses of any cluster, ours or given. Keys are raw; PD knows them memcomparable, in hexadecimal.
 * T1. Each action resolves only when PD reports its effect.
 */
import { SalarError } from "../../lib/errors.ts";
import { compareKeys, decodeKey } from "../../lib/tikv/keys.ts";
import { startGoClient } from "../tikv/go_client.ts";
import { waitFor } from "./wait.ts";

const REQUEST_MS_MAX = 3_000;
const MOVE_MS_MAX = 40_000;
/** A store refuses the leadership of a region for 3 s after it got its copy; the order is given again then. */
const MOVE_AGAIN_MS = 2_000;

export interface TikvRegion {
  id: number;
  /** Raw keys; empty is unbounded. */
  startKey: Uint8Array;
  endKey: Uint8Array;
  /** Address of the store that leads it; null while none does. */
  leader: string | null;
  /** Addresses of stores with a complete copy. */
  stores: string[];
}

export interface TikvTopology {
  /** `http://host:port` of each PD member. */
  readonly pd: string[];
  /** In the order of their keys. */
  regions(): Promise<TikvRegion[]>;
  regionOf(key: Uint8Array): Promise<TikvRegion>;
  /** Address of the store that leads the region of `key`; waits for one. */
  leaderOf(key: Uint8Array): Promise<string>;
  /** Moves that leadership to the store at `to`, else to any other; resolves with the new leader's address. */
  transferLeader(key: Uint8Array, to?: string): Promise<string>;
  /** Makes a region begin at each of these keys. */
  splitAt(keys: readonly Uint8Array[]): Promise<void>;
}

export function topologyOf(pd: readonly string[]): TikvTopology {
  const api = <T>(path: string, body?: object) => askPd<T>(pd, path, body);

  async function regions(): Promise<TikvRegion[]> {
    const [{ stores }, { regions }] = await Promise.all([
      api<StoresAnswer>("stores"),
      api<RegionsAnswer>("regions"),
    ]);
    const addresses = new Map(stores.map(({ store }) => [store.id, store.address]));
    return regions
      .map((region) => regionFrom(region, addresses))
      .sort((a, b) => compareKeys(a.startKey, b.startKey));
  }

  async function regionOf(key: Uint8Array): Promise<TikvRegion> {
    const region = (await regions()).findLast(({ startKey }) => compareKeys(startKey, key) <= 0);
    if (!region) throw new SalarError("unavailable", "Cannot find the region of a key: PD knows none");
    return region;
  }

  const leaderOf = (key: Uint8Array) =>
    waitFor("a leader of the region", MOVE_MS_MAX, async () => (await regionOf(key)).leader);

  async function transferLeader(key: Uint8Array, to?: string): Promise<string> {
    const from = await leaderOf(key);
    const arrived = (leader: string) => to === undefined ? leader !== from : leader === to;
    let againMs = 0;
    let tries = 0;
    return await waitFor(
      `the leader moved from ${from} to ${to ?? "another store"}`,
      MOVE_MS_MAX,
      async () => {
        const { id, leader, stores } = await regionOf(key);
        if (leader !== null && arrived(leader)) return leader;
        if (performance.now() < againMs) return null;
        againMs = performance.now() + MOVE_AGAIN_MS;
        const others = stores.filter((address) => address !== from);
        const target = to ?? others[tries++ % others.length]; // one may be unhealthy
        if (target === undefined) {
          throw new SalarError(
            "unavailable",
            `no other store has a copy of region ${id}`,
          );
        }
        const { stores: known } = await api<StoresAnswer>("stores");
        const storeId = known.find(({ store }) => store.address === target)?.store.id;
        await api("operators", { name: "transfer-leader", region_id: id, to_store_id: storeId });
        return null;
      },
    );
  }

  async function splitAt(keys: readonly Uint8Array[]): Promise<void> {
    const client = await startGoClient(pd);
    try {
      await client.split(keys.toSorted(compareKeys)); // unistore refuses another order
    } finally {
      await client.kill();
    }
    await waitFor("the regions split", MOVE_MS_MAX, async () => {
      const now = await regions();
      return keys.every((key) => now.some(({ startKey, leader }) => leader && !compareKeys(startKey, key)));
    });
  }

  return { pd: [...pd], regions, regionOf, leaderOf, transferLeader, splitAt };
}

/** Asks the first member that answers. Throws `SalarError` "unavailable" with the last answer when none does. */
export async function askPd<T>(pd: readonly string[], path: string, body?: object): Promise<T> {
  let cause: unknown;
  for (const url of pd) {
    try {
      const answer = await fetch(`${url}/pd/api/v1/${path}`, {
        signal: AbortSignal.timeout(REQUEST_MS_MAX),
        ...(body && { method: "POST", body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      if (answer.ok) return text === "" ? null as T : JSON.parse(text);
      cause = new Error(`${answer.status} ${text.trim()}`);
    } catch (error) {
      cause = error;
    }
  }
  throw new SalarError("unavailable", `Cannot ask PD for ${path}: no member answered as it should`, {
    cause,
  });
}

interface StoresAnswer {
  stores: { store: { id: number; address: string } }[];
}

interface PeerAnswer {
  id?: number;
  store_id?: number;
}

interface RegionAnswer {
  id: number;
  /** Memcomparable, hexadecimal. */
  start_key: string;
  end_key: string;
  peers?: PeerAnswer[];
  leader?: PeerAnswer;
  pending_peers?: PeerAnswer[];
  down_peers?: { peer: PeerAnswer }[];
}

interface RegionsAnswer {
  regions: RegionAnswer[];
}

function regionFrom(region: RegionAnswer, addresses: Map<number, string>): TikvRegion {
  const addressOf = (peer?: PeerAnswer) => addresses.get(peer?.store_id ?? 0) ?? null;
  const lacking = [...region.pending_peers ?? [], ...(region.down_peers ?? []).map(({ peer }) => peer)];
  const complete = (region.peers ?? []).filter(({ id }) => !lacking.some((peer) => peer.id === id));
  return {
    id: region.id,
    startKey: boundary(region.start_key),
    endKey: boundary(region.end_key),
    leader: addressOf(region.leader),
    stores: complete.map(addressOf).filter((address) => address !== null),
  };
}

/** `regionFrom` needs raw keys; the last one is unbounded and PD writes it as no text. */
function boundary(hex: string): Uint8Array {
  return hex === "" ? new Uint8Array() : decodeKey(Uint8Array.fromHex(hex));
}
