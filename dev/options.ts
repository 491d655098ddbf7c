/** The flags of `deno task dev`. */
import { parseArgs } from "node:util";
import { messageOf, SalarError } from "../lib/errors.ts";

export interface DevOptions {
  port: number;
  /** Data folder. */
  data: string;
  fresh: boolean;
  help: boolean;
  verbose: boolean;
}

export const DEV_HELP = `Run the whole mesh in one process, with a demo cluster.

Usage: deno task dev [--port N] [--data FOLDER] [--fresh] [--verbose]

  --port N        port of everything on 127.0.0.1 (default 8480; 0 takes a free one)
  --data FOLDER   where state is kept for the next start (default .salar)
  --fresh         forget what an earlier start left in the data folder
  --verbose       log every request and message, not only what is worth a look
`;

/** @throws {SalarError} `bad-input`, saying what is wrong. */
export function devOptions(args: string[]): DevOptions {
  try {
    const { values } = parseArgs({
      args,
      options: {
        port: { type: "string", default: "8480" },
        data: { type: "string", default: ".salar" },
        fresh: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
        verbose: { type: "boolean", default: false },
      },
    });
    const port = Number(values.port);
    if (!/^\d{1,5}$/.test(values.port) || port > 65_535) {
      throw new Error(`--port takes 0 to 65535, not "${values.port}"`);
    }
    return { ...values, port };
  } catch (cause) {
    throw new SalarError("bad-input", `Cannot start: ${messageOf(cause)}; see deno task dev --help`, {
      cause,
    });
  }
}
