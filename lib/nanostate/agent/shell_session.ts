/**
 * The other side of `shell_agent.sh`: contents first, then a whole run as one script, then its lines as events.
 *
 * Q3. What a line says and what a result is made of: here. Over there nothing is parsed but these few words.
 */
import type { JsonObject } from "../json.ts";
import { SHELL_LINE_BYTES_MAX } from "../limits.ts";
import { HostError } from "../transport/transport.ts";
import type { ByteReader } from "./byte_reader.ts";
import type { Blobs, Dialect } from "./dialect.ts";
import { unreadable } from "./frames.ts";
import { moduleResult } from "./module_result.ts";
import type {
  AgentInfo,
  AgentRun,
  Hash,
  WireCommand,
  WireCommandResult,
  WireEvent,
  WireResult,
  WireStep,
} from "./protocol.ts";
import agent from "./shell_agent.sh" with { type: "text" };
import { shellScript, shellWork } from "./shell_script.ts";

export interface ShellWire {
  reader: ByteReader;
  write(bytes: Uint8Array): Promise<void>;
}

/** @param sync ends what was sent for Python. @throws {HostError} @throws {EndOfStream} */
export async function startShell(wire: ShellWire, sync: Uint8Array): Promise<Dialect> {
  await wire.write(sync);
  await wire.write(counted("", agent));
  await line(wire); // of the sign before
  const [word, user, system, machine] = (await line(wire)).split(" ");
  if (word !== "hello" || user === undefined || system === undefined || machine === undefined) {
    throw unreadable("something else than its greeting");
  }
  const info: AgentInfo = { kind: "sh", python: null, user, system, machine };
  return { info, run: (run, blobs) => new ShellRun(wire, run).events(blobs) };
}

class ShellRun {
  constructor(readonly wire: ShellWire, readonly run: AgentRun) {}

  async *events(blobs: Blobs): AsyncGenerator<WireEvent, void> {
    for (const hash of this.#binaries()) await this.#put(hash, blobs);
    await this.wire.write(counted("run ", shellScript(this.run)));
    const steps = this.run.groups.flatMap((group) => group.steps);
    for (const step of steps) {
      const start = await line(this.wire);
      if (start === "begin") {
        yield { type: "begin", step: step.id };
        yield { type: "result", result: await this.#step(step) };
      } else {
        const [word, number] = start.split(" ");
        const failed = steps[Number(number)];
        if (word !== "stopped" || failed === undefined && number !== "-") {
          throw unreadable(JSON.stringify(start));
        }
        const why = failed === undefined ? "a step that it needs failed" : `the step ${failed.id} failed`;
        yield { type: "result", result: { step: step.id, kind: "not-run", why, cannot: false } };
      }
    }
    await this.#expect("end");
  }

  #binaries(): Set<Hash> {
    const works = this.run.groups.flatMap(({ steps }) => steps.map((step) => shellWork(this.run, step)));
    return new Set(works.flatMap((work) => work.kind === "binary" ? [work.blob] : []));
  }

  /** One that cannot be given is missed by its step only. */
  async #put(hash: Hash, blobs: Blobs): Promise<void> {
    await this.wire.write(encoder.encode(`has ${hash}\n`));
    if (await line(this.wire) === "yes") return;
    const blob = await blobs(hash).catch(() => null);
    if (blob === null) return;
    await this.wire.write(encoder.encode(`put ${hash} ${blob.length}\n`));
    await this.wire.write(blob);
    const answer = await line(this.wire);
    if (answer.startsWith("bad ")) {
      throw new HostError("disk", `Cannot store a module there: ${answer.slice(4)}`);
    }
    if (answer !== "put") throw unreadable(JSON.stringify(answer));
  }

  async #step(step: WireStep): Promise<WireResult> {
    const startedMs = performance.now();
    const work = shellWork(this.run, step);
    const commands: WireCommandResult[] = [];
    let module: JsonObject | null = null;
    let cannot = work.kind === "cannot" ? work.why : null;
    if (work.kind === "commands") {
      for (const command of work.commands) commands.push(await this.#command(command));
    } else if (work.kind === "binary") {
      const answer = await line(this.wire);
      if (answer === "cannot") {
        cannot = `the module ${step.kind === "module" ? step.module : ""} could not be sent`;
      } else {
        const ran = await this.#outputs(answer);
        commands.push({ name: step.id, outcome: "ok", why: "", ...ran });
        module = ran.timedOut ? this.#timedOut() : moduleResult(ran.stdout, ran.stderr, ran.rc);
      }
    } else if (work.kind === "cannot") {
      await this.#expect("cannot");
    } else {
      module = { skipped: true };
    }
    await this.#expect("done");
    const ms = Math.round(performance.now() - startedMs);
    if (cannot !== null) return { step: step.id, kind: "not-run", why: cannot, cannot: true };
    if (step.kind === "shell") return { step: step.id, kind: "shell", ms, commands };
    const [ran] = commands;
    const result = module ?? rawResult(ran);
    return {
      step: step.id,
      kind: "module",
      ms,
      result,
      stderr: ran?.stderr ?? "",
      timedOut: ran?.timedOut ?? false,
    };
  }

  async #command(command: WireCommand): Promise<WireCommandResult> {
    const answer = await line(this.wire);
    const [word, guard, rc] = answer.split(" ");
    const nothing = { name: command.name, rc: null, stdout: "", stderr: "", timedOut: false };
    switch (word) {
      case "not-run":
        return { ...nothing, outcome: "not-run", why: "an earlier command failed" };
      case "spent":
        return { ...nothing, outcome: "not-run", why: "the time of this step is used up" };
      case "skipped":
        return { ...nothing, outcome: "skipped", why: skipReason(command, guard, rc) };
      case "forgetful":
        return {
          ...nothing,
          outcome: "failed",
          why: "cannot remember that it ran: its folder is not for its owner alone",
        };
      case "would":
        return { ...nothing, ...foreseen(command) };
      default:
        return { name: command.name, ...this.#judged(command, await this.#outputs(answer)) };
    }
  }

  #judged(command: WireCommand, ran: Ran): Ran & Pick<WireCommandResult, "outcome" | "why"> {
    if (ran.timedOut) return { ...ran, outcome: "failed", why: this.#tooLong() };
    if (ran.rc === null || !(command.ok ?? [0]).includes(ran.rc)) {
      return { ...ran, outcome: "failed", why: `exit code ${ran.rc}` };
    }
    return { ...ran, outcome: hasChanged(command, ran.stdout) ? "changed" : "ok", why: "" };
  }

  /** `ran RC OVER OUT ERR`, then as many bytes of both. */
  async #outputs(answer: string): Promise<Ran> {
    const [word, rc, over, out, err] = answer.split(" ");
    const sizes = [Number(out), Number(err)] as const;
    if (word !== "ran" || !sizes.every((size) => Number.isInteger(size) && size >= 0)) {
      throw answer.startsWith("disk ") ? noRoom(answer) : unreadable(JSON.stringify(answer));
    }
    const stdout = decoder.decode(await this.wire.reader.take(sizes[0]));
    const stderr = decoder.decode(await this.wire.reader.take(sizes[1]));
    return { rc: rc === "-" ? null : Number(rc), timedOut: over === "1", stdout, stderr };
  }

  #timedOut(): JsonObject {
    return { failed: true, msg: this.#tooLong() };
  }

  #tooLong(): string {
    return `ended: it took longer than ${this.run.stepMs / 1000} s`;
  }

  async #expect(word: string): Promise<void> {
    const answer = await line(this.wire);
    if (answer !== word) throw unreadable(JSON.stringify(answer));
  }
}

type Ran = Pick<WireCommandResult, "rc" | "stdout" | "stderr" | "timedOut">;

/** As the action `raw` of actions.py. */
function rawResult(ran: WireCommandResult | undefined): JsonObject {
  if (ran === undefined || ran.timedOut) return { failed: true, msg: ran?.why ?? "it did not run" };
  const result = { changed: true, rc: ran.rc, stdout: ran.stdout, stderr: ran.stderr };
  return ran.rc === 0 ? result : { ...result, failed: true, msg: "non-zero return code" };
}

function skipReason(command: WireCommand, guard = "", rc = ""): string {
  switch (guard) {
    case "creates":
      return `creates: ${command.creates} is there`;
    case "removes":
      return `removes: ${command.removes} is not there`;
    case "unless":
      return "unless: it succeeded";
    case "onlyif":
      return `onlyif: exit code ${rc}`;
    case "once":
      return "once: it ran before";
    default:
      throw unreadable(`the guard ${JSON.stringify(guard)}`);
  }
}

/** As `foreseen` of commands.py: in check mode, with guards that let it run. */
function foreseen(command: WireCommand): Pick<WireCommandResult, "outcome" | "why"> {
  const { changed, creates, removes, unless, onlyif, once } = command;
  if (changed === "never") {
    return { outcome: "skipped", why: "check mode; it would see what is above it done" };
  }
  if (changed !== undefined) {
    return { outcome: "unknown", why: "its output tells whether it changes something" };
  }
  const guards = [creates, removes, unless, onlyif, once];
  if (guards.some((guard) => guard)) return { outcome: "changed", why: "it would run" };
  return { outcome: "unknown", why: "it has no guard that tells" };
}

function hasChanged({ changed }: WireCommand, stdout: string): boolean {
  if (changed === undefined) return true;
  return changed !== "never" && new RegExp(changed, "m").test(stdout);
}

async function line({ reader }: ShellWire): Promise<string> {
  const text = await reader.line(SHELL_LINE_BYTES_MAX);
  if (text.startsWith("disk ")) throw noRoom(text);
  return text;
}

function noRoom(text: string): HostError {
  return new HostError("disk", `Cannot store what a run needs there: ${text.slice(5)}; make room`);
}

function counted(before: string, script: string): Uint8Array {
  const bytes = encoder.encode(script);
  const head = encoder.encode(`${before}${bytes.length}\n`);
  const joined = new Uint8Array(head.length + bytes.length);
  joined.set(head);
  joined.set(bytes, head.length);
  return joined;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
