/**
 * This machine as a host: `sh -c COMMAND` with a process group of its own. Starts nothing but `sh`, so a process that may
 * run only that can use it.
 *
 * L1. Closing gives the program the end of its input and a moment; then its whole group is killed.
 */
import { HeadAndTail } from "./head_and_tail.ts";
import { type Channel, HostError, type Transport } from "./transport.ts";

/** What `close` waits for a program that ends by itself. */
const CLOSE_MS_MAX = 900;

/** @throws {HostError} `refused` when there is no `sh` */
export function localTransport(): Transport {
  return { address: "local", start: (command, { signal }) => Promise.try(startLocal, command, signal) };
}

function startLocal(command: string, signal: AbortSignal): Channel {
  if (signal.aborted) throw new HostError("cancelled", "Cannot start on local: ended from here");
  const child = spawn(command);
  const input = child.stdin.getWriter();
  const output = child.stdout.getReader();
  const ended = child.status.then(({ code, signal }) => ({ code: signal === null ? code : null, signal }));
  const errors = child.stderr.getReader();
  const said = new HeadAndTail();
  collect(errors, said).catch(() => {}); // what was read until then counts

  let closing: Promise<void> | null = null;
  const close = () => closing ??= endAll();
  const endAll = async () => {
    signal.removeEventListener("abort", close);
    input.close().catch(() => {}); // it may have closed its side already
    await within(CLOSE_MS_MAX, ended);
    await killGroup(child.pid);
    await ended;
    // Something in the background may hold these open.
    await Promise.allSettled([output.cancel(), errors.cancel()]);
  };
  signal.addEventListener("abort", close);

  return {
    output: pieces(output),
    write: (bytes) =>
      input.write(bytes).catch((cause) => {
        throw new HostError("lost", "Cannot write to local: the program there has ended", { cause });
      }),
    stderr: () => said.text(),
    ended,
    close,
  };
}

function spawn(command: string) {
  try {
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    return new Deno.Command("sh", { args: ["-c", command], detached: true, ...pipes }).spawn();
  } catch (cause) {
    const message = `Cannot start on local: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new HostError("refused", message, { cause });
  }
}

/** By a shell, since a process that may only run `sh` may not send signals itself. */
async function killGroup(pid: number): Promise<void> {
  const args = ["-c", `kill -s KILL -- -${pid}`];
  await new Deno.Command("sh", { args, stdin: "null", stdout: "null", stderr: "null" }).output();
}

async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>((resolve) => timer = setTimeout(resolve, limitMs));
  await Promise.race([work, limit]);
  clearTimeout(timer);
}

type Reader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** Ends at the end of the stream, or when the reader is cancelled. */
async function* pieces(reader: Reader): AsyncGenerator<Uint8Array, void> {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}

async function collect(reader: Reader, into: HeadAndTail): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of pieces(reader)) into.add(decoder.decode(bytes, { stream: true }));
}
