/**
 * `deno task package node-agent|client-agent --to FOLDER`: all that a host without Internet needs to run an agent.
 *
 * Out: the folder `salar-<program>-<version>-<id>`, and the same as `.tar.gz`. In it: the Deno that runs now, the agent as
 * one bundled file, the permissions of deno.json, a launcher, a systemd unit and an init script; for a node the states too.
 * P1. The same source and the same Deno give the same bytes; `id` is of the checksums of all files (`SHA256SUMS`).
 * P2. The agent has the permissions of deno.json there too, and nothing is fetched to run it.
 */
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "../lib/version.ts";
import { print } from "./print.ts";

const HELP = `Usage: deno task package node-agent|client-agent [--to FOLDER]

Makes a package of the agent in FOLDER (else the current one): a folder, and the same as .tar.gz, which the
nanostates node-agent and client-agent take as parameter "package".`;

const CLONE = new URL("..", import.meta.url);
const ID_CHARS = 12;
/** Of CommonJS; a part of ssh2 asks for it without need. */
const BANNER = "const __dirname = import.meta.dirname;\n";

/** Program → its folder in agents/, and the command that it becomes. */
const PROGRAMS = {
  "node-agent": { source: "node", command: "salar-node" },
  "client-agent": { source: "client", command: "salar-client" },
} as const;
export type Program = keyof typeof PROGRAMS;

export interface AgentPackage {
  folder: string;
  archive: string;
}

/** Makes the package, or leaves it as it is where it is there already. Throws when a part cannot be made. */
export async function packageAgent(program: Program, where: string): Promise<AgentPackage> {
  await Deno.mkdir(where, { recursive: true });
  const to = await Deno.realPath(where);
  const unfinished = await Deno.makeTempDir({ dir: to, prefix: ".package-" });
  try {
    await fill(unfinished, program);
    const sums = await checksums(unfinished);
    await writeFile(`${unfinished}/SHA256SUMS`, sums, 0o644);
    const id = (await sha256(new TextEncoder().encode(sums))).slice(0, ID_CHARS);
    const folder = `${to}/salar-${program}-${VERSION}-${id}`;
    const archive = `${folder}.tar.gz`;
    await Deno.remove(folder, { recursive: true }).catch(ignoreMissing);
    await Deno.chmod(unfinished, 0o755);
    await Deno.rename(unfinished, folder);
    await pack(folder, archive);
    return { folder, archive };
  } catch (error) {
    await Deno.remove(unfinished, { recursive: true }).catch(ignoreMissing);
    throw error;
  }
}

async function fill(folder: string, program: Program): Promise<void> {
  const { source, command } = PROGRAMS[program];
  await bundle(`agents/${source}/main.ts`, `${folder}/agent.js`);
  await Deno.copyFile(Deno.execPath(), `${folder}/deno`);
  await Deno.chmod(`${folder}/deno`, 0o755);
  await writeFile(`${folder}/deno.json`, await permissions(program), 0o644);
  await writeFile(`${folder}/${command}`, launcher(program), 0o755);
  const root = program === "node-agent" ? [["root.conf", 0o644] as const] : [];
  for (const [suffix, mode] of [["service", 0o644], ["init", 0o755], ...root] as const) {
    const text = await Deno.readTextFile(new URL(`deploy/agents/${command}.${suffix}`, CLONE));
    await writeFile(`${folder}/${command}.${suffix}`, text, mode);
  }
  if (program === "node-agent") await copyFolder(new URL("states/", CLONE), `${folder}/states`);
}

async function copyFolder(from: URL, to: string): Promise<void> {
  await Deno.mkdir(to, { mode: 0o755 });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copyFolder(new URL(`${name}/`, from), `${to}/${name}`);
    else await writeFile(`${to}/${name}`, await Deno.readTextFile(new URL(name, from)), 0o644);
  }
}

/**
 * One file of everything, as Deno bundles it. It is made in the clone's folder and says where its parts came from by paths
 * from there; that of the cache is taken out, which is another one on another machine (P1).
 */
async function bundle(source: string, to: string): Promise<void> {
  // Parts of ssh2 that are compiled are optional: it asks for them, and goes on without.
  const args = [
    "bundle",
    "--quiet",
    "--platform=deno",
    "--frozen",
    "--external=*.node",
    "--output",
    to,
    source,
  ];
  await run(Deno.execPath(), args, CLONE);
  const { npmCache } = JSON.parse(await run(Deno.execPath(), ["info", "--json"], CLONE));
  const cache = relative(fileURLToPath(CLONE), npmCache);
  const text = (await Deno.readTextFile(to)).replaceAll(cache, "npm");
  await writeFile(to, BANNER + text, 0o644);
}

async function permissions(program: Program): Promise<string> {
  const { permissions, unstable } = JSON.parse(await Deno.readTextFile(new URL("deno.json", CLONE)));
  return JSON.stringify({ permissions: { [program]: permissions[program] }, unstable }, null, 2) + "\n";
}

/** Through a link too, such as /opt/salar/node-agent: the permissions are those beside the link's target. */
function launcher(program: Program): string {
  return `#!/bin/sh
# Nothing is cached: an agent's user has no home, and the bundle is all there is.
here=$(dirname "$(readlink -f "$0")")
export DENO_DIR="\${DENO_DIR:-/nonexistent}" DENO_NO_UPDATE_CHECK=1
exec "$here/deno" run --quiet --no-prompt --no-lock --no-remote --config "$here/deno.json" -P=${program} "$here/agent.js" "$@"
`;
}

/** Names in order, no times, no owners (P1). */
async function pack(folder: string, archive: string): Promise<void> {
  const parent = folder.slice(0, folder.lastIndexOf("/"));
  const unfinished = `${archive}.part`;
  const same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "--mode=go-w"];
  const args = [
    ...same,
    "--use-compress-program=gzip -n -1",
    "-cf",
    unfinished,
    folder.slice(parent.length + 1),
  ];
  await run("tar", ["-C", parent, ...args], CLONE);
  await Deno.rename(unfinished, archive);
}

/** Lines as `sha256sum --check` reads them, by path. */
async function checksums(folder: string): Promise<string> {
  const lines = await Promise.all(
    (await filesIn(folder)).sort().map(async (path) =>
      `${await sha256(await Deno.readFile(`${folder}/${path}`))}  ${path}\n`
    ),
  );
  return lines.join("");
}

async function filesIn(folder: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    found.push(...isDirectory ? await filesIn(folder, `${below}${name}/`) : [below + name]);
  }
  return found;
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

async function writeFile(path: string, text: string, mode: number): Promise<void> {
  await Deno.writeTextFile(path, text);
  await Deno.chmod(path, mode); // whatever the umask is
}

/** Its standard output. */
async function run(program: string, args: string[], cwd: URL): Promise<string> {
  const command = new Deno.Command(program, { args, cwd, stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (code === 0) return text(stdout);
  throw new Error(`Cannot make package: ${program} ended with ${code}\n${text(stderr)}`);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

function isProgram(name: string | undefined): name is Program {
  return name !== undefined && Object.hasOwn(PROGRAMS, name);
}

async function main(args: string[]): Promise<number> {
  const [program, option = "--to", to = "."] = args;
  if (program === "--help" || program === "-h") {
    print(HELP);
    return 0;
  }
  if (!isProgram(program) || option !== "--to" || args.length === 2 || args.length > 3) {
    print(HELP);
    return 2;
  }
  const { archive } = await packageAgent(program, to);
  print(archive);
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
