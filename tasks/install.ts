/**
 * `deno task install [--to FOLDER]`: puts a command `salar` on the PATH that runs the admin tool from this clone.
 *
 * I1. A `salar` that this task did not write is never overwritten.
 */
import { print } from "./print.ts";

const MARK = "# Written by `deno task install` of Salar.";
const HELP = `Usage: deno task install [--to FOLDER]

Puts the command "salar" into FOLDER; without it into /usr/local/bin, or ~/.local/bin where that is not writable.
It runs from this clone: update the clone and it is newer, remove the clone and it is gone.`;

export interface Launcher {
  /** Absolute path of the clone. */
  clone: string;
  /** The Deno to start, as long as it is there; else npx finds one, which takes a moment longer. */
  deno: string;
}

/** Writes the launcher into `folder` and returns its path. Throws where a foreign `salar` is in its way. */
export async function installLauncher(folder: string, launcher: Launcher): Promise<string> {
  const path = `${folder}/salar`;
  const present = await Deno.readTextFile(path).catch(() => null);
  if (present !== null && !present.includes(MARK)) {
    throw new Error(`Cannot install ${path}: another program is there; remove it or give --to FOLDER`);
  }
  await Deno.mkdir(folder, { recursive: true });
  const unfinished = `${path}.${Deno.pid}`;
  await Deno.writeTextFile(unfinished, launcherText(launcher), { mode: 0o755 });
  await Deno.rename(unfinished, path); // somebody may be running the old one
  return path;
}

function launcherText({ clone, deno }: Launcher): string {
  return `#!/bin/sh
${MARK}
clone=${shellQuoted(clone)}
deno=${shellQuoted(deno)}
set -- run --quiet --config "$clone/deno.json" -P=cli "$clone/cli/main.ts" "$@"
[ -x "$deno" ] && exec "$deno" "$@"
exec npx -y deno "$@"
`;
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

async function main(args: string[]): Promise<number> {
  const [option, folder] = args;
  if (option === "--help" || option === "-h") {
    print(HELP);
    return 0;
  }
  if (option !== undefined && (option !== "--to" || folder === undefined || args.length > 2)) {
    print(HELP);
    return 2;
  }
  const clone = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
  const launcher = { clone: decodeURIComponent(clone), deno: Deno.execPath() };
  const target = folder ?? await defaultFolder();
  print(`Installed ${await installLauncher(target, launcher)}`);
  if (!(Deno.env.get("PATH") ?? "").split(":").includes(target)) {
    print(`${target} is not on your PATH yet: add it, for example by: export PATH="${target}:$PATH"`);
  }
  return 0;
}

async function defaultFolder(): Promise<string> {
  const system = "/usr/local/bin";
  const probe = await Deno.makeTempFile({ dir: system }).catch(() => null);
  if (probe === null) return `${Deno.env.get("HOME") ?? ""}/.local/bin`;
  await Deno.remove(probe);
  return system;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
