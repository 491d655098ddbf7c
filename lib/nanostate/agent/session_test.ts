import assert from "node:assert/strict";
import { type Channel, HostError, type Transport } from "../transport/transport.ts";
import { encodeFrame } from "./frames.ts";
import { startAgent } from "./session.ts";
import {
  all,
  hostError,
  outcomes,
  processesWith,
  results,
  runOf,
  shellGroup,
  testHost,
  until,
} from "./testing_host.ts";

const RUN = runOf({ groups: [shellGroup("g", [{ run: "true" }])] });
const encoder = new TextEncoder();

Deno.test("run() does one run after the other, and refuses two at a time", async () => {
  await using host = await testHost();
  const session = await host.start();
  assert.deepEqual(outcomes(await results(session, RUN)), { "g/0": ["changed"] });
  const events = session.run(RUN, none)[Symbol.asyncIterator]();
  await events.next();
  await assert.rejects(all(session.run(RUN, none)), /one run at a time/);
  while (!(await events.next()).done);
  assert.deepEqual(outcomes(await results(session, RUN)), { "g/0": ["changed"] });
  await session.close();
});

Deno.test("run() sends source and run before the host said a word", async () => {
  const host = fakeHost();
  const session = await startAgent(host.transport, { become: null, signal: new AbortController().signal });
  const events = session.run(RUN, none)[Symbol.asyncIterator]();
  const first = events.next();
  await until(() => Promise.resolve(host.written().includes('"type":"run"')));
  host.say(`nanostate:${host.nonce()}:python.`);
  host.say(encodeFrame({ type: "hello", info: { python: "3.9.1", user: "u", system: "s", machine: "m" } }));
  host.say(encodeFrame({ type: "begin", step: "g/0" }));
  assert.deepEqual(await first, { done: false, value: { type: "begin", step: "g/0" } });
  assert.deepEqual(await session.info, {
    kind: "python",
    python: "3.9.1",
    user: "u",
    system: "s",
    machine: "m",
  });
  await session.close();
});

Deno.test("startAgent() uses the Python that is asked for, and none else", async () => {
  await using host = await testHost();
  const named = await host.start({ python: "/usr/bin/python3" });
  assert.equal((await named.info).kind, "python");
  await named.close();
  const missing = await host.start({ python: "/nowhere/python3" });
  assert.equal((await missing.info).kind, "sh");
  await missing.close();
  await assert.rejects(host.start({ python: "python3; reboot" }), RangeError);
});

Deno.test("startAgent() goes on to the next Python when one has nothing behind it", async () => {
  await using host = await testHost({ hasPython: false });
  await script(`${host.home}/bin/python3.12`, "echo 'no such version' >&2; exit 127");
  await Deno.symlink("/usr/bin/python3", `${host.home}/bin/python3`);
  const session = await host.start();
  assert.deepEqual(outcomes(await results(session, RUN)), { "g/0": ["changed"] });
  assert.equal((await session.info).kind, "python");
  await session.close();
});

Deno.test("startAgent() says what a login gave instead of a shell", async () => {
  await using host = await testHost();
  const refused = await host.start({ first: "echo 'This account is not available.'; exit 1;" });
  const error = hostError("no-shell", /This account is not available.*login shell/);
  await assert.rejects(refused.info, error);
  await assert.rejects(results(refused, RUN), error);

  const silent = await host.start({ first: "exit 3;" });
  await assert.rejects(silent.info, hostError("no-shell", /it ended with exit code 3/));

  const endless = await host.start({ first: "yes;" });
  await assert.rejects(endless.info, hostError("no-shell", /prints more than 1048576 bytes/));
});

Deno.test("startAgent() gives up a login that waits for something", async () => {
  await using host = await testHost();
  const mark = `sleep 4324.${Deno.pid}`;
  const session = await host.start({ first: `${mark};`, startMs: 200 });
  const error = hostError("timed-out", /no agent came up within 0.2 s/);
  await assert.rejects(results(session, RUN), error);
  await assert.rejects(session.info, error);
  await until(async () => (await processesWith(mark)).length === 0);
});

Deno.test("startAgent() becomes another user by sudo, with and without a password", async () => {
  await using host = await testHost({ hasPython: false });
  await Deno.symlink("/usr/bin/python3", `${host.home}/bin/python3`);
  await script(`${host.home}/bin/sudo`, FAKE_SUDO);
  const found = async (user: string, password?: () => Promise<string | null>) => {
    const session = await host.start({ become: password === undefined ? { user } : { user, password } });
    const [step] = await results(session, runOf({ groups: [shellGroup("g", [{ run: "echo $BECAME" }])] }));
    await session.close();
    return step?.kind === "shell" ? step.commands[0]?.stdout : null;
  };
  const given = (password: string | null) => () => Promise.resolve(password);
  assert.equal(await found("free"), "free\n");
  assert.equal(await found("free", given("never asked for")), "free\n");
  assert.equal(await found("guarded", given("s3cret '\"")), "guarded\n");
  const refused = (text: RegExp) => hostError("become", text);
  await assert.rejects(found("guarded"), refused(/Cannot become guarded on test: .*a password is required/));
  await assert.rejects(found("guarded", given("wrong")), refused(/sudo does not take the password/));
  await assert.rejects(found("guarded", given(null)), refused(/none was given/));
  await assert.rejects(host.start({ become: { user: "ann; reboot" } }), RangeError);
});

Deno.test("startAgent() says that there is no sudo", async () => {
  await using host = await testHost({ hasPython: false });
  const session = await host.start({ become: { user: "nobody" } });
  await assert.rejects(session.info, hostError("become", /sudo.*not found/));
});

Deno.test("run() needs no sudo to become who one is", async () => {
  await using host = await testHost({ hasPython: false });
  const plain = await host.start();
  const { user } = await plain.info;
  await plain.close();
  const session = await host.start({ become: { user, password: () => Promise.resolve(null) } });
  assert.deepEqual(outcomes(await results(session, RUN)), { "g/0": ["changed"] });
  await session.close();
});

Deno.test("run() ends with its signal, and leaves no process there", async () => {
  await using host = await testHost();
  const mark = `sleep 4325.${Deno.pid}`;
  const stop = new AbortController();
  const session = await host.start({ signal: stop.signal });
  const running = results(
    session,
    runOf({ groups: [shellGroup("g", [{ run: `${mark} & ${mark}; true` }])] }),
  );
  await until(async () => (await processesWith(mark)).length >= 2);
  stop.abort();
  await assert.rejects(running, hostError("cancelled", /Cannot go on with test: ended from here/));
  await session.close();
  assert.deepEqual(await processesWith(mark), []);
  await assert.rejects(host.start({ signal: stop.signal }), hostError("cancelled", /ended from here/));
});

Deno.test("run() closes the session when its reader stops in the middle", async () => {
  await using host = await testHost();
  const mark = `sleep 4326.${Deno.pid}`;
  const session = await host.start();
  for await (const _ of session.run(runOf({ groups: [shellGroup("g", [{ run: mark }])] }), none)) break;
  await until(async () => (await processesWith(mark)).length === 0);
  await assert.rejects(results(session, RUN), hostError("cancelled", /the session was closed/));
});

Deno.test("run() tells that the agent was lost in the middle", async () => {
  await using host = await testHost();
  const session = await host.start();
  const running = results(
    session,
    runOf({ groups: [shellGroup("g", [{ run: "kill -KILL $PPID; sleep 1" }])] }),
  );
  await assert.rejects(running, hostError("lost", /the agent ended/));
});

Deno.test("run() refuses what the agent must not say", async () => {
  const hello = encodeFrame({
    type: "hello",
    info: { python: "3.9.1", user: "u", system: "s", machine: "m" },
  });
  const json = (value: unknown) => encoder.encode(JSON.stringify(value));
  const told: [Uint8Array, RegExp][] = [
    [encoder.encode("garbage that is no frame"), /a frame of \d+ and \d+ bytes/],
    [encodeFrame({ type: "surprise" }), /a frame of type "surprise"/],
    [encodeFrame({ type: "begin" }), /a frame without "step"/],
    [encodeFrame({ type: "result" }, encoder.encode("{")), /not JSON/],
    [encodeFrame({ type: "result" }, json([1])), /not an object/],
    [
      encodeFrame({ type: "result" }, json({ step: "g/0", kind: "module", ms: 1, result: 3 })),
      /no known kind/,
    ],
    [encodeFrame({ type: "command", name: "x", outcome: "fine", rc: 0, out: 0 }), /the result of a command/],
  ];
  for (const [bytes, text] of told) {
    const host = fakeHost();
    const session = await startAgent(host.transport, { become: null, signal: new AbortController().signal });
    host.say(`nanostate:${host.nonce()}:python.`);
    host.say(hello);
    host.say(bytes);
    await assert.rejects(results(session, RUN), hostError("protocol", text));
    assert.equal(host.isClosed(), true);
  }
});

Deno.test("run() takes frames in any pieces, and one that is cut off is a lost host", async () => {
  const host = fakeHost();
  const session = await startAgent(host.transport, { become: null, signal: new AbortController().signal });
  const whole = [
    encodeFrame({ type: "hello", info: { python: "3.9.1", user: "u", system: "s", machine: "m" } }),
    encodeFrame({ type: "begin", step: "g/0" }),
    encodeFrame({ type: "piece", step: "g/0" }, new Uint8Array([1, 2, 3])),
  ].flatMap((bytes) => [...bytes]);
  host.say(`welcome\nnanostate:${host.nonce()}:pyth`);
  host.say("on.");
  for (const byte of whole) host.say(new Uint8Array([byte]));
  host.say(encodeFrame({ type: "end" }).subarray(0, -1));
  host.end();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const event of session.run(RUN, none)) seen.push(event.type);
  })();
  await assert.rejects(reading, hostError("lost", /the agent ended \(exit code 0\)/));
  assert.deepEqual(seen, ["begin", "fetched"]);
});

/** `free` needs no password; `guarded` has one. What it is told by real sudo is tested with real sudo elsewhere. */
const FAKE_SUDO = `
while [ "$1" != -- ]; do
  case $1 in -u) user=$2; shift ;; -p) prompt=$2; shift ;; -S) asks=1 ;; esac
  shift
done
shift
if [ "$user" = guarded ]; then
  [ -n "$asks" ] || { echo "sudo: a password is required" >&2; exit 1; }
  for try in 1 2 3; do
    printf %s "$prompt" >&2
    IFS= read -r given || exit 1
    [ "$given" = "s3cret '\\"" ] && break
    echo "Sorry, try again." >&2
  done
fi
BECAME=$user exec "$@"
`;

async function script(path: string, body: string): Promise<void> {
  await Deno.writeTextFile(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
}

function none(): Promise<never> {
  return Promise.reject(new Error("nothing is asked for here"));
}

/** The far side word by word. */
function fakeHost() {
  let command = "";
  let isClosed = false;
  let written = "";
  let say: (piece: string | Uint8Array) => void = () => {};
  let end = () => {};
  const output = new ReadableStream<Uint8Array>({
    start(controller) {
      say = (piece) => controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      end = () => controller.close();
    },
  });
  const channel: Channel = {
    output,
    write: (bytes) => {
      written += new TextDecoder("latin1").decode(bytes);
      return Promise.resolve();
    },
    stderr: () => "",
    ended: Promise.resolve({ code: 0, signal: null }),
    close: () => {
      if (!isClosed) {
        try {
          end();
        } catch { /* it was ended by the test */ }
      }
      isClosed = true;
      return Promise.resolve();
    },
  };
  const transport: Transport = {
    address: "fake",
    start: (line) => {
      command = line;
      return Promise.resolve(channel);
    },
  };
  return {
    transport,
    say: (piece: string | Uint8Array) => say(piece),
    end: () => end(),
    nonce: () => /n=([0-9a-f]+)/.exec(command)?.[1] ?? "",
    written: () => written,
    isClosed: () => isClosed,
  };
}

Deno.test("a HostError of the transport is passed on", async () => {
  const transport: Transport = {
    address: "fake",
    start: () => Promise.reject(new HostError("refused", "Cannot connect to fake: nothing listens there")),
  };
  const started = startAgent(transport, { become: null, signal: new AbortController().signal });
  await assert.rejects(started, hostError("refused", /nothing listens/));
});
