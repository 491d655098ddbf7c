/** Loopback ports that lead to hosts in another network namespace; see hosts_relay.py. */
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { SalarError } from "../../lib/errors.ts";
import { ensurePython } from "./python.ts";

export interface Relay {
  /** A port of 127.0.0.1 that leads to port 22 of an address there. @param port to have again after `close` */
  open(address: string, options: { delayMs: number; port?: number }): Promise<number>;
  /** New connections are refused; those that stand stay. */
  close(port: number): Promise<void>;
  stop(): Promise<void>;
}

/** @param netns a file such as `/proc/PID/ns/net` */
export async function startRelay(netns: string): Promise<Relay> {
  const { python } = await ensurePython();
  const child = new Deno.Command(python, {
    args: [fileURLToPath(new URL("hosts_relay.py", import.meta.url)), netns],
    cwd: "/",
    detached: true,
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  const answers = createInterface({ input: Readable.from(child.stdout) })[Symbol.asyncIterator]();
  let last: Promise<unknown> = Promise.resolve();

  async function ask(request: object): Promise<{ port: number }> {
    await writer.write(new TextEncoder().encode(`${JSON.stringify(request)}\n`));
    const { value, done } = await answers.next();
    const answer = done === true ? { error: "it ended" } : JSON.parse(value);
    if (answer.error === undefined) return answer;
    throw new SalarError("unavailable", `Cannot lead a port to a host: ${answer.error}`);
  }
  /** Answers come in the order of the requests, so each waits for the one before. */
  function inTurn(request: object): Promise<{ port: number }> {
    const answer = last.then(() => ask(request));
    last = answer.catch(() => {});
    return answer;
  }

  return {
    open: async (address, { delayMs, port = 0 }) =>
      (await inTurn({ open: address, port, delay_ms: delayMs })).port,
    async close(port) {
      await inTurn({ close: port });
    },
    async stop() {
      child.kill("SIGKILL");
      await child.status;
      await writer.abort().catch(() => {}); // the reader is gone, which is what was wanted
      await answers.return?.();
    },
  };
}
