/**
 * The node's own Uyuni server and Salt master, as far as directives go.
 *
 * U1. A key is accepted as Salt itself would: the PEM under `<pki>/minions/<id>`. There is no call for a key not seen yet.
 * U2. Only keys that were added here are taken back, and only while they are still the same and no profile uses them.
 * U3. Nothing of a message becomes a path before it has the form of a minion id.
 * U4. Profiles go with NO_CLEANUP: the system lives elsewhere now and must not be touched. They go one by one, by
 *     `deleteSystem`: `deleteSystems` only queues them, in memory and without telling how it ended.
 * Source: salt brief section 4, domain brief sections 5.3 and 5.6; Uyuni's `SystemHandler` and `SsmDeleteServersActor`.
 */
import { MinionId } from "../../lib/cluster/types.ts";
import { messageOf, SalarError } from "../../lib/errors.ts";
import type { Disk } from "../../lib/seams.ts";
import { samePublicKey } from "../../lib/secure/keys.ts";
import { UyuniCallError, type UyuniClient } from "../../lib/uyuni/client.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import type { NodeApi, Outcome } from "./node_api.ts";
import type { Sql } from "./sql.ts";

export interface UyuniApiOptions {
  uyuni: UyuniClient;
  /** Where the agent keeps its state, and there the keys that it added. */
  folder: string;
  /** The Salt master's `pki_dir`, such as `/etc/salt/pki/master`. */
  pki: string;
  disk: Disk;
  /** The node's database; null: systems are counted through the API. */
  sql: Sql | null;
  loadAverage: () => number;
  agentVersion: string;
}

const DONE: Outcome = { ok: true };
/** Salt runs as a user of its own and reads this. */
const KEY_MODE = 0o644;
/** Leaves room for the name of the file beside, while it is written. */
const ID_CHARS_MAX = 200;

const SESSION_FAULTS: readonly string[] = ["session-expired", "session-invalid"];
/** Faults after which a call can succeed unchanged; all others are final. */
const PASSING_FAULTS: readonly string[] = [...SESSION_FAULTS, "internal", "taskomatic-down", "other"];

export function uyuniApi(options: UyuniApiOptions): NodeApi {
  const { uyuni, disk, sql } = options;
  const accepted = (id: string) => `${options.pki}/minions/${id}`;
  const pending = (id: string) => `${options.pki}/minions_pre/${id}`;
  const rejected = (id: string) => `${options.pki}/minions_rejected/${id}`;
  const added = (id: string) => `${options.folder}/keys_added/${id}`;

  async function read(path: string): Promise<string | null> {
    const bytes = await disk.read(path);
    return bytes === null ? null : new TextDecoder().decode(bytes);
  }

  return {
    async acceptKey(_scope, minionId, pem) {
      const id = requireId(minionId);
      if (!isKey(pem)) return refuse(`the key of ${id} is no public key`);
      if (await read(rejected(id)) !== null) {
        return refuse(`an administrator rejected minion ${id} on this node`);
      }
      const present = await read(accepted(id));
      if (present !== null) {
        return isSameKey(present, pem)
          ? DONE
          : refuse(`another key is accepted for minion ${id} on this node`);
      }
      const bytes = new TextEncoder().encode(pem);
      await disk.replace(added(id), bytes); // first: a key that nobody knows of would stay for ever
      await disk.replace(accepted(id), bytes, { mode: KEY_MODE });
      const waiting = await read(pending(id));
      if (waiting !== null && isSameKey(waiting, pem)) await disk.remove(pending(id));
      return DONE;
    },

    async forgetKey(_scope, minionId) {
      const id = requireId(minionId);
      const ours = await read(added(id));
      if (ours === null) return DONE;
      const present = await read(accepted(id));
      const inUse = (await profiles(uyuni)).has(id);
      if (!inUse && present !== null && isSameKey(present, ours)) await disk.remove(accepted(id));
      await disk.remove(added(id));
      return DONE;
    },

    async retire(scope, minionIds) {
      const ids = minionIds.map(requireId);
      const known = await profiles(uyuni);
      const left: string[] = [];
      for (const id of ids) {
        if (scope.signal.aborted) {
          throw new SalarError("cancelled", "Cannot retire profiles any longer: stopped");
        }
        const sid = known.get(id);
        if (sid !== undefined && !await deleteProfile(uyuni, sid)) {
          left.push(id);
          continue;
        }
        await disk.remove(accepted(id));
        await disk.remove(added(id));
      }
      return left.length === 0 ? DONE : refuse(`the server does not delete: ${left.join(", ")}`);
    },

    async countSystems() {
      if (sql === null) return (await profiles(uyuni)).size;
      const [[count] = []] = await sql.query("select count(id) from rhnserver");
      return Number(count);
    },

    load: options.loadAverage,

    async versions() {
      const [server, api] = await Promise.all([
        uyuni.callBare("api.systemVersion"),
        uyuni.callBare("api.getVersion"),
      ]);
      const [[postgres] = []] = await sql?.query("select current_setting('server_version')") ?? [];
      return {
        agent: options.agentVersion,
        uyuni: String(server),
        api: String(api),
        ...(postgres ? { postgres } : {}),
      };
    },
  };
}

/** Minion id → system id, of every profile that the agent's user sees. */
async function profiles(uyuni: UyuniClient): Promise<Map<string, number>> {
  const map = await called(uyuni.call("system.getMinionIdMap"));
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new SalarError("bad-peer", "Cannot read profiles: system.getMinionIdMap gave no struct");
  }
  return new Map(Object.entries(map).map(([id, sid]) => [id, Number(sid)]));
}

/**
 * False for a profile that Uyuni does not delete. That is final, whatever the fault: it only leaves an old profile, and
 * must not hold up the directives that come after it.
 */
async function deleteProfile(uyuni: UyuniClient, sid: number): Promise<boolean> {
  try {
    await called(uyuni.call("system.deleteSystem", sid, "NO_CLEANUP"));
    return true;
  } catch (error) {
    const fault = error instanceof SalarError && error.cause instanceof UyuniFault ? error.cause : null;
    if (fault === null || SESSION_FAULTS.includes(fault.kind)) throw error;
    return fault.kind === "no-such-system"; // somebody else was faster
  }
}

/** A call's errors in Salar's codes: `unavailable` may pass, `forbidden` will not. */
async function called(call: Promise<XmlRpcValue | null>): Promise<XmlRpcValue | null> {
  try {
    return await call;
  } catch (cause) {
    const passing = cause instanceof UyuniCallError ||
      cause instanceof UyuniFault && PASSING_FAULTS.includes(cause.kind);
    if (!passing && !(cause instanceof UyuniFault)) throw cause;
    throw new SalarError(passing ? "unavailable" : "forbidden", `Cannot ask Uyuni: ${messageOf(cause)}`, {
      cause,
    });
  }
}

/** U3. @throws {SalarError} `bad-input` */
function requireId(minionId: string): string {
  if (MinionId.safeParse(minionId).success && minionId.length <= ID_CHARS_MAX) return minionId;
  throw new SalarError(
    "bad-input",
    `Cannot name a key: the minion id is not of at most ${ID_CHARS_MAX} [A-Za-z0-9._-]`,
  );
}

function isKey(pem: string): boolean {
  return isSameKey(pem, pem);
}

function isSameKey(a: string, b: string): boolean {
  try {
    return samePublicKey(a, b);
  } catch {
    return false; // one of them is no key
  }
}

function refuse(reason: string): Outcome {
  return { ok: false, reason };
}
