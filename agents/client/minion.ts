/**
 * What the client agent needs of a Salt minion, as values and one interface: the real one is `salt_minion.ts`,
 * the simulation and the tests bring their own.
 *
 * N1. The agent follows a master by three files only: the drop-in, the cached master key, and (put back, never
 *     written) what a master rewrites on its minions.
 */
import type { Scope } from "../../lib/seams.ts";

/** The ports of every Salt master: what minions subscribe to, and where they ask and answer. */
export const PUBLISH_PORT = 4505;
export const RETURN_PORT = 4506;

/** Where a minion keeps what a move touches; absolute paths. */
export interface MinionLayout {
  /** The agent's own file in `minion.d`; a later file that names a master as well makes a move impossible. */
  dropIn: string;
  /** The minion's copy of its master's public key. */
  masterKey: string;
  /** Files that the new master may rewrite as soon as it has the minion; a move back restores them too. */
  kept: readonly string[];
}

/** The master that the configuration names, and why a drop-in could not change it. */
export interface MasterSetting {
  /** Null when no file names one (Salt then looks for a host named `salt`). */
  master: string | null;
  /** Every file that names a master, in the order in which Salt reads them; the last one wins. */
  namedIn: readonly { file: string; master: string }[];
  /** What must be mended by hand before a move; empty when a move is possible. */
  problems: readonly string[];
}

/** Who a minion is, for enrolment. */
export interface MinionFacts {
  minionId: string;
  /** 32 hex digits. */
  machineId: string;
  /** The minion's own public key, PEM. */
  minionKey: string;
}

/** An expected answer of a check or step. */
export type Outcome = { ok: true } | { ok: false; reason: string };

export interface Minion {
  readonly layout: MinionLayout;
  setting(): Promise<MasterSetting>;
  /** @throws {SalarError} `unavailable` while the minion is not set up. */
  facts(scope: Scope): Promise<MinionFacts>;
  /** Starts it anew with the files as they are; resolves when that was done, not when a master answers. */
  restart(scope: Scope): Promise<Outcome>;
  /** Proof of life, with a limit of its own: the minion is connected to `master` and `master` answers it. */
  verify(scope: Scope, master: string): Promise<Outcome>;
}

/**
 * The drop-in that points a minion at one master, whatever other files say.
 * `master_type` and `master_finger` are set back, since a fail-over list or the old master's fingerprint would
 * outlive the move; the key that is trusted is the one in the key file beside.
 */
export function dropInText(master: string): string {
  return [
    "# Written by the Salar client agent: which node this system belongs to. Changes here are overwritten.",
    `master: ${JSON.stringify(master)}`,
    "master_type: str",
    "master_finger: ''",
    "",
  ].join("\n");
}
