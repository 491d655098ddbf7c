/** The files of many demo agents in one SQLite file: a thousand small folders would make the demo slow to start. */
import { DatabaseSync } from "node:sqlite";
import type { Disk } from "../lib/seams.ts";

export interface SqliteDisk extends Disk {
  close(): void;
}

export function openSqliteDisk(path: string): SqliteDisk {
  const db = new DatabaseSync(path);
  // A demo may lose its last second in a power cut, but not its order or its wholeness.
  db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  db.exec("CREATE TABLE IF NOT EXISTS file (path TEXT PRIMARY KEY, bytes BLOB NOT NULL) WITHOUT ROWID");
  const read = db.prepare("SELECT bytes FROM file WHERE path = ?");
  const replace = db.prepare(
    "INSERT INTO file VALUES (?, ?) ON CONFLICT DO UPDATE SET bytes = excluded.bytes",
  );
  const remove = db.prepare("DELETE FROM file WHERE path = ?");
  const list = db.prepare("SELECT path FROM file WHERE path >= ? AND path < ? ORDER BY path");
  return {
    read(path) {
      const bytes = read.get(path)?.["bytes"];
      return Promise.resolve(bytes instanceof Uint8Array ? bytes : null);
    },
    replace: (path, bytes) => Promise.resolve(void replace.run(path, bytes)),
    remove: (path) => Promise.resolve(void remove.run(path)),
    list(folder) {
      const names = list.all(`${folder}/`, `${folder}0`).map((row) =>
        String(row["path"]).slice(folder.length + 1)
      );
      return Promise.resolve(names.filter((name) => !name.includes("/")));
    },
    close: () => db.close(),
  };
}
