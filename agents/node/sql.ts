/**
 * A plain SQL connection: values come as PostgreSQL's own text, exactly as change capture gets them.
 *
 * Q1. Session settings that shape text (dates, time zone, floats) are the same here and in replication, so that a
 *     row reads the same in the first copy and in a later change.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { messageOf, SalarError } from "../../lib/errors.ts";
import { Secret } from "../../lib/secure/secret.ts";

export interface DatabaseOptions {
  host: string;
  port: number;
  database: string;
  user: string;
  password: Secret;
  /** Authority of the server's certificate (PEM); null: no TLS, for loopback and sockets. */
  ca: string | null;
}

export type Row = readonly (string | null)[];

export interface Sql {
  /** One statement; rows as arrays of text. Rejects with `unavailable` or with PostgreSQL's own error. */
  query(text: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

const TEXT_FORMS = "-c datestyle=ISO -c intervalstyle=postgres -c timezone=UTC -c extra_float_digits=1";
const CONNECT_MS = 10_000;
const QUERY_MS = 10_000;
/** Socket idle time after which a peer that does not answer a goodbye is left. */
const GOODBYE_MS = 2_000;

/** Settings that both kinds of connection share. */
export function clientConfig(options: DatabaseOptions, name: string): pg.ClientConfig {
  const { host, port, database, user, password, ca } = options;
  return {
    host,
    port,
    database,
    user,
    password: password.reveal(),
    ssl: ca === null ? false : { ca },
    application_name: name,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    options: TEXT_FORMS,
  };
}

/** @throws {SalarError} `unavailable` when the server cannot be reached or refuses the login. */
export async function connectSql(
  options: DatabaseOptions,
  name: string,
  { queryMs }: { queryMs?: number } = {},
): Promise<Sql> {
  const client = new pg.Client({
    ...clientConfig(options, name),
    ...(queryMs === undefined ? {} : { query_timeout: queryMs }),
    types: { getTypeParser: () => (text: string) => text },
  });
  await connect(client, options);
  return {
    async query(text, values = []) {
      const { rows } = await client.query<(string | null)[]>({ text, values: [...values], rowMode: "array" });
      return rows;
    },
    close: () => closeClient(client),
  };
}

/** For short questions: a limit on each. Connects with the first query, and anew with the first one after a failure. */
export function lazySql(options: DatabaseOptions, name: string): Sql {
  let connection: Promise<Sql> | null = null;
  const drop = async (old: Promise<Sql> | null) => {
    if (connection === old) connection = null; // another query may have connected anew
    await (await old?.catch(() => null))?.close();
  };
  return {
    async query(text, values) {
      const used = connection ??= connectSql(options, name, { queryMs: QUERY_MS });
      try {
        return await (await used).query(text, values);
      } catch (error) {
        await drop(used);
        throw error;
      }
    },
    close: () => drop(connection),
  };
}

/** Connects; from then on a lost connection shows in the next call instead of ending the process. */
export async function connect(client: pg.Client, { host, port, database }: DatabaseOptions): Promise<void> {
  client.on("error", () => {});
  try {
    await client.connect();
  } catch (cause) {
    const message = `Cannot reach database "${database}" at ${host}:${port}: ${messageOf(cause)}`;
    throw new SalarError("unavailable", message, { cause });
  }
}

/** Ends a connection, by force when the server does not answer. Never rejects. */
export async function closeClient(client: pg.Client): Promise<void> {
  const { stream } = wireOf(client);
  stream.setTimeout(GOODBYE_MS, () => stream.destroy());
  await client.end().catch(() => {}); // it is gone, which is what was wanted
}

/** What `pg` has inside and does not document: the wire under a client. Checked, since only a test would notice. */
export interface Wire {
  stream: {
    pause(): void;
    resume(): void;
    destroy(): void;
    setTimeout(ms: number, late: () => void): void;
  };
  on(event: "replicationStart", listener: () => void): void;
  on(event: "copyData", listener: (message: { chunk: Uint8Array }) => void): void;
  sendCopyFromChunk(chunk: Buffer): void;
}

export function wireOf(client: pg.Client): Wire {
  const { connection } = client as unknown as { connection?: Partial<Wire> };
  const { on, sendCopyFromChunk, stream } = connection ?? {};
  if (connection === undefined || !on || !sendCopyFromChunk || !stream?.pause || !stream.resume) {
    throw new Error("Assertion failed: `pg` has a connection with a stream and sendCopyFromChunk");
  }
  return connection as Wire;
}
