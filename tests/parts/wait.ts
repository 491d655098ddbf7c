/** Waiting for a condition of the outside world, always with a limit; and addresses that nobody else uses. */
import { messageOf, SalarError } from "../../lib/errors.ts";

const POLL_MS = 25;
const TRIES_MAX = 100;
// Below Linux's ephemeral range (32768 and up), so that no outgoing connection takes the port while its server is down.
const PORT_FIRST = 20_000;
const PORT_LAST = 32_000;

/**
 * Resolves with the first truthy value of `condition`; an exception counts as "not yet".
 * Throws `SalarError` "deadline" after `limitMs`, with the last exception as its cause.
 */
export async function waitFor<T>(
  what: string,
  limitMs: number,
  condition: () => T | Promise<T>,
): Promise<NonNullable<T>> {
  const untilMs = performance.now() + limitMs;
  let cause: unknown;
  while (performance.now() < untilMs) {
    try {
      const value = await condition();
      if (value) return value;
    } catch (error) {
      cause = error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const seen = cause === undefined ? "" : `; last seen: ${messageOf(cause)}`;
  throw new SalarError("deadline", `Cannot see ${what}: not within ${limitMs} ms${seen}`, { cause });
}

/** A TCP port of `hostname` that nothing listens on now. */
export function freePort(hostname = "127.0.0.1"): number {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = PORT_FIRST + Math.floor(Math.random() * (PORT_LAST - PORT_FIRST));
    if (canListen(hostname, port)) return port;
  }
  throw new SalarError(
    "unavailable",
    `Cannot find a free port on ${hostname}: ${TRIES_MAX} tries were taken`,
  );
}

/** A loopback address (127.x.y.z) on which every one of `ports` is free: for servers whose ports are fixed. */
export function freeLoopback(ports: readonly number[]): string {
  const byte = () => 1 + Math.floor(Math.random() * 250);
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const address = `127.${byte()}.${byte()}.${byte()}`;
    if (ports.every((port) => canListen(address, port))) return address;
  }
  throw new SalarError("unavailable", `Cannot find a free loopback address: ${TRIES_MAX} tries were taken`);
}

/** True when something accepts connections there. */
export async function isListening(hostname: string, port: number): Promise<boolean> {
  try {
    (await Deno.connect({ hostname, port })).close();
    return true;
  } catch {
    return false;
  }
}

function canListen(hostname: string, port: number): boolean {
  try {
    Deno.listen({ hostname, port }).close();
    return true;
  } catch {
    return false;
  }
}
