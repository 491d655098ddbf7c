/**
 * One program on a host, over a channel of a connection.
 *
 * C1. Output ends quietly only when the program closed it, or we did; a connection that breaks before is an error,
 *     after what had come in was handed out.
 * C2. What is written waits for the other side's window; the end of the program or the connection ends that wait.
 */
import { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import type ssh2 from "ssh2";
import { HeadAndTail } from "./head_and_tail.ts";
import type { Connection } from "./ssh_connect.ts";
import { type Channel, HostError } from "./transport.ts";

/** Starts a program: no terminal, no environment. @throws {HostError} no-shell, lost */
export function openChannel(connection: Connection, command: string): Promise<ssh2.ClientChannel> {
  const { client, address, ended } = connection;
  return new Promise((resolve, reject) => {
    ended.then(reject);
    try {
      client.exec(command, (cause, stream) => {
        if (!cause) return resolve(stream);
        const advice = "check its MaxSessions and what authorized_keys allows this key";
        const message = `Cannot start a program on ${address}: ${cause.message}; ${advice}`;
        reject(new HostError("no-shell", message, { cause }));
      });
    } catch {
      // Not connected any more: `ended` says why.
    }
  });
}

/** @param signal ends the channel like `close()`, and says so to whoever reads or writes */
export function channelOf(stream: ssh2.ClientChannel, connection: Connection, signal: AbortSignal): Channel {
  const { address, client } = connection;
  const errors = new HeadAndTail();
  const decoder = new TextDecoder();
  stream.stderr.on("data", (bytes: Buffer) => errors.add(decoder.decode(bytes, { stream: true })));

  let failure: HostError | null = null;
  let isOver = false;
  let wake = () => {};
  const over = new Promise<void>((resolve) => {
    const end = () => {
      isOver = true;
      wake();
      resolve();
    };
    stream.once("end", end);
    // Before ssh2 tells its channels, which would look like a program that has closed its output.
    client.prependOnceListener("close", () => {
      if (!isClosedThere(stream) && closing === null) failure = connection.reason();
      end();
    });
  });
  stream.on("readable", () => wake());

  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    stream.once("exit", (code: number | null, name?: string) => resolve({ code, signal: name ?? null }));
    over.then(() => connection.ended).then(() => resolve({ code: null, signal: null }));
  });

  async function* output(): AsyncGenerator<Uint8Array, void> {
    for (;;) {
      const bytes: Buffer | null = stream.read();
      if (bytes !== null) {
        yield bytes;
      } else if (isOver) {
        if (failure !== null) throw failure;
        return;
      } else {
        await new Promise<void>((resolve) => wake = resolve);
      }
    }
  }

  // One list, and not a reaction to `exited` for each write: those would keep every piece until the end.
  const waiting = new Set<() => void>();
  let isGone = false;
  Promise.race([exited, connection.ended]).then(() => {
    isGone = true;
    waiting.forEach((giveUp) => giveUp());
  });

  function write(bytes: Uint8Array): Promise<void> {
    const gone = (cause?: Error | null) =>
      failure ?? new HostError("lost", `Cannot write to ${address}: the program there has ended`, { cause });
    return new Promise<void>((resolve, reject) => {
      if (isGone || failure !== null || closing !== null) return reject(gone());
      const giveUp = () => reject(gone());
      waiting.add(giveUp);
      stream.write(Buffer.from(bytes), (error) => {
        waiting.delete(giveUp);
        if (error) reject(gone(error));
        else resolve();
      });
    });
  }

  let closing: Promise<void> | null = null;
  const close = () => {
    signal.removeEventListener("abort", cancel);
    if (closing === null) {
      stream.end(); // the end of its input is what ends the program
      closing = connection.close();
    }
    return closing;
  };
  const cancel = () => {
    failure ??= new HostError("cancelled", `Ended the program on ${address} from here`);
    close();
  };
  signal.addEventListener("abort", cancel);
  if (signal.aborted) cancel();

  return { output: output(), write, stderr: () => errors.text(), ended: exited, close };
}

/** Whether the other side has closed its direction of the channel. */
function isClosedThere({ incoming }: ssh2.ClientChannel): boolean {
  return typeof incoming === "object" && incoming !== null && "state" in incoming &&
    incoming.state !== "open";
}
