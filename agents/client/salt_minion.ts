/**
 * A real Salt minion: its files, its service, and the checks that count as proof of life.
 *
 * S1. Uyuni's own bundle (`venv-salt-minion`) is the minion where both it and a classic one are installed.
 * S2. No `salt-call` runs without a limit: it hangs when its master is down or has another key.
 * S3. Alive is the daemon connected to the master, and the master answering. A running process, an accepted key or
 *     a `salt-call` alone prove nothing: the daemon may still be with the old master, or retry for ever.
 * Source: Salt 3006 and 3008, `salt.config.include_config` (order of files), `salt.modules.status.master`.
 */
import { parse } from "yaml";
import { MachineId, MinionId, PublicPem } from "../../lib/cluster/types.ts";
import { messageOf, SalarError } from "../../lib/errors.ts";
import {
  MINION_CONNECT_MS_MAX,
  MINION_RESTART_MS_MAX,
  MINION_VERIFY_POLL_MS,
  SALT_CALL_MS_MAX,
} from "../../lib/limits.ts";
import type { Disk, Net, Scope } from "../../lib/seams.ts";
import {
  type MasterSetting,
  type Minion,
  type MinionFacts,
  type MinionLayout,
  type Outcome,
  PUBLISH_PORT,
  RETURN_PORT,
} from "./minion.ts";

/** Runs programs of the host; never through a shell. */
export interface Commands {
  /**
   * Resolves with the exit code, 124 when the program was ended by its limit, which holds even when this process is
   * killed. Rejects with `unavailable` when it cannot be started, `cancelled` when the scope ends.
   */
  run(scope: Scope, argv: readonly string[], limitMs: number): Promise<{ code: number; stdout: string }>;
}

/** One of the two ways in which Salt is installed on a client of Uyuni. */
export interface SaltInstallation {
  kind: "bundle" | "classic";
  /** Folder of the file `minion`, of `minion.d` and `pki`. */
  configFolder: string;
  service: string;
  saltCall: string;
}

export interface SaltMinionOptions {
  disk: Disk;
  net: Net;
  commands: Commands;
  configFolder: string;
  /** Program and arguments that restart the service, from outside its process tree. */
  restart: readonly string[];
  /** Program and arguments of `salt-call`. */
  saltCall: readonly string[];
  /** How long `verify` waits for proof. */
  verifyMs: number;
}

const DROP_IN = "zz-salar.conf";

/** The installation under `root` ("" for the host itself), or null when there is none. */
export async function findSalt(disk: Disk, root = ""): Promise<SaltInstallation | null> {
  const candidates: SaltInstallation[] = [
    {
      kind: "bundle",
      configFolder: `${root}/etc/venv-salt-minion`,
      service: "venv-salt-minion",
      saltCall: "venv-salt-call",
    },
    { kind: "classic", configFolder: `${root}/etc/salt`, service: "salt-minion", saltCall: "salt-call" },
  ];
  for (const candidate of candidates) {
    const files = [
      ...await disk.list(candidate.configFolder),
      ...await disk.list(`${candidate.configFolder}/minion.d`),
    ];
    if (files.some((name) => name === "minion" || name.endsWith(".conf"))) return candidate;
  }
  return null;
}

/** A transient unit restarts it: whatever started the agent, the command does not die with the minion. */
export function restartBySystemd(service: string): string[] {
  return ["systemd-run", "--quiet", "--collect", "--wait", "systemctl", "restart", `${service}.service`];
}

export function saltMinion(options: SaltMinionOptions): Minion {
  const { disk, commands, configFolder } = options;
  const layout: MinionLayout = {
    dropIn: `${configFolder}/minion.d/${DROP_IN}`,
    masterKey: `${configFolder}/pki/minion/minion_master.pub`,
    // Uyuni's state `services.salt-minion` writes it on every system that registers.
    kept: [`${configFolder}/minion.d/susemanager.conf`],
  };
  return {
    layout,
    setting: () => readSetting(disk, configFolder, layout.dropIn),
    facts: (scope) => readFacts(scope, options),
    async restart(scope) {
      const { code } = await commands.run(scope, options.restart, MINION_RESTART_MS_MAX);
      return code === 0 ? { ok: true } : failed(`the minion's restart ended with code ${code}`);
    },
    async verify(scope, master) {
      const untilMs = scope.monoMs() + options.verifyMs;
      for (;;) {
        const outcome = await checkLife(scope, options, master);
        if (outcome.ok || scope.monoMs() >= untilMs) return outcome;
        await scope.sleep(MINION_VERIFY_POLL_MS);
      }
    },
  };
}

// --- Configuration -------------------------------------------------------------------------------------------

/** Reads as Salt does: the main file, then `minion.d/*.conf` by name; a later file wins. */
async function readSetting(disk: Disk, configFolder: string, dropIn: string): Promise<MasterSetting> {
  const folder = `${configFolder}/minion.d`;
  const included = (await disk.list(folder)).filter((name) => /^[^.].*\.conf$/.test(name));
  const files = [`${configFolder}/minion`, ...included.map((name) => `${folder}/${name}`)];
  const namedIn: { file: string; master: string }[] = [];
  const problems: string[] = [];
  for (const file of files) {
    const bytes = await disk.read(file);
    const master = bytes === null ? null : masterIn(bytes);
    if (master?.ok === false) problems.push(`${file} cannot be read as YAML: mend it`);
    if (master?.ok !== true) continue;
    namedIn.push({ file, master: master.name });
    if (file > dropIn) {
      problems.push(`${file} names a master and is read after ${dropIn}: rename it or take the line out`);
    }
  }
  return { master: namedIn.at(-1)?.master ?? null, namedIn, problems };
}

function masterIn(bytes: Uint8Array): { ok: true; name: string } | { ok: false } | null {
  let settings: unknown;
  try {
    settings = parse(new TextDecoder().decode(bytes), { version: "1.1" });
  } catch {
    return { ok: false };
  }
  if (settings === null || settings === undefined) return null; // nothing but comments
  if (typeof settings !== "object" || Array.isArray(settings)) return { ok: false };
  if (!("master" in settings)) return null;
  const { master } = settings;
  return { ok: true, name: Array.isArray(master) ? master.map(String).join(",") : String(master) };
}

// --- Facts ---------------------------------------------------------------------------------------------------

/** As Salt itself sees them: Uyuni registers by these grains. */
async function readFacts(scope: Scope, options: SaltMinionOptions): Promise<MinionFacts> {
  const grains = await callSalt(scope, options, ["--local", "grains.item", "id", "machine_id"]);
  const key = await options.disk.read(`${options.configFolder}/pki/minion/minion.pub`);
  const { id, machine_id } = isRecord(grains) ? grains : {};
  const minionId = MinionId.safeParse(id);
  const machineId = MachineId.safeParse(machine_id);
  const minionKey = PublicPem.safeParse(key === null ? "" : new TextDecoder().decode(key));
  if (minionId.success && machineId.success && minionKey.success) {
    return { minionId: minionId.data, machineId: machineId.data, minionKey: minionKey.data };
  }
  const missing = [
    ...(minionId.success ? [] : ["minion id"]),
    ...(machineId.success ? [] : ["grain machine_id"]),
    ...(minionKey.success ? [] : ["key pki/minion/minion.pub"]),
  ];
  throw new SalarError(
    "unavailable",
    `Cannot read the minion's facts: ${missing.join(", ")} not usable, start it once`,
  );
}

// --- Proof of life -------------------------------------------------------------------------------------------

/** From cheap to dear; the first thing that is missing is the reason. */
async function checkLife(scope: Scope, options: SaltMinionOptions, master: string): Promise<Outcome> {
  for (const port of [PUBLISH_PORT, RETURN_PORT]) {
    try {
      await scope.timeout(
        MINION_CONNECT_MS_MAX,
        (limited) => options.net.connectMs(limited, { host: master, port }),
      );
    } catch (error) {
      if (scope.signal.aborted) throw error;
      return failed(`nobody answers at ${master}:${port} (${messageOf(error)})`);
    }
  }
  // `connected=False`: asked the other way round, Salt would tell the daemon that it had lost its master.
  const connected = ["--local", "status.master", master, "connected=False"];
  if (await callSalt(scope, options, connected) !== true) {
    return failed(
      `the minion has not connected to ${master}: its key is not accepted there, or the master has another key`,
    );
  }
  // Configuration and keys as the daemon has them, so this asks the same master.
  if (await callSalt(scope, options, ["test.ping"]) !== true) {
    return failed(`${master} does not answer salt-call`);
  }
  return { ok: true };
}

/** What a Salt function returned; undefined when it failed, was too slow or said something else. */
async function callSalt(scope: Scope, options: SaltMinionOptions, call: readonly string[]): Promise<unknown> {
  const argv = [...options.saltCall, "-c", options.configFolder, "--out=json", ...call];
  const { code, stdout } = await options.commands.run(scope, argv, SALT_CALL_MS_MAX);
  if (code !== 0) return undefined;
  try {
    const answer: unknown = JSON.parse(stdout);
    return isRecord(answer) ? answer["local"] : undefined;
  } catch {
    return undefined;
  }
}

function failed(reason: string): Outcome {
  return { ok: false, reason };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
