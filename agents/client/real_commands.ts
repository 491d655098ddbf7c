/**
 * Programs of a real host, each under coreutils' `timeout`: the limit then holds even when the agent is killed,
 * and a `salt-call` that hangs does not stay behind.
 */
import { messageOf, SalarError } from "../../lib/errors.ts";
import type { Commands } from "./salt_minion.ts";

/** From the polite signal to the one that nothing survives. */
const KILL_AFTER_S = 2;
const STDOUT_BYTES_MAX = 1024 * 1024;

export function realCommands(): Commands {
  return {
    async run(scope, argv, limitMs) {
      const args = [`--kill-after=${KILL_AFTER_S}`, `${limitMs / 1000}`, ...argv];
      const { signal } = scope;
      const output = await start(argv, { args, signal, stdin: "null", stdout: "piped", stderr: "null" });
      if (signal.aborted) throw new SalarError("cancelled", `Cannot run ${argv[0]}: the agent is ending`);
      return {
        code: output.code,
        stdout: new TextDecoder().decode(output.stdout.subarray(0, STDOUT_BYTES_MAX)),
      };
    },
  };
}

async function start(argv: readonly string[], options: Deno.CommandOptions): Promise<Deno.CommandOutput> {
  try {
    return await new Deno.Command("timeout", options).output();
  } catch (cause) {
    throw new SalarError("unavailable", `Cannot run ${argv[0]}: ${messageOf(cause)}`, { cause });
  }
}
