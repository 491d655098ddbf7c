/** One line that tells how far something is: written over on a terminal, plain lines otherwise. */
import { ADMIN_LINE_MS } from "../lib/limits.ts";
import { printable } from "./table.ts";
import type { Sink, World } from "./world.ts";

export interface Progress {
  show(text: string): void;
  end(): void;
}

export function progressOn({ scope, stderr }: Pick<World, "scope" | "stderr">): Progress {
  return stderr.isTerminal ? overwriting(stderr) : lineByLine(stderr, scope.monoMs);
}

function overwriting(sink: Sink): Progress {
  let isOpen = false;
  return {
    show(text) {
      // A line that wraps could not be written over.
      sink.write(`\r\x1b[2K${printable(text).slice(0, sink.columns() - 1)}`);
      isOpen = true;
    },
    end() {
      if (isOpen) sink.write("\n");
      isOpen = false;
    },
  };
}

/** A line for each change, ADMIN_LINE_MS apart; the last state is always written. */
function lineByLine(sink: Sink, monoMs: () => number): Progress {
  let shown = "";
  let shownMs = -Infinity;
  let waiting = "";
  const write = (text: string) => {
    if (text === shown) return;
    sink.write(printable(text) + "\n");
    [shown, shownMs] = [text, monoMs()];
  };
  return {
    show(text) {
      waiting = text;
      if (monoMs() - shownMs >= ADMIN_LINE_MS) write(text);
    },
    end: () => write(waiting),
  };
}
