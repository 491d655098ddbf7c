/**
 * The table of parity in docs/nanostate-modules.md: `deno run -A tests/nanostate/parity_table.ts --write`.
 *
 * In: the cases, which `parity_test.ts` proves, and the names of the builtin modules of both versions. Out: Markdown.
 * T1. Every builtin module of either version stands there: with its cases, or with why it is refused.
 */
import { partOf } from "../../lib/nanostate/modules/actions.ts";
import { ANSIBLE_VERSIONS, type AnsibleVersion, ensureAnsible } from "../parts/ansible.ts";
import { casesOf } from "./parity.ts";
import type { ParityCase } from "./parity_cases.ts";

export const TABLE = new URL("../../docs/nanostate-modules.md", import.meta.url).pathname;
export const REWRITE = "deno run -A tests/nanostate/parity_table.ts --write";

const BUILTIN = "ansible.builtin.";
const HEAD = `# Ansible's modules, and ours beside them

What \`salar state apply\` gives for a builtin module is compared with what \`ansible -m\` gives, on two hosts that are made
alike, in check mode, fresh, and again: the whole result but times, numbers of the file system and temporary names
(\`tests/nanostate/parity.ts\`). A number says with how many arguments (\`tests/nanostate/parity_cases.ts\`); all results are equal
but for what the last column names. \`-\`: this version has no such module.

This page is written by \`${REWRITE}\`, and the tests fail when it is stale.

`;

/** Short names of the modules that each version has. */
export async function builtinModules(): Promise<Map<AnsibleVersion, string[]>> {
  const modules = new Map<AnsibleVersion, string[]>();
  for (const version of ANSIBLE_VERSIONS) modules.set(version, await modulesOf(version));
  return modules;
}

async function modulesOf(version: AnsibleVersion): Promise<string[]> {
  const { package: ansible } = await ensureAnsible(version);
  const names: string[] = [];
  for await (const { name } of Deno.readDir(`${ansible}/modules`)) {
    if (name.endsWith(".py") && name !== "__init__.py") names.push(name.slice(0, -3));
  }
  return names.sort();
}

export function parityTable(modules: ReadonlyMap<AnsibleVersion, readonly string[]>): string {
  const names = new Set(
    ANSIBLE_VERSIONS.flatMap((version) => [...modules.get(version) ?? [], ...caseNames(version)]),
  );
  const rows = [...names].sort().map((name) => {
    const cells = ANSIBLE_VERSIONS.map((version) => cellOf(name, version, modules.get(version) ?? []));
    return `| ${[name, ...cells, notesOf(name).join("; ")].join(" | ")} |\n`;
  });
  const head = `| module | ${
    ANSIBLE_VERSIONS.join(" | ")
  } | what is not equal, and why |\n| --- | ---: | ---: | --- |\n`;
  return HEAD + head + rows.join("");
}

/** Modules of a version that have neither a case nor a reason. @see T1 */
export function withoutCase(version: AnsibleVersion, modules: readonly string[]): string[] {
  const tested = new Set(caseNames(version));
  return modules.filter((name) => !tested.has(name) && refusalOf(name) === null);
}

function cellOf(name: string, version: AnsibleVersion, modules: readonly string[]): string {
  const count = casesNamed(name, version).length;
  if (count > 0) return String(count);
  return modules.includes(name) ? "refused" : "-";
}

function notesOf(name: string): string[] {
  const notes = ANSIBLE_VERSIONS.flatMap((version) =>
    casesNamed(name, version).flatMap(({ refusal, modes, differs = [] }) => [
      ...refusal === undefined ? [] : [`its own refusal only: ${refusal}`],
      ...modes === undefined ? [] : [`in ${modes.join(" and ")} mode only: the host would end`],
      ...differs.map(({ key, why, versions }) =>
        `${versions === undefined ? "" : `${versions.join(", ")}: `}\`${key}\`, ${why}`
      ),
    ])
  );
  const refused = refusalOf(name);
  return [...new Set(refused === null ? notes : [...notes, refused])];
}

function casesNamed(name: string, version: AnsibleVersion): ParityCase[] {
  return casesOf(version).filter(({ module }) => module === BUILTIN + name);
}

function caseNames(version: AnsibleVersion): string[] {
  return casesOf(version).map(({ module }) => module.slice(BUILTIN.length));
}

function refusalOf(name: string): string | null {
  const part = partOf(BUILTIN + name);
  return "refused" in part ? part.refused.replace(/^.*?; /, "") : null;
}

if (import.meta.main) {
  const table = parityTable(await builtinModules());
  if (Deno.args.includes("--write")) await Deno.writeTextFile(TABLE, table);
  else await Deno.stdout.write(new TextEncoder().encode(table));
}
