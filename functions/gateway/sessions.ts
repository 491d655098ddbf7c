/**
 * Gateway sessions: one key for the caller, behind it the session keys that the nodes gave.
 *
 * S1. A key has the form that Uyuni's have, `<id>x<64 hex digits>`; the digits are 256 random bits.
 * S2. The store holds the key's hash and the nodes' keys in a box that only the key opens: a stolen store opens nothing.
 * S3. A session ends GATEWAY_SESSION_MS after its last use. Unknown, ended and forged keys give Uyuni's own faults.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import {
  GATEWAY_RENEW_MS,
  GATEWAY_SESSION_MS,
  GATEWAY_SWEEP_BATCHES_MAX,
  GATEWAY_SWEEP_MAX,
  SWEEP_MS,
} from "../../lib/limits.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { Fp, TimeMs } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import type { Random } from "../../lib/seams.ts";
import { BOX_NONCE_BYTES, type BoxKey, openBox, sealBox } from "../../lib/secure/sealed_box.ts";
import { Secret } from "../../lib/secure/secret.ts";
import { hashSecret, secretMatches } from "../../lib/secure/token.ts";
import { EMPTY, records, toBytes, toText } from "../../lib/store/record.ts";
import type { Read } from "../../lib/store/store.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";

/** An open session: the nodes' own keys by fingerprint. */
export interface Session {
  id: string;
  nodeKeys: ReadonlyMap<string, string>;
}

const SessionRecord = z.object({
  v: z.literal(1),
  keyHash: z.string().regex(/^[0-9a-f]{64}$/),
  /** Box of the nodes' keys, base64. */
  nodeKeys: z.base64(),
  expiresAtMs: TimeMs,
});
type SessionRecord = z.infer<typeof SessionRecord>;

const NodeKeys = z.record(Fp, z.string());
const sessions = records(SessionRecord, keys.session);
const DRAWS_MAX = 50;
const KEY = /^[1-9][0-9]{0,18}x[a-f0-9]{64}$/;

/** True for text in the form of a key; only such a first argument is taken for one. */
export function isSessionKey(value: unknown): value is string {
  return typeof value === "string" && KEY.test(value);
}

/** Makes a session that first ends after `lifeMs`; returns its key. */
export async function openSession(
  { store, scope }: Context,
  nodeKeys: ReadonlyMap<string, string>,
  lifeMs: number,
): Promise<string> {
  const digits = scope.random.bytes(32).toHex();
  const nonce = scope.random.bytes(BOX_NONCE_BYTES);
  const expiresAtMs = scope.nowMs() + lifeMs;
  return await store.write(scope, async (tx) => {
    const id = await freeId(tx, scope.random);
    const key = `${id}x${digits}`;
    const secret = new Secret(key);
    const sealed = sealBox(toBytes(Object.fromEntries(nodeKeys)), boxKey(id, secret), nonce);
    const record = { v: 1 as const, keyHash: hashSecret(secret), nodeKeys: sealed.toBase64(), expiresAtMs };
    sessions.put(tx, record, id);
    tx.put(keys.sessionDue(expiresAtMs, id), EMPTY);
    return key;
  });
}

async function freeId(tx: Read, random: Random): Promise<number> {
  for (let draw = 0; draw < DRAWS_MAX; draw++) {
    const id = 1 + random.below(2 ** 31 - 1);
    if (await tx.get(keys.session(id)) === null) return id;
  }
  throw new SalarError("unavailable", `Cannot open session: ${DRAWS_MAX} ids were all taken`);
}

/**
 * The session of a key, which lives on by this.
 * @throws {UyuniFault} `session-expired` or `session-invalid`
 */
export async function useSession({ store, scope }: Context, key: string): Promise<Session> {
  const id = idOf(key);
  const found = check(await store.read(scope, (tx) => sessions.get(tx, id)), key, scope.nowMs());
  const expiresAtMs = scope.nowMs() + GATEWAY_SESSION_MS;
  const isDue = (session: SessionRecord) => session.expiresAtMs + GATEWAY_RENEW_MS <= expiresAtMs;
  if (isDue(found)) {
    await store.write(scope, async (tx) => {
      const current = check(await sessions.get(tx, id), key, scope.nowMs());
      if (isDue(current)) sessions.put(tx, { ...current, expiresAtMs }, id); // else another call was faster
    });
  }
  return open(found, key);
}

/** Ends the session of a key and returns what it was. @throws {UyuniFault} as `useSession` */
export async function closeSession({ store, scope }: Context, key: string): Promise<Session> {
  const id = idOf(key);
  const found = await store.write(scope, async (tx) => {
    const found = check(await sessions.get(tx, id), key, scope.nowMs());
    sessions.delete(tx, id);
    return found;
  });
  return open(found, key);
}

/** S3. The row is looked for first, as Uyuni does: clients log in again by the words of that fault. */
function check(found: SessionRecord | null, key: string, nowMs: number): SessionRecord {
  const id = idText(key);
  if (found === null || found.expiresAtMs <= nowMs) {
    throw UyuniFault.of("session-expired", `Could not find session with id: ${id}`);
  }
  if (secretMatches(new Secret(key), found.keyHash)) return found;
  throw UyuniFault.of("session-invalid", `Session id: ${id} is not valid.`);
}

function open(found: SessionRecord, key: string): Session {
  const plain = openBox(Uint8Array.fromBase64(found.nodeKeys), boxKey(idOf(key), new Secret(key)));
  if (plain === null) {
    throw new SalarError(
      "bad-record",
      `Cannot open session ${idText(key)}: its box was changed in the store`,
    );
  }
  const nodeKeys = NodeKeys.parse(JSON.parse(toText(plain)));
  return { id: idText(key), nodeKeys: new Map(Object.entries(nodeKeys)) };
}

function boxKey(id: number, secret: Secret): BoxKey {
  return { secret, purpose: `salar/gateway-session/1/${id}` };
}

function idText(key: string): string {
  return key.split("x", 1)[0] ?? "";
}

function idOf(key: string): number {
  return Number(idText(key));
}

/** Forgets sessions that have ended; the others are looked at again when they may have. */
export const sweepTick: Tick = {
  name: "sweep-sessions",
  everyMs: SWEEP_MS,
  async run(context) {
    for (let batch = 0; batch < GATEWAY_SWEEP_BATCHES_MAX; batch++) {
      if (await sweepBatch(context) < GATEWAY_SWEEP_MAX) break;
    }
    return done();
  },
};

/** Looks at the sessions that are due longest; returns how many those were. */
async function sweepBatch({ store, scope }: Context): Promise<number> {
  const nowMs = scope.nowMs();
  const range = { from: keys.sessionsDue, to: keys.sessionDue(nowMs + 1, 0) };
  return await store.write(scope, async (tx) => {
    const due = await tx.scan(range, { limit: GATEWAY_SWEEP_MAX });
    const ids = due.map(({ key }) => Number(key.slice(key.lastIndexOf("/") + 1)));
    const found = await sessions.getMany(tx, ids.map((id) => [id] as [number]));
    for (const [index, { key }] of due.entries()) {
      const [id = 0, session = null] = [ids[index], found[index]];
      tx.delete(key);
      if (session === null) continue;
      // Renewing leaves the index alone, so that a call writes one key: it is corrected here.
      if (session.expiresAtMs > nowMs) tx.put(keys.sessionDue(session.expiresAtMs, id), EMPTY);
      else sessions.delete(tx, id);
    }
    return due.length;
  });
}
