/**
 * `salar`: the admin tool. The only file here that chooses real parts.
 *
 *     deno run -P=cli cli/main.ts nodes list
 */
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { realDisk } from "../lib/mesh/real_disk.ts";
import { realNet } from "../lib/mesh/real_net.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import { EXIT } from "./exit.ts";
import { runSalar } from "./program.ts";
import { realFiles } from "./real_files.ts";
import { realNanostates } from "./real_nanostate.ts";
import { realStore } from "./real_store.ts";
import type { Sink, Source } from "./world.ts";

/** What a shell shows for a program that ended because nobody reads its output any more (SIGPIPE). */
const EXIT_BROKEN_PIPE = 141;
/** Of a terminal that does not tell. */
const COLUMNS_UNKNOWN = 80;

function sink(stream: typeof Deno.stdout | typeof Deno.stderr): Sink {
  return {
    isTerminal: stream.isTerminal(),
    columns: () => Deno.consoleSize().columns || COLUMNS_UNKNOWN,
    write(text) {
      const bytes = new TextEncoder().encode(text);
      try {
        for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
      } catch (error) {
        if (error instanceof Deno.errors.BrokenPipe) Deno.exit(EXIT_BROKEN_PIPE); // `salar … | head`
        throw error;
      }
    },
  };
}

function source(signal: AbortSignal): Source {
  // Ctrl-C ends the input: a read cannot be taken back.
  const aborted = new Promise<null>((resolve) =>
    signal.addEventListener("abort", () => resolve(null), { once: true })
  );
  const text = async (untilLineEnd: boolean): Promise<string> => {
    const chunks: string[] = [];
    const decoder = new TextDecoder();
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const read = await Promise.race([Deno.stdin.read(buffer), aborted]);
      if (read === null) break;
      chunks.push(decoder.decode(buffer.subarray(0, read), { stream: true }));
      if (untilLineEnd && chunks.at(-1)?.includes("\n")) break;
    }
    return chunks.join("") + decoder.decode();
  };
  return {
    isTerminal: Deno.stdin.isTerminal(),
    text: () => text(false),
    line: async () => (await text(true)).split(/\r?\n/)[0] ?? null,
    async hiddenLine() {
      if (Deno.stdin.isTerminal()) Deno.stdin.setRaw(true, { cbreak: true }); // Ctrl-C still ends the program
      try {
        return (await text(true)).split(/\r?\n/)[0] ?? null;
      } finally {
        if (Deno.stdin.isTerminal()) Deno.stdin.setRaw(false);
      }
    },
  };
}

const ending = new AbortController();
Deno.addSignalListener("SIGINT", () => {
  if (ending.signal.aborted) Deno.exit(EXIT.interrupted);
  ending.abort();
});
const scope = realScope({ name: "salar", signal: ending.signal });
const env = Deno.env.toObject();
Deno.exit(
  await runSalar(Deno.args, {
    scope,
    lastScope: realScope({ name: "salar" }),
    net: realNet,
    disk: realDisk(),
    files: realFiles(),
    crypt: realCrypt(),
    store: (config, options) => realStore(scope, config, options),
    nanostates: realNanostates(env),
    env,
    folder: Deno.cwd(),
    stdin: source(ending.signal),
    stdout: sink(Deno.stdout),
    stderr: sink(Deno.stderr),
  }),
);
