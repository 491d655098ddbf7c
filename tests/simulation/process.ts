/**
 * A process that is started again whenever it ends: one incarnation after the other, as a service manager does it.
 */
import { messageOf } from "../../lib/errors.ts";
import type { Random } from "../../lib/seams.ts";
import type { Kernel } from "./kernel.ts";
import { type Far, Life } from "./life.ts";

const RESTART_MS = 3_000;

export interface ProcessOptions {
  kernel: Kernel;
  random: Random;
  name: string;
  /** Runs one incarnation; ends only when it cannot go on. */
  boot: (life: Life) => Promise<void>;
  /** For the story of the run. */
  tell: (text: string) => void;
}

export class Process {
  readonly name: string;
  life: Life | null = null;
  skewMs = 0;
  readonly cut = new Set<Far>();
  readonly #options: ProcessOptions;
  #incarnations = 0;

  constructor(options: ProcessOptions) {
    this.name = options.name;
    this.#options = options;
  }

  start(): void {
    if (this.life !== null) return;
    const { kernel, random, name, boot, tell } = this.#options;
    const life = this.life = new Life({
      kernel,
      name,
      random: random.fork(`${name}.${++this.#incarnations}`),
      skewMs: () => this.skewMs,
      isCut: (far) => this.cut.has(far),
      onError: (work, error) => tell(`${name}: ${work} failed: ${messageOf(error)}`),
    });
    const ended = (reason: string) => {
      if (this.life !== life) return;
      tell(`${name} ended: ${reason}`);
      this.stop();
      kernel.after(RESTART_MS, () => this.start());
    };
    life.scope.spawn("boot", async () => {
      try {
        await boot(life);
        ended("it returned");
      } catch (error) {
        if (!life.isDead()) ended(messageOf(error));
      }
    });
  }

  /** As `kill -9`. */
  stop(): void {
    this.life?.kill();
    this.life = null;
  }
}
