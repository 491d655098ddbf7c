/**
 * A compiled plan made ready for hosts of one kind: secrets in, arguments taken apart, local files hashed, modules found.
 *
 * R1. Done once for all hosts that share a plan and a platform.
 * R2. A step that cannot be sent (its module is refused or nowhere, its file is missing) keeps its place, with the reason.
 * R3. Values of secrets are asked for here, at most once a run, and only those that the plan names.
 */
import type { AgentInfo, Hash, WireCommand, WireStep } from "../agent/protocol.ts";
import type { Json, JsonObject } from "../json.ts";
import { chosenModules, localSources, partOf } from "../modules/actions.ts";
import { readArgs } from "../modules/free_form.ts";
import { type ModuleBundle, ModuleError, type ModuleLibrary } from "../modules/library.ts";
import type { ModuleStep, PlanStep, ShellStep } from "../plan.ts";
import { withSecrets } from "../secrets.ts";
import type { Mask } from "./mask.ts";
import type { Compiled } from "./plans.ts";
import type { RunOptions } from "./run.ts";
import { SourceError, Sources } from "./sources.ts";

/** A step of a plan, and how it is done. */
export interface ReadyStep {
  step: PlanStep;
  group: string;
  work: Work;
}
export type Work =
  | { kind: "agent"; wire: WireStep }
  /** By the runner itself, since the connection ends meanwhile. */
  | { kind: "runner"; part: string; args: JsonObject }
  /** R2 */
  | { kind: "refused"; why: string }
  /** Its like stands above: `ranAbove`. */
  | { kind: "above"; id: string };

export interface ReadyPlan {
  steps: ReadyStep[];
  bundle: ModuleBundle;
}

/** Of a host; asked for only where modules differ by it, since the answer takes a round trip. */
export type PlatformOf = () => Promise<Platform>;
type Platform = Pick<AgentInfo, "system" | "machine">;

const ANY_PLATFORM: Platform = { system: "", machine: "" };

const NOTHING: ModuleBundle = { modules: {}, ansible: null, blobs: new Map() };

/** What hosts of one run share. */
export class Preparation {
  readonly #sources: Sources;
  readonly #library: ModuleLibrary;
  readonly #steps = new Map<Compiled, Promise<ReadyStep[]>>();
  readonly #plans = new Map<string, Promise<ReadyPlan>>();
  readonly #values = new Map<string, Promise<string>>();

  constructor(readonly options: Pick<RunOptions, "files" | "modules" | "secrets">, readonly mask: Mask) {
    this.#sources = new Sources(options.files);
    this.#library = options.modules;
  }

  /** @throws {Error} a secret that cannot be had */
  async ready(compiled: Compiled, platformOf: PlatformOf): Promise<ReadyPlan> {
    const reading = this.#steps.get(compiled) ?? this.#read(compiled);
    this.#steps.set(compiled, reading);
    const steps = await reading;
    const modules = [...new Set(steps.flatMap(({ work }) => modulesOf(work)))].sort();
    const platform = await this.#platform(modules, platformOf);
    const key = [compiled.trace.hash, platform.system, platform.machine].join(" ");
    const ready = this.#plans.get(key) ?? this.#bundled(steps, modules, platform);
    this.#plans.set(key, ready);
    return await ready;
  }

  /** A content that a host asks for. @throws {SourceError} also for one that nobody has */
  async blob(hash: Hash, { blobs }: ModuleBundle): Promise<Uint8Array> {
    const bytes = blobs.get(hash) ?? await this.#sources.read(hash);
    if (bytes !== null) return bytes;
    throw new SourceError(`Cannot send the content ${hash}: no step of this run has it`);
  }

  /** Modules besides those of steps. @throws {ModuleError} */
  async bundle(modules: readonly string[], platformOf: PlatformOf): Promise<ModuleBundle> {
    return await this.#bundle(modules, await this.#platform(modules, platformOf));
  }

  async #bundle(modules: readonly string[], platform: Platform): Promise<ModuleBundle> {
    return modules.length === 0 ? NOTHING : await this.#library.bundle(modules, platform);
  }

  async #platform(modules: readonly string[], platformOf: PlatformOf): Promise<Platform> {
    return this.#library.byPlatform(modules) ? await platformOf() : ANY_PLATFORM;
  }

  /** One module that is nowhere must not keep the others from running: R2. */
  async #bundled(
    steps: readonly ReadyStep[],
    modules: readonly string[],
    platform: Platform,
  ): Promise<ReadyPlan> {
    try {
      return { steps: [...steps], bundle: await this.#bundle(modules, platform) };
    } catch (error) {
      if (!(error instanceof ModuleError)) throw error;
    }
    const refused = new Map<string, string>();
    for (const module of modules) {
      await this.#bundle([module], platform).catch((error) => {
        if (!(error instanceof ModuleError)) throw error;
        refused.set(module, error.message);
      });
    }
    const bundle = await this.#bundle(modules.filter((module) => !refused.has(module)), platform);
    return { steps: steps.map((step) => withRefusal(step, refused)), bundle };
  }

  async #read({ plan }: Compiled): Promise<ReadyStep[]> {
    const values = await this.#valuesOf(plan.uses.secrets);
    const fill = (value: Json) => withSecrets(value, (name) => values.get(name) ?? "");
    const ready: ReadyStep[] = [];
    for (const { name: group, steps } of plan.groups) {
      for (const step of steps) ready.push({ step, group, work: await this.#work(step, fill) });
    }
    return ready;
  }

  async #work(step: PlanStep, fill: (value: Json) => Json): Promise<Work> {
    if (step.ranAbove !== undefined) return { kind: "above", id: step.ranAbove };
    if (step.kind === "shell") return { kind: "agent", wire: wireShell(step, fill) };
    try {
      return await this.#moduleWork(step, fill(step.args) as JsonObject);
    } catch (error) {
      if (!(error instanceof ModuleError) && !(error instanceof SourceError)) throw error;
      return { kind: "refused", why: error.message };
    }
  }

  async #moduleWork({ module, ...step }: ModuleStep, filled: JsonObject): Promise<Work> {
    const answer = this.#library.action(module);
    if ("refused" in answer) return { kind: "refused", why: answer.refused };
    const args = readArgs(module, filled);
    const { action } = answer;
    const part = action === null ? null : partOf(`ansible.builtin.${action}`);
    if (action !== null && part !== null && "where" in part && part.where === "runner") {
      return { kind: "runner", part: action, args };
    }
    const sources = action === null ? [] : localSources(module, args);
    const files = await this.#sources.wireFiles({ module, ...step }, sources);
    const wire = { kind: "module", id: step.id, module, args, action } as const;
    return { kind: "agent", wire: files.length === 0 ? wire : { ...wire, files } };
  }

  async #valuesOf(names: readonly string[]): Promise<Map<string, string>> {
    const values = new Map<string, string>();
    for (const name of names) {
      const value = this.#values.get(name) ?? this.#value(name);
      this.#values.set(name, value);
      values.set(name, await value);
    }
    return values;
  }

  async #value(name: string): Promise<string> {
    const value = await this.options.secrets.get(name)?.();
    if (value === undefined) throw new Error(`Cannot use the secret "${name}": this run has no value for it`);
    this.mask.add(name, value); // before any host has seen it
    return value;
  }
}

/** Those that the library has to find. `raw`, `script` and `fetch` are actions alone, which need none. */
function modulesOf(work: Work): string[] {
  if (work.kind !== "agent" || work.wire.kind !== "module") return [];
  const { module, args, action } = work.wire;
  if (action === null) return [module];
  const part = partOf(`ansible.builtin.${action}`);
  const isAlone = "refused" in part || part.companions.length === 0;
  return isAlone ? [] : [module, ...chosenModules(module, args)];
}

function withRefusal(ready: ReadyStep, refused: ReadonlyMap<string, string>): ReadyStep {
  const why = modulesOf(ready.work).map((module) => refused.get(module)).find((each) => each !== undefined);
  return why === undefined ? ready : { ...ready, work: { kind: "refused", why } };
}

function wireShell({ id, commands }: ShellStep, fill: (value: Json) => Json): WireStep {
  // The names of a plan's command are those of the wire; texts with secrets become texts.
  const filled = fill(JSON.parse(JSON.stringify(commands))) as unknown as WireCommand[];
  return { kind: "shell", id, commands: filled };
}
