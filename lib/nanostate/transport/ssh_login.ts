/**
 * How we log in: what is tried, in which order, and what is said when nothing of it was accepted.
 *
 * In: a host, its identities, people to ask. Out: what ssh2 asks for next, and after a failure the reason.
 * L1. OpenSSH's order: keys (ssh_identity.ts), then keyboard-interactive, then password. What the host does not take
 *     is not tried.
 * L2. Passwords only come from being asked for: PASSWORD_TRIES_MAX times, and never the same one twice in one way.
 * L3. No secret is in a message.
 */
// @ts-types="@types/ssh2"
import type ssh2 from "ssh2";
import type { SshHost } from "./ssh_host.ts";
import { type Identity, OneKeyAgent } from "./ssh_identity.ts";
import { fingerprint } from "./ssh_key.ts";

const PASSWORD_TRIES_MAX = 3;
/** Proofs that a host may want one after another. */
const ROUNDS_MAX = 5;

/** How people are asked. Null is "I have none". */
export interface Ask {
  /** @param address `ann@web-1:22` */
  password?: (address: string) => Promise<string | null>;
  /** Questions that are not just one for a password. */
  answers?: (questions: Questions) => Promise<string[] | null>;
}

export interface Questions {
  address: string;
  title: string;
  instructions: string;
  prompts: { text: string; echo: boolean }[];
}

export interface Login {
  /** For `connect()`. */
  authHandler: ssh2.AuthHandlerMiddleware;
  /** To be told what the host takes after it refused something; partial is "right, and now a second proof". */
  refused(methods: readonly string[], isPartial: boolean): void;
  /** Why it failed and what to do, for people. */
  reason(): string;
}

export interface LoginOptions {
  host: SshHost;
  address: string;
  client: ssh2.Client;
  identities: readonly Identity[];
  passedOver: readonly string[];
  ask: Ask;
  /** Stops the clock while people are asked. */
  whilePaused: <T>(work: () => Promise<T>) => Promise<T>;
}

export function login(options: LoginOptions): Login {
  const { passedOver } = options;
  const tried: string[] = [];
  let methods: readonly string[] | null = null;
  const takes = (method: string) => methods === null || methods.includes(method);
  let attempts = attemptsFor(options, takes, tried);
  let rounds = 1;

  const next = async (): Promise<ssh2.AnyAuthMethod | false> => {
    const { value, done } = await attempts.next();
    return done ? false : value;
  };
  return {
    refused(left, isPartial) {
      methods = left;
      if (isPartial && rounds++ < ROUNDS_MAX) attempts = attemptsFor(options, takes, tried);
    },
    authHandler(_left, _isPartial, answer) {
      // ssh2 takes false for "no more", which its types leave out.
      next().catch(() => false as const).then((method) => (answer as (next: typeof method) => void)(method));
    },
    reason() {
      const parts = [
        tried.length === 0 ? "there is no key to try" : `not accepted: ${tried.join(", ")}`,
        methods !== null && `it takes ${methods.join(", ") || "nothing more"}`,
        passedOver.length > 0 && `passed over: ${passedOver.join("; ")}`,
      ];
      return parts.filter((part) => part !== false).join("; ");
    },
  };
}

async function* attemptsFor(
  options: LoginOptions,
  takes: (method: string) => boolean,
  tried: string[],
): AsyncGenerator<ssh2.AnyAuthMethod, void> {
  const { host, client, identities, ask, address, whilePaused } = options;
  const username = host.user;
  if (identities.length === 0) yield { type: "none", username }; // tells what the host takes
  for (const identity of identities) {
    if (!takes("publickey")) break;
    const name = tried.push(`${identity.label} ${fingerprint(identity.publicKey.getPublicSSH())}`) - 1;
    const onFailure = (reason: string) => tried[name] += ` (${reason})`;
    yield { type: "agent", username, agent: new OneKeyAgent(identity, client, onFailure) };
  }

  const isAsked = () => ask.password !== undefined || ask.answers !== undefined;
  const forQuestions = passwords(options);
  for (let tries = 0; tries < PASSWORD_TRIES_MAX && isAsked() && takes("keyboard-interactive"); tries++) {
    let hasAnswered = false;
    yield {
      type: "keyboard-interactive",
      username,
      prompt(title, instructions, _language, prompts, finish) {
        const questions = prompts.map((each) => ({ text: each.prompt, echo: each.echo ?? false }));
        const answers = prompts.length === 1 && !questions[0]?.echo
          ? forQuestions().then((text) => text === null ? null : [text])
          : whilePaused(async () =>
            await ask.answers?.({ address, title, instructions, prompts: questions }) ?? null
          );
        answers.catch(() => null).then((texts) => {
          hasAnswered ||= texts !== null;
          finish(texts ?? prompts.map(() => "")); // some hosts hang up when there are fewer answers than questions
        });
      },
    };
    if (!hasAnswered) break;
    tried.push("answers to its questions");
  }

  const next = passwords(options);
  while (takes("password")) {
    const password = await next();
    if (password === null) break;
    tried.push("a password");
    yield { type: "password", username, password };
  }
}

/** Asks for one that was not given yet (L2); null when there is none. */
function passwords({ ask, address, whilePaused }: LoginOptions): () => Promise<string | null> {
  const given = new Set<string>();
  return async () => {
    if (given.size === PASSWORD_TRIES_MAX) return null;
    const password = await whilePaused(async () => await ask.password?.(address) ?? null);
    if (password === null || given.has(password)) return null;
    given.add(password);
    return password;
  };
}
