/**
 * The way to a host: one connection with one channel, on which one program runs.
 *
 * T1. `start` returns when the program's channel is open; nothing of the program was seen then.
 * T2. Closing a channel closes its connection. A program that reads the end of its input ends itself and what it
 *     started, so a closed or broken channel leaves nothing behind on the host.
 * T3. Every wait ends: by the time-outs of the transport's own options, or by `signal`.
 */

export interface Transport {
  /** For people: `ann@web-1:22`, `local`. */
  readonly address: string;
  /** @param command one line for the login shell there; no secret may be in it. @throws {HostError} */
  start(command: string, options: { signal: AbortSignal }): Promise<Channel>;
}

export interface Channel {
  /** What the program writes to its standard output, until it closes that. Ends with a `HostError` on a lost connection. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the other side took the bytes, as far as its window allows. @throws {HostError} */
  write(bytes: Uint8Array): Promise<void>;
  /** The program's standard error so far; of a long one the head and the tail, STDERR_CHARS_MAX in all. */
  stderr(): string;
  /** How the program ended; null, null when the connection was lost. Never rejects. */
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  /** Ends everything; safe to call again. Resolves when the local side is gone, within a second. */
  close(): Promise<void>;
}

export const STDERR_CHARS_MAX = 16 * 1024;

/** Code → what it means for that host, and for people: what to do stands in the message. */
export const HOST_CODES = {
  "refused": "nothing listens there, or the name is unknown",
  "timed-out": "no answer within the time given",
  "lost": "the connection broke; what was running has an unknown outcome",
  "host-key": "the host's key is unknown, or is another than the one known",
  "login": "no key, agent or password that the host accepts",
  "become": "sudo refused, or asked for a password that was not given",
  "no-shell": "the login there does not give a shell that runs commands",
  "disk": "the host has no room for what has to be stored there",
  "protocol": "the other side said something that it must not say",
  "cancelled": "ended from here",
} as const;
export type HostCode = keyof typeof HOST_CODES;

/** Why a host cannot be used, or no longer. Never has a secret in its message. */
export class HostError extends Error {
  override readonly name = "HostError";

  constructor(readonly code: HostCode, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
  }
}
