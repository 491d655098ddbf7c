/** The event bus of a Salt master, as an async iterable that also remembers what came before it was asked. */
import { SalarError } from "../../lib/errors.ts";
import type { Salt } from "./salt.ts";
import { waitFor } from "./wait.ts";

const READY_MS_MAX = 20_000;
const EVENTS_MAX = 10_000;

export interface SaltEvent {
  tag: string;
  data: Record<string, unknown>;
}

/**
 * Iterating starts at the first event after `listenToSalt()` resolved; every iteration sees all of them. It ends with
 * `close()`, and throws "unavailable" when the listener ends by itself.
 */
export interface SaltEvents extends AsyncIterable<SaltEvent> {
  /** The first event, past or to come, with exactly this tag. Throws "deadline" when it does not come. */
  waitForTag(tag: string, limitMs?: number): Promise<SaltEvent>;
  /** Forgets what came so far. */
  clear(): void;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Listens to the master whose configuration file is named; resolves when no later event can be missed. */
export async function listenToSalt(salt: Salt, masterConfigFile: string): Promise<SaltEvents> {
  const listener = new Deno.Command(salt.python, {
    args: [new URL("./salt_events.py", import.meta.url).pathname, masterConfigFile],
    stdin: "piped", // held open: its end tells the listener to end
    stdout: "piped",
    stderr: "inherit", // why it ended by itself
  }).spawn();
  listener.unref();
  let events: SaltEvent[] = [];
  let ready = false;
  let ended = false;
  let closing = false;
  let wake = Promise.withResolvers<void>();

  const reading = (async () => {
    for await (const line of linesOf(listener.stdout)) {
      if (line === "ready") ready = true;
      else if (events.length < EVENTS_MAX) events.push(JSON.parse(line));
      wake.resolve();
      wake = Promise.withResolvers<void>();
    }
    ended = true;
    wake.resolve();
  })();
  const close = async () => {
    closing = true;
    listener.ref();
    if (!ended) listener.kill("SIGKILL");
    await listener.status;
    await listener.stdin.abort().catch(() => {}); // the reader is gone, which is what was wanted
    await reading;
  };
  try {
    await waitFor(`events of ${masterConfigFile}`, READY_MS_MAX, () => ready || ended);
    if (ended) throw gone();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async *[Symbol.asyncIterator]() {
      for (let next = 0; next < events.length || !ended;) {
        const event = events[next];
        if (event === undefined) {
          await wake.promise;
          continue;
        }
        next++;
        yield event;
      }
      if (!closing) throw gone();
    },
    waitForTag: (tag, limitMs = 30_000) =>
      waitFor(`Salt event ${tag}`, limitMs, () => events.find((event) => event.tag === tag)),
    clear() {
      events = [];
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function gone(): SalarError {
  return new SalarError("unavailable", "Cannot listen to Salt events: the listener ended");
}

async function* linesOf(bytes: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}
