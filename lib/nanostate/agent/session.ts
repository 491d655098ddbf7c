/**
 * Starts an agent over a transport and does runs with it.
 *
 * In: a transport, who to become. Out: a session whose runs are streams of events.
 * S1. Nothing is waited for that need not be: the source, and the first run, are sent before the host said a word. Only a
 *     password makes this wait, since sudo would read what is for the agent.
 * S2. Whatever happens (a signal, a lost channel, a reader that stops in the middle of a run), the channel is closed, and
 *     with it ends all that runs there (T2 of `transport.ts`).
 * S3. What a login prints before the agent is passed over, up to a bound.
 */
import { randomBytes } from "node:crypto";
import { AGENT_NOISE_BYTES_MAX, AGENT_START_MS_MAX, BLOB_PIECE_BYTES_MAX } from "../limits.ts";
import { type Channel, HostError, type Transport } from "../transport/transport.ts";
import { bootCommand, type Sign, signStart } from "./boot.ts";
import { ByteReader, EndOfStream } from "./byte_reader.ts";
import type { Blobs, Dialect } from "./dialect.ts";
import {
  commandIn,
  encodeFrame,
  encodeJson,
  infoIn,
  numberIn,
  readFrame,
  resultIn,
  textIn,
  unreadable,
} from "./frames.ts";
import type {
  AgentInfo,
  AgentRun,
  AgentSession,
  Become,
  Hash,
  WireCommandResult,
  WireEvent,
} from "./protocol.ts";
import { startShell } from "./shell_session.ts";
import { AGENT_SOURCE } from "./source.ts";

export interface AgentOptions {
  become: Become | null;
  signal: AbortSignal;
  /** A path or name, instead of the newest that is found. */
  python?: string;
  /** From here to the agent's first words. @default AGENT_START_MS_MAX */
  startMs?: number;
}

/**
 * Resolves when the channel is open; how the agent itself started is told by `info`, and by the first run.
 * @throws {HostError} by the transport
 */
export async function startAgent(transport: Transport, options: AgentOptions): Promise<AgentSession> {
  const nonce = randomBytes(12).toString("hex");
  const asks = options.become?.password !== undefined;
  const command = bootCommand({
    nonce,
    sourceBytes: AGENT_SOURCE.length,
    python: options.python ?? null,
    become: options.become === null ? null : { user: options.become.user, asks },
  });
  const channel = await transport.start(command, { signal: options.signal });
  return new Session(transport.address, channel, nonce, options);
}

class Session implements AgentSession {
  readonly info: Promise<AgentInfo>;
  readonly #reader: ByteReader;
  readonly #dialect: Promise<Dialect>;
  /** Bytes go out one after the other, also when two parts of this write at a time. */
  #written: Promise<void> = Promise.resolve();
  #isRunning = false;
  /** Runs are behind the source, also when that has to wait for sudo. */
  readonly #sourceSent = Promise.withResolvers<void>();
  /** When sh turned out to be the agent, a run for Python must not be sent. */
  #isShell = false;
  /** Why this was closed from here. */
  #reason: HostError | null = null;

  constructor(
    readonly address: string,
    readonly channel: Channel,
    readonly nonce: string,
    readonly options: AgentOptions,
  ) {
    this.#reader = new ByteReader(channel.output);
    options.signal.addEventListener("abort", this.#abort);
    if (options.signal.aborted) this.#abort();
    this.#dialect = this.#start();
    this.#dialect.catch(() => {}); // told by `info` and by each run
    this.info = this.#dialect.then(({ info }) => info);
    this.info.catch(() => {}); // it need not be asked for
  }

  async *run(run: AgentRun, blobs: Blobs): AsyncGenerator<WireEvent, void> {
    if (this.#isRunning) throw new Error("one run at a time: the session is in a run");
    if (this.#reason !== null) throw this.#reason;
    this.#isRunning = true;
    let isWhole = false;
    try {
      this.#sendRun(run).catch(() => {}); // S1. An error shows in what is read, which tells more.
      const dialect = await this.#dialect;
      yield* dialect.run(run, blobs);
      isWhole = true;
    } catch (error) {
      throw await this.#told(error);
    } finally {
      this.#isRunning = false;
      if (!isWhole) await this.close();
    }
  }

  async close(): Promise<void> {
    this.options.signal.removeEventListener("abort", this.#abort);
    this.#reason ??= new HostError("cancelled", `Cannot go on with ${this.address}: the session was closed`);
    await this.channel.close();
  }

  #abort = () => this.#end(new HostError("cancelled", `Cannot go on with ${this.address}: ended from here`));

  #end(reason: HostError): void {
    this.#reason ??= reason;
    this.close().catch(() => {}); // close never rejects, see transport.ts; the reason is what counts
  }

  #write(bytes: Uint8Array): Promise<void> {
    const written = this.#written.then(() => this.channel.write(bytes));
    this.#written = written.catch(() => {}); // told to who wrote
    return written;
  }

  async #sendRun(run: AgentRun): Promise<void> {
    await this.#sourceSent.promise;
    if (!this.#isShell) await this.#write(encodeFrame({ type: "run" }, encodeJson(run)));
  }

  #sendSource(): void {
    this.#write(AGENT_SOURCE).catch(() => {}); // shows in what is read, as above
    this.#sourceSent.resolve();
  }

  async #start(): Promise<Dialect> {
    const limitMs = this.options.startMs ?? AGENT_START_MS_MAX;
    const limit = () => setTimeout(() => this.#end(this.#tooSlow(limitMs)), limitMs);
    let timer = limit();
    const seen: Sign[] = [];
    try {
      if (this.options.become?.password === undefined) this.#sendSource();
      for (;;) {
        const sign = await this.#sign();
        if (sign === "password") {
          clearTimeout(timer); // a person may have to be asked
          await this.#givePassword(seen.includes("password"));
          timer = limit();
        }
        if (sign === "ready") this.#sendSource();
        if (sign === "python") return await this.#python();
        if (sign === "sh") return await this.#sh();
        seen.push(sign);
      }
    } catch (error) {
      const cause = error instanceof EndOfStream
        ? await this.#notStarted(seen, error.rest)
        : await this.#told(error);
      if (cause instanceof HostError) this.#reason ??= cause; // the runs that follow fail for it, too
      await this.close();
      throw cause;
    } finally {
      clearTimeout(timer);
    }
  }

  async #sign(): Promise<Sign> {
    const noise = await this.#reader.behind(signStart(this.nonce), AGENT_NOISE_BYTES_MAX).catch((error) => {
      if (!(error instanceof RangeError)) throw error;
      throw this.#noShell(`it prints more than ${AGENT_NOISE_BYTES_MAX} bytes`);
    });
    void noise; // S3
    const word = decoder.decode(await this.#reader.behind(".", 16));
    const sign = SIGNS.find((each) => each === word);
    if (sign === undefined) throw unreadable("a sign that there is not");
    return sign;
  }

  async #givePassword(isAgain: boolean): Promise<void> {
    const user = this.options.become?.user;
    const password = isAgain ? null : await this.options.become?.password?.() ?? null;
    if (password === null) {
      const why = isAgain ? "sudo does not take the password" : "sudo asks for a password and none was given";
      throw new HostError("become", `Cannot become ${user} on ${this.address}: ${why}`);
    }
    await this.#write(encoder.encode(`${password}\n`));
  }

  async #python(): Promise<Dialect> {
    const { header } = await readFrame(this.#reader);
    if (header["type"] !== "hello") throw unreadable("something else than its greeting");
    return { info: infoIn(header), run: (run, blobs) => this.#runPython(run, blobs) };
  }

  /** What was sent for Python ends with the nonce on a line of its own. */
  #sh(): Promise<Dialect> {
    this.#isShell = true;
    const wire = { reader: this.#reader, write: (bytes: Uint8Array) => this.#write(bytes) };
    return startShell(wire, encoder.encode(`\n${this.nonce}\n`));
  }

  async *#runPython(run: AgentRun, blobs: Blobs): AsyncGenerator<WireEvent, void> {
    void run; // it was sent before
    let commands: WireCommandResult[] = [];
    for (;;) {
      const frame = await readFrame(this.#reader);
      const { header, body } = frame;
      switch (header["type"]) {
        case "begin":
          commands = [];
          yield { type: "begin", step: textIn(header, "step") };
          break;
        case "want":
          await this.#give(numberIn(header, "want"), textIn(header, "hash"), blobs);
          break;
        case "piece":
          yield { type: "fetched", fetched: { step: textIn(header, "step"), bytes: body } };
          break;
        case "command":
          commands.push(commandIn(frame));
          break;
        case "result":
          yield { type: "result", result: resultIn(frame, commands) };
          break;
        case "error":
          throw this.#agentError(textIn(header, "code"), textIn(header, "message"));
        case "end":
          return;
        default:
          throw unreadable(`a frame of type ${JSON.stringify(header["type"])}`);
      }
    }
  }

  async #give(want: number, hash: Hash, blobs: Blobs): Promise<void> {
    let blob: Uint8Array;
    try {
      blob = await blobs(hash);
    } catch (error) {
      // Of one step only: the others can do without it.
      const why = error instanceof Error ? error.message : String(error);
      return await this.#write(encodeFrame({ type: "no-blob", want, why }));
    }
    let at = 0;
    do {
      const piece = blob.subarray(at, at + BLOB_PIECE_BYTES_MAX);
      at += piece.length;
      await this.#write(encodeFrame({ type: "blob", want, last: at === blob.length }, piece));
    } while (at < blob.length);
  }

  #agentError(code: string, message: string): HostError {
    if (code === "disk") {
      return new HostError(
        "disk",
        `Cannot store what a step needs on ${this.address}: ${message}; make room there`,
      );
    }
    return new HostError("protocol", `Cannot go on with ${this.address}: the agent was sent ${message}`);
  }

  /** Why a start or run ended, by the one who knows best: who closed it, the agent, the transport. */
  async #told(error: unknown): Promise<unknown> {
    if (this.#reason !== null) return this.#reason;
    if (!(error instanceof EndOfStream)) return error;
    const { code, signal } = await this.#ended();
    const how = signal ?? (code === null ? "the connection broke" : `exit code ${code}`);
    const said = lastLine(this.channel.stderr());
    return new HostError("lost", `Cannot go on with ${this.address}: the agent ended (${how})${said}`);
  }

  async #notStarted(seen: readonly Sign[], rest: Uint8Array): Promise<HostError> {
    if (this.#reason !== null) return this.#reason;
    const { code, signal } = await this.#ended();
    if (code === null && signal === null) {
      return new HostError("lost", `Cannot start on ${this.address}: the connection broke`);
    }
    const said = firstWords(`${decoder.decode(rest)}\n${this.channel.stderr()}`);
    if (seen.at(-1) === "become" || seen.at(-1) === "password") {
      const user = this.options.become?.user;
      return new HostError("become", `Cannot become ${user} on ${this.address}: ${said || "sudo ended"}`);
    }
    return this.#noShell(said || `it ended with ${signal ?? `exit code ${code}`}`);
  }

  #noShell(why: string): HostError {
    const advice = "give this user a login shell that runs commands";
    return new HostError("no-shell", `Cannot start on ${this.address}: no agent came up (${why}); ${advice}`);
  }

  #tooSlow(limitMs: number): HostError {
    const message = `no agent came up within ${
      limitMs / 1000
    } s; does a file of its login shell wait for something?`;
    return new HostError("timed-out", `Cannot start on ${this.address}: ${message}`);
  }

  /** A program may close its output and go on; nothing good comes of it. */
  async #ended(): ReturnType<() => Channel["ended"]> {
    await this.channel.close();
    return await this.channel.ended;
  }
}

const SIGNS: readonly Sign[] = ["become", "password", "ready", "python", "sh"];

function firstWords(text: string): string {
  const plain = text.replace(/[\p{Cc}\s]+/gu, " ").trim();
  return plain.length > 300 ? `${plain.slice(0, 300)}…` : plain;
}

function lastLine(text: string): string {
  const line = firstWords(text.trim().split("\n").at(-1) ?? "");
  return line === "" ? "" : `: ${line}`;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder();
