/** `salar state apply` as people run it: the tool in a process of its own, with the permissions that it has. */
const CLONE = new URL("../..", import.meta.url).pathname;

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
  /** With --json: the last line. */
  summary: Record<string, unknown>;
  /** With --json: all lines. */
  events: Record<string, unknown>[];
}

export interface Running {
  pid: number;
  child: Deno.ChildProcess;
  done: Promise<Ran>;
}

/** @param args after `salar state apply` @param env all that the tool sees besides PATH and HOME */
export function startApply(
  folder: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Running {
  const main = `${CLONE}cli/main.ts`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--config", `${CLONE}deno.json`, "-P=cli", main, "state", "apply", ...args],
    cwd: folder,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin",
      HOME: folder, // no ~/.ssh, no Ansible of this machine
      USER: "root",
      DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return { pid: child.pid, child, done: outcome(child) };
}

export function apply(
  folder: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Ran> {
  return startApply(folder, args, env).done;
}

async function outcome(child: Deno.ChildProcess): Promise<Ran> {
  const { code, stdout, stderr } = await child.output();
  const text = new TextDecoder().decode(stdout);
  const lines = text.trim().split("\n").filter((line) => line.startsWith("{"));
  const events = lines.map((line): Record<string, unknown> => JSON.parse(line));
  return {
    code,
    stdout: text,
    stderr: new TextDecoder().decode(stderr),
    summary: events.at(-1) ?? {},
    events,
  };
}

/** Files by path below a fresh folder, which `work` gets; removed afterwards. */
export async function inFolder<T>(
  files: Record<string, string>,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await Deno.makeTempDir({ prefix: "salar-apply-" });
  try {
    for (const [path, text] of Object.entries(files)) {
      await Deno.mkdir(`${folder}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${path}`, text);
    }
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Command lines of processes of this machine that have `mark` in them, or work in a folder of that name. */
export function processesWith(mark: string): string[] {
  const found: string[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === Deno.pid) continue;
    const line = textOf(`/proc/${name}/cmdline`);
    if (line.includes(mark) || folderOf(name).startsWith(mark)) found.push(`${name} ${line}`);
  }
  return found;
}

function textOf(path: string): string {
  return orEmpty(() => Deno.readTextFileSync(path).replaceAll("\0", " "));
}

function folderOf(process: string): string {
  return orEmpty(() => Deno.readLinkSync(`/proc/${process}/cwd`));
}

/** Of processes that have ended meanwhile, or are none of ours. */
function orEmpty(read: () => string): string {
  try {
    return read();
  } catch (error) {
    const isElsewhere = error instanceof Deno.errors.NotFound ||
      error instanceof Deno.errors.PermissionDenied;
    if (isElsewhere || `${error}`.includes("No such process")) return "";
    throw error;
  }
}
