/**
 * Sessions as Uyuni keeps them: `<id>x<64 hex digits>`, where the digits are a hash over the id and four secrets of
 * this server. So a key of one node is worthless on another.
 *
 * S1. The row decides, not its expiry: XML-RPC never compares that, it only moves it with every call.
 */
import { createHash, randomBytes } from "node:crypto";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { findOne, type TwinTx } from "./db.ts";
import type { Row } from "./tables.ts";

const KEY = /^[1-9][0-9]*x[a-f0-9]{64}$/;
export const SESSION_SECONDS = 3_600;

export type User = Row<"web_contact">;

export interface Sessions {
  /** Makes a session and returns its key. */
  open(tx: TwinTx, user: User, seconds: number): Promise<string>;
  /** The user of a key, whose session lives on for another lifetime. @throws {UyuniFault} as Uyuni does */
  use(tx: TwinTx, key: string): Promise<User>;
  /** @throws {UyuniFault} as Uyuni does */
  close(tx: TwinTx, key: string): Promise<void>;
}

/** `secret` stands for the four of a server; whoever shares it accepts the same keys. */
export function sessions({ nowMs, secret = randomBytes(32).toString("hex") }: {
  nowMs: () => number;
  secret?: string | undefined;
}): Sessions {
  const hashOf = (id: number) =>
    createHash("sha256").update(`${secret}1:${secret}2:${id}:${secret}3:${secret}4`).digest("hex");
  const expiry = (seconds: number) => Math.floor(nowMs() / 1_000) + seconds;

  async function load(tx: TwinTx, key: string): Promise<Row<"PXTSessions">> {
    const [idText = "", hash] = key.split("x");
    const id = Number(idText);
    const session = await findOne(tx, "PXTSessions", { id });
    if (session === null) throw UyuniFault.of("session-expired", `Could not find session with id: ${idText}`);
    if (hash !== hashOf(id)) throw UyuniFault.of("session-invalid", `Session id: ${idText} is not valid.`);
    return session;
  }

  return {
    async open(tx, user, seconds) {
      const id = await tx.nextId("pxt_id_seq");
      await tx.insert("PXTSessions", {
        id,
        web_user_id: user.id,
        expires: expiry(seconds),
        value: "RHNSESSION",
      });
      return `${id}x${hashOf(id)}`;
    },
    async use(tx, key) {
      const { id, web_user_id } = await load(tx, key);
      await tx.update("PXTSessions", { id }, { expires: expiry(SESSION_SECONDS) });
      const user = web_user_id === null ? null : await findOne(tx, "web_contact", { id: web_user_id });
      if (user === null) {
        throw UyuniFault.of("session-expired", `Could not find a valid user for session with key: ${key}`);
      }
      return user;
    },
    async close(tx, key) {
      const { id } = await load(tx, key);
      await tx.delete("PXTSessions", { id });
    },
  };
}

/** True for text in the form of a key; only such a first parameter is taken for one. */
export function isSessionKey(text: string): boolean {
  return KEY.test(text);
}
