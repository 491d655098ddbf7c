/**
 * A program's life around its hosts: it runs until a signal, then drains.
 *
 * R1. The first SIGTERM or SIGINT drains and then closes what was opened, in the order given.
 * R2. A second signal ends the process at once, with 128 + its number as exit code, as shells expect.
 */
import type { Log } from "../log.ts";
import type { Host } from "./host.ts";

const SIGNALS = { SIGINT: 2, SIGTERM: 15 } as const;
type Signal = keyof typeof SIGNALS;

export interface RunOptions {
  log: Log;
  /** Closes bus, store, net …, once the hosts have drained. */
  close: () => Promise<void>;
}

/** Resolves once everything has ended in order. */
export async function runUntilSignal(
  hosts: readonly Pick<Host, "drain">[],
  { log, close }: RunOptions,
): Promise<void> {
  const first = Promise.withResolvers<Signal>();
  let signals = 0;
  const listeners = (["SIGINT", "SIGTERM"] as const).map((signal) => ({
    signal,
    heard() {
      signals += 1;
      if (signals > 1) Deno.exit(128 + SIGNALS[signal]); // R2
      first.resolve(signal);
    },
  }));
  for (const { signal, heard } of listeners) Deno.addSignalListener(signal, heard);
  try {
    const signal = await first.promise;
    log.info("ending", { signal });
    await Promise.all(hosts.map((host) => host.drain()));
    await close();
  } finally {
    for (const { signal, heard } of listeners) Deno.removeSignalListener(signal, heard);
  }
}
