/**
 * Files that `fetch` brings from one host, while its run goes on.
 *
 * F1. A piece is written before the next one is taken, so a fast host cannot fill the memory.
 * F2. Only a whole file whose checksum is the host's takes its place.
 * F3. What cannot be stored here fails its step; the others go on.
 */
import type { WireFetched, WireResult } from "../agent/protocol.ts";
import type { JsonObject } from "../json.ts";
import { isTrue } from "../modules/actions.ts";
import { fetchResult, fetchTarget } from "../modules/fetch.ts";
import { ModuleError } from "../modules/library.ts";
import { failure } from "./outcome.ts";
import type { ReadyStep } from "./prepare.ts";
import type { ControllerFiles, Received } from "./run.ts";
import { localPath } from "./sources.ts";

const FETCH = "ansible.builtin.fetch";

export class Fetches {
  #open: { step: string; pipe: Pipe; received: Promise<Received> } | null = null;

  /** @param host its name in the run @param steps those that may bring something */
  constructor(
    readonly files: ControllerFiles,
    readonly host: string,
    readonly steps: readonly ReadyStep[],
  ) {}

  /** F1 */
  async take({ step, bytes }: WireFetched): Promise<void> {
    await this.#pipeOf(step).write(bytes);
  }

  /** The result of a step, completed with where its file went. */
  async finished(result: WireResult): Promise<WireResult> {
    const ready = this.steps.find(({ step }) => step.id === result.step);
    if (result.kind !== "module" || ready?.step.kind !== "module" || ready.step.module !== FETCH) {
      return result;
    }
    const { checksum, file } = result.result;
    if (typeof checksum !== "string" || typeof file !== "string" || result.timedOut) {
      await this.drop();
      return result;
    }
    return { ...result, result: await this.#placed(ready, file, result.result) };
  }

  /** Forgets what has not ended. */
  async drop(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    if (open === null) return;
    open.pipe.end();
    await (await open.received.catch(() => null))?.drop();
  }

  async #placed(ready: ReadyStep, file: string, said: JsonObject): Promise<JsonObject> {
    const { checksum } = said;
    this.#pipeOf(ready.step.id).end(); // an empty file came without a piece
    const open = this.#open;
    this.#open = null;
    let received: Received | null = null;
    try {
      received = await open?.received ?? null;
      if (received === null) return failure("Cannot fetch: nothing arrived");
      const { sha1 } = received;
      if (sha1 !== checksum) {
        return failure("checksum mismatch", { file, checksum: sha1, remote_checksum: checksum ?? null });
      }
      const dest = localPath(ready.step, fetchTarget(argsOf(ready), this.host, file));
      return fetchResult(said, dest, await received.keep(dest));
    } catch (error) {
      if (error instanceof ModuleError) return failure(error.message);
      return failure(`Cannot fetch ${file}: ${error instanceof Error ? error.message : error}`);
    } finally {
      await received?.drop();
    }
  }

  #pipeOf(step: string): Pipe {
    if (this.#open !== null && this.#open.step === step) return this.#open.pipe;
    const ready = this.steps.find((each) => each.step.id === step);
    if (ready === undefined) throw new RangeError(`the agent sends a file for ${step}, which fetches none`);
    const pipe = new Pipe();
    const { dest, flat } = argsOf(ready);
    const near = localPath(ready.step, isTrue(flat) ? String(dest) : `${dest}/`);
    const received = this.files.receive(near, pipe.pieces());
    received.catch(() => pipe.breakOff()); // told with the step's result
    this.#open = { step, pipe, received };
    return pipe;
  }
}

function argsOf({ work }: ReadyStep): JsonObject {
  return work.kind === "agent" && work.wire.kind === "module" ? work.wire.args : {};
}

/** From who has pieces to who takes them, one at a time. */
class Pipe {
  #piece: Uint8Array | null = null;
  #isEnded = false;
  #isBroken = false;
  #wake: (() => void)[] = [];

  async write(piece: Uint8Array): Promise<void> {
    this.#piece = piece;
    this.#changed();
    while (this.#piece !== null && !this.#isBroken) await this.#change();
  }

  end(): void {
    this.#isEnded = true;
    this.#changed();
  }

  /** Nobody takes any more; what still comes is passed over. */
  breakOff(): void {
    this.#isBroken = true;
    this.#changed();
  }

  async *pieces(): AsyncGenerator<Uint8Array> {
    for (;;) {
      while (this.#piece === null && !this.#isEnded) await this.#change();
      if (this.#piece === null) return;
      yield this.#piece;
      this.#piece = null; // it is written: F1
      this.#changed();
    }
  }

  #change(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #changed(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
