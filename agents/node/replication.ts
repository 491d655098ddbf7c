/**
 * A replication connection to PostgreSQL: makes slots, streams changes, confirms positions.
 *
 * R1. What is confirmed is exactly what the caller says, never what was merely received.
 * R2. Messages are handed over synchronously, in order; `pause()` stops reading from the socket.
 * Source: PostgreSQL manual, "Streaming Replication Protocol".
 */
// @ts-types="@types/pg"
import pg from "pg";
import { SalarError } from "../../lib/errors.ts";
import { parseLsn } from "./lsn.ts";
import { clientConfig, closeClient, connect, type DatabaseOptions, wireOf } from "./sql.ts";

export interface SystemIdentity {
  systemId: string;
  timeline: string;
  /** Where the server's log ends now. */
  flushedLsn: bigint;
}

export interface StreamHandler {
  /** One message of the output plugin. The bytes are valid during the call only. */
  data(message: Uint8Array): void;
  /** The server has sent everything up to `lsn`; with `answer` it wants to be told at once what is confirmed. */
  keepalive(lsn: bigint, answer: boolean): void;
}

export interface Replication {
  identify(): Promise<SystemIdentity>;
  /**
   * Waits for every transaction that runs now, then makes the slot. The snapshot shows exactly the state before
   * the slot's first change; it can be used until the next call on this connection.
   */
  createSlot(name: string): Promise<{ snapshot: string; consistentLsn: bigint }>;
  dropSlot(name: string): Promise<void>;
  /**
   * Streams from what the slot has confirmed. Resolves when the stream ends; rejects with PostgreSQL's error, or
   * with what the handler threw: then it is called no more.
   */
  stream(slot: string, publication: string, handler: StreamHandler): Promise<void>;
  confirm(lsn: bigint, nowMs: number): void;
  pause(): void;
  resume(): void;
  /** Never rejects. */
  close(): Promise<void>;
}

const DATA = 0x77; // w
const KEEPALIVE = 0x6b; // k
const STATUS = 0x72; // r
/** The server's clock counts from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000;

/** @throws {SalarError} `unavailable` when the server cannot be reached or refuses the login. */
export async function connectReplication(options: DatabaseOptions, name: string): Promise<Replication> {
  // `replication` is known to `pg` but not to its types.
  const config: pg.ClientConfig & { replication: "database" } = {
    ...clientConfig(options, name),
    replication: "database",
  };
  const client = new pg.Client(config);
  await connect(client, options);
  const wire = wireOf(client);

  const command = async (text: string): Promise<Record<string, string>> => {
    const { rows } = await client.query<Record<string, string>>(text);
    return rows[0] ?? {};
  };
  return {
    async identify() {
      const { systemid = "", timeline = "", xlogpos = "" } = await command("IDENTIFY_SYSTEM");
      return { systemId: systemid, timeline: String(timeline), flushedLsn: parseLsn(xlogpos) };
    },
    async createSlot(name) {
      const answer = await command(
        `CREATE_REPLICATION_SLOT "${name}" LOGICAL pgoutput (SNAPSHOT 'export')`,
      );
      const { snapshot_name: snapshot = "", consistent_point: consistent = "" } = answer;
      return { snapshot, consistentLsn: parseLsn(consistent) };
    },
    async dropSlot(name) {
      await command(`DROP_REPLICATION_SLOT "${name}"`);
    },
    async stream(slot, publication, handler) {
      const failed = Promise.withResolvers<never>();
      let broken = false;
      wire.on("copyData", ({ chunk }) => {
        if (broken) return; // a later commit must not confirm what could not be read
        try {
          receive(chunk, handler);
        } catch (error) {
          broken = true;
          failed.reject(error);
        }
      });
      const options = `proto_version '1', publication_names '"${publication}"'`;
      const ended = client.query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (${options})`);
      await Promise.race([ended, failed.promise]);
    },
    confirm: (lsn, nowMs) => wire.sendCopyFromChunk(status(lsn, nowMs)),
    pause: () => wire.stream.pause(),
    resume: () => wire.stream.resume(),
    close: () => closeClient(client),
  };
}

function receive(chunk: Uint8Array, handler: StreamHandler): void {
  const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  // Header of data: start, end, clock; of a keepalive: end, clock, "answer now".
  if (chunk[0] === DATA) handler.data(chunk.subarray(25));
  else if (chunk[0] === KEEPALIVE) handler.keepalive(view.getBigUint64(1), chunk[17] === 1);
  else throw new SalarError("bad-peer", `Cannot read replication: message of type ${chunk[0]} is not known`);
}

/** "Written, flushed and applied up to here": one position, since nothing is kept but what the bus has stored. */
function status(lsn: bigint, nowMs: number): Buffer {
  const bytes = Buffer.alloc(34); // `pg` takes nothing else
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint8(0, STATUS);
  for (const at of [1, 9, 17]) view.setBigUint64(at, lsn);
  view.setBigInt64(25, BigInt(Math.round((nowMs - POSTGRES_EPOCH_MS) * 1_000)));
  return bytes;
}
