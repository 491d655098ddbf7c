/**
 * Minion keys as a Salt master holds them: pending until somebody accepts, refused when another key comes under the
 * same id. In memory for the demo; or the key folders of a real Salt master.
 */

export type KeyState = "accepted" | "pending" | "rejected" | "denied";
export const KEY_STATES: readonly KeyState[] = ["accepted", "pending", "rejected", "denied"];

export interface MinionKeys {
  /** Ids, sorted. */
  list(state: KeyState): Promise<string[]>;
  /** Accepts a pending or rejected key; false when there is none. */
  accept(id: string): Promise<boolean>;
  /** Rejects a pending key; false when there is none. */
  reject(id: string): Promise<boolean>;
  /** Forgets the key in every state; false when there was none. */
  delete(id: string): Promise<boolean>;
  /** Accepts a key (PEM) before its minion is seen. */
  preseed(id: string, pem: string): Promise<void>;
}

export interface MemoryKeys extends MinionKeys {
  /** A minion shows its key: what does the master make of it? */
  offer(id: string, pem: string): KeyState;
}

export function memoryKeys(): MemoryKeys {
  const keys = new Map<string, { state: KeyState; pem: string }>();

  /** Moves a key that is in one of the states `from`. */
  function move(id: string, from: readonly KeyState[], to: KeyState): Promise<boolean> {
    const key = keys.get(id);
    const can = key !== undefined && from.includes(key.state);
    if (can) key.state = to;
    return Promise.resolve(can);
  }

  return {
    list: (state) =>
      Promise.resolve([...keys].filter(([, key]) => key.state === state).map(([id]) => id).sort()),
    accept: (id) => move(id, ["pending", "rejected"], "accepted"),
    reject: (id) => move(id, ["pending"], "rejected"),
    delete: (id) => Promise.resolve(keys.delete(id)),
    preseed: (id, pem) => Promise.resolve(void keys.set(id, { state: "accepted", pem: pem.trim() })),
    offer(id, pem) {
      const key = keys.get(id);
      if (key === undefined) {
        keys.set(id, { state: "pending", pem: pem.trim() });
        return "pending";
      }
      return key.pem === pem.trim() ? key.state : "denied";
    },
  };
}

const FOLDERS: Record<KeyState, string> = {
  accepted: "minions",
  pending: "minions_pre",
  rejected: "minions_rejected",
  denied: "minions_denied",
};

/** The keys of a real master, by its `pki_dir`. Unlike Salt's own delete, this one makes no master rotate its AES key. */
export function folderKeys(pkiFolder: string): MinionKeys {
  const pathOf = (id: string, state: KeyState) => {
    if (!/^[A-Za-z0-9_][A-Za-z0-9._-]{0,250}$/.test(id)) {
      throw new Error(`Cannot use minion id: not safe as a file name`);
    }
    return `${pkiFolder}/${FOLDERS[state]}/${id}`;
  };

  async function move(id: string, from: readonly KeyState[], to: KeyState): Promise<boolean> {
    await Deno.mkdir(`${pkiFolder}/${FOLDERS[to]}`, { recursive: true });
    for (const state of from) {
      if (await unlessMissing(Deno.rename(pathOf(id, state), pathOf(id, to)))) return true;
    }
    return false;
  }

  return {
    async list(state) {
      const ids: string[] = [];
      await unlessMissing((async () => {
        for await (const { name, isFile } of Deno.readDir(`${pkiFolder}/${FOLDERS[state]}`)) {
          if (isFile) ids.push(name);
        }
      })());
      return ids.sort();
    },
    accept: (id) => move(id, ["pending", "rejected"], "accepted"),
    reject: (id) => move(id, ["pending"], "rejected"),
    async delete(id) {
      let found = false;
      for (const state of KEY_STATES) found = await unlessMissing(Deno.remove(pathOf(id, state))) || found;
      return found;
    },
    async preseed(id, pem) {
      const path = pathOf(id, "accepted");
      await Deno.mkdir(`${pkiFolder}/${FOLDERS.accepted}`, { recursive: true });
      // Not beside it: the master would take the unfinished file for a key.
      await Deno.writeTextFile(`${pkiFolder}/.${id}.new`, pem, { mode: 0o600 });
      await Deno.rename(`${pkiFolder}/.${id}.new`, path);
      await unlessMissing(Deno.remove(pathOf(id, "pending")));
    },
  };
}

/** False when the file or folder is not there. */
async function unlessMissing(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
