/** Runs a small program of the mesh tests (`mesh_child.ts`) as a process of its own. */
import { waitFor } from "../parts/wait.ts";

const UP_MS = 30_000;

export interface Child extends AsyncDisposable {
  url: string;
  process: Deno.ChildProcess;
  /** Its log so far. */
  text(): string;
}

/** `file` stands beside this one. Resolves once it is up; disposing kills it where it still runs. */
export async function startChild(file: string, args: string[]): Promise<Child> {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", new URL(file, import.meta.url).pathname, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const collect = (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    const kept = { text: "" };
    const reading = (async () => {
      for await (const text of stream.pipeThrough(new TextDecoderStream())) kept.text += text;
    })();
    return { kept, reading };
  };
  const [out, log] = [collect(process.stdout), collect(process.stderr)];
  const end = async () => {
    try {
      process.kill("SIGKILL");
    } catch {
      // ended already, as it should
    }
    await Promise.all([process.status, out.reading, log.reading]);
  };
  try {
    const url = await waitFor("its address", UP_MS, () => /^(http\S+)\n/.exec(out.kept.text)?.[1]);
    return { url, process, text: () => log.kept.text, [Symbol.asyncDispose]: end };
  } catch (cause) {
    await end();
    throw new Error(`Cannot start ${file}: ${log.kept.text}`, { cause });
  }
}
