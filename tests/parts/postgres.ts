/**
 * Real PostgreSQL 15 for tests and benches, on a data folder that lives as long as the test.
 *
 * Binaries come from Debian's `postgresql-15`. PostgreSQL refuses to run as root, so a root process runs it
 * as user `postgres`.
 */
import { SalarError } from "../../lib/errors.ts";
import { exists } from "./cache.ts";
import { run } from "./command.ts";
import { type DaemonSpec, killDaemon, type Part, partFolder, startDaemon, stopDaemon } from "./daemon.ts";
import { ensureDebian } from "./debian.ts";
import { freePort } from "./wait.ts";

const BINARIES = "/usr/lib/postgresql/15/bin";
const SUPERUSER = "postgres";

export interface PostgresOptions {
  /** Server settings, such as `{ wal_level: "logical" }`. */
  settings?: Record<string, string | number>;
  /** Short for what logical replication needs: `wal_level=logical`. */
  logical?: boolean;
  port?: number;
}

export interface Postgres extends Part {
  host: string;
  port: number;
  user: string;
  password: string;
  /** Superuser's URL of database `postgres`. */
  url: string;
  /** Folder of the Unix socket. */
  socketFolder: string;
  dataFolder: string;
  /** Creates an empty database and returns the superuser's URL of it. */
  createDatabase(name: string): Promise<string>;
  /** Runs SQL with psql and returns its unaligned, headerless output. */
  sql(text: string, database?: string): Promise<string>;
}

/** Makes the server's programs present and returns their folder. */
export async function ensurePostgres(): Promise<{ binaries: string }> {
  await ensureDebian({ packages: ["postgresql-15"], present: () => exists(`${BINARIES}/postgres`) });
  return { binaries: BINARIES };
}

/** Starts an empty server on 127.0.0.1 with password login. About one second. */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const { binaries } = await ensurePostgres();
  const owner = await serverUser();
  const folder = await partFolder("pg", owner);
  const host = "127.0.0.1";
  const port = options.port ?? freePort(host);
  const password = crypto.randomUUID();
  const dataFolder = `${folder.path}/data`;
  const psqlEnv = { PGHOST: host, PGPORT: `${port}`, PGUSER: SUPERUSER, PGPASSWORD: password };
  const settings = {
    listen_addresses: host,
    port,
    unix_socket_directories: folder.path,
    ...(options.logical && { wal_level: "logical" }),
    ...options.settings,
  };
  const spec: DaemonSpec = {
    name: "postgres",
    folder: dataFolder, // where its children work, wherever the server itself was started
    command: `${binaries}/postgres`,
    args: [
      "-D",
      dataFolder,
      ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    ],
    ...owner,
    stopSignal: "SIGINT", // "fast": sessions are ended, not waited for
  };
  const isReady = async () => {
    const answer = await run(`${binaries}/pg_isready`, ["-q"], { env: psqlEnv, okCodes: [0, 1, 2] });
    return answer.code === 0;
  };
  const sql = async (text: string, database = "postgres") => {
    const args = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", text];
    return (await run(`${binaries}/psql`, args, { env: psqlEnv })).stdout.trimEnd();
  };
  const urlOf = (database: string) => `postgres://${SUPERUSER}:${password}@${host}:${port}/${database}`;
  const stop = async () => {
    await stopDaemon(spec);
    await folder.remove();
  };

  try {
    await createCluster({ binaries, dataFolder, folder: folder.path, password, owner });
    await startDaemon(spec, isReady);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    host,
    port,
    user: SUPERUSER,
    password,
    url: urlOf("postgres"),
    socketFolder: folder.path,
    dataFolder,
    sql,
    async createDatabase(name) {
      if (!/^[a-z_][a-z0-9_]{0,62}$/.test(name)) {
        throw new SalarError("bad-input", `Cannot create database: "${name}" is not a plain lower-case name`);
      }
      await sql(`create database ${name}`);
      return urlOf(name);
    },
    kill: () => killDaemon(spec),
    async restart() {
      await stopDaemon(spec);
      await startDaemon(spec, isReady);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Cluster {
  binaries: string;
  dataFolder: string;
  folder: string;
  password: string;
  owner: { uid: number; gid: number } | undefined;
}

async function createCluster({ binaries, dataFolder, folder, password, owner }: Cluster): Promise<void> {
  const passwordFile = `${folder}/password`;
  await Deno.writeTextFile(passwordFile, password, { mode: 0o600 });
  if (owner) await Deno.chown(passwordFile, owner.uid, owner.gid);
  const args = ["-D", dataFolder, "-U", SUPERUSER, "-A", "scram-sha-256", `--pwfile=${passwordFile}`];
  // C collation and no sync: the data folder is thrown away, the server itself still syncs as set.
  await run(`${binaries}/initdb`, [...args, "-E", "UTF8", "--locale=C", "--no-sync"], {
    cwd: folder,
    ...owner,
  });
  await Deno.remove(passwordFile);
}

/** The user to run the server as, or undefined for the present one. */
async function serverUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (Deno.uid() !== 0) return undefined;
  const id = async (flag: string) => Number((await run("id", [flag, "postgres"])).stdout);
  return { uid: await id("-u"), gid: await id("-g") };
}
