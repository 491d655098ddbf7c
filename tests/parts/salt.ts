/**
 * Salt as tests run it: both lines, since they differ in what matters to a move.
 *
 * 3006 is the line that Uyuni's `venv-salt-minion` belongs to; 3008 is the newest. Exact pins: later releases
 * of both ask for a certifi that registries may lack.
 */
import { cached } from "./cache.ts";
import { ensurePythonBuild, makeVenv } from "./python.ts";

export type SaltLine = "3006" | "3008";

export const SALT_LINES: readonly SaltLine[] = ["3006", "3008"];

const VERSIONS: Record<SaltLine, string> = { "3006": "3006.28", "3008": "3008.3" };

export interface Salt {
  line: SaltLine;
  /** The interpreter that can import Salt. */
  python: string;
  /** Program and arguments that run one of Salt's own programs, such as `salt-call`. */
  command(program: string): [string, ...string[]];
}

/** Installs one line into its own virtual environment: one to two minutes, once. */
export async function ensureSalt(line: SaltLine): Promise<Salt> {
  const version = VERSIONS[line];
  const folder = await cached({
    name: "salt",
    version,
    async build(folder) {
      const { python } = await ensurePythonBuild();
      await makeVenv(python, folder, [`salt==${version}`]);
    },
  });
  const python = `${folder}/bin/python`;
  return { line, python, command: (program) => [python, `${folder}/bin/${program}`] };
}

/** Writes Salt configuration; every value is JSON, which YAML reads. */
export async function writeSaltConfig(file: string, settings: Record<string, unknown>): Promise<void> {
  const lines = Object.entries(settings).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
  await Deno.writeTextFile(file, lines.join(""));
}

/** The user that Salt's daemons shall run as: the present one. */
export function saltUser(): string {
  return Deno.uid() === 0 ? "root" : Deno.env.get("USER") ?? `${Deno.uid()}`;
}
