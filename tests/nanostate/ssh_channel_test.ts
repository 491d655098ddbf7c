/** Programs over SSH on a real sshd: both directions, ends of all kinds, bounds of time, ways through other hosts. */
import assert from "node:assert/strict";
import { resolveHost, type SshHost } from "../../lib/nanostate/transport/ssh_host.ts";
import { publicLine, startSshd } from "../parts/sshd.ts";
import { freePort, waitFor } from "../parts/wait.ts";
import { bench, fails, knownLine, output, start, textOf } from "./ssh_support.ts";

const MIB = 1024 * 1024;

Deno.test("a program ends with its code, or the signal that ended it, its standard error apart", async () => {
  await using there = await bench();
  const host = await there.host();
  await using code = await start(host, "echo out; echo err >&2; exit 3");
  assert.equal(await textOf(code), "out\n");
  assert.deepEqual(await code.ended, { code: 3, signal: null });
  await fails(code.write(new Uint8Array(1)), "lost", /the program there has ended/);
  await waitFor("standard error", 5000, () => code.stderr().endsWith("err\n"));
  await using signal = await start(host, "kill -9 $$");
  assert.equal(await textOf(signal), "");
  assert.deepEqual(await signal.ended, { code: null, signal: "SIGKILL" });
});

Deno.test("of a long standard error head and tail are kept", async () => {
  await using there = await bench();
  await using channel = await start(await there.host(), "{ echo first; seq 100000; echo last; } >&2");
  await textOf(channel);
  await waitFor("the end", 5000, () => channel.stderr().endsWith("last\n"));
  assert.equal(channel.stderr().length, 16 * 1024);
  assert.match(channel.stderr(), /^first\n1\n2\n/);
});

Deno.test("20 MiB go each way, and what nobody takes is not taken from the writer", async () => {
  await using there = await bench();
  const host = await there.host();
  await using echo = await start(host, "cat");
  const piece = new Uint8Array(MIB).map((_, n) => n % 251);
  const writing = (async () => {
    for (let n = 0; n < 20; n++) await echo.write(piece);
  })();
  let seen = 0;
  for await (const bytes of echo.output) {
    for (let n = 0; n < bytes.length; n += 4099) assert.equal(bytes[n], (seen + n) % MIB % 251);
    seen += bytes.length;
    if (seen === 20 * MIB) break;
  }
  await writing;

  await using deaf = await start(host, "sleep 100");
  let taken = 0;
  const pouring = (async () => {
    for (let n = 0; n < 20; n++, taken++) await deaf.write(piece);
  })();
  pouring.catch(() => {}); // looked at below
  await waitFor("a full window", 5000, () => taken >= 1);
  await output(host, "sleep 0.3");
  assert.ok(taken < 10, `${taken} MiB were taken`);
  await deaf.close();
  await fails(pouring, "lost", /Cannot write to .*: the program there has ended/);
});

Deno.test("closing gives the program the end of its input, and leaves nothing of it or of the connection", async () => {
  await using there = await bench();
  const mark = `${there.home}/ended`;
  const channel = await start(await there.host(), `echo $$; cat >/dev/null; echo $$ >${mark}`);
  const first = await channel.output[Symbol.asyncIterator]().next();
  const pid = new TextDecoder().decode(first.value).trim();
  await Promise.all([channel.close(), channel.close()]);
  assert.deepEqual(await channel.ended, { code: null, signal: null });
  await waitFor("the program's own end", 5000, async () => (await Deno.readTextFile(mark)).trim() === pid);
  await waitFor(
    "no process",
    5000,
    async () => !await Deno.stat(`/proc/${pid}`).then(() => true, () => false),
  );
  await fails(channel.write(new Uint8Array(1)), "lost", /has ended/);
});

Deno.test("a connection that is lost in mid-run is told from a program that ended", async () => {
  await using there = await bench();
  const channel = await start(await there.host(), "echo on; sleep 100");
  const reader = channel.output[Symbol.asyncIterator]();
  assert.equal(new TextDecoder().decode((await reader.next()).value), "on\n");
  await there.sshd.hangUp();
  await fails(reader.next(), "lost", /Lost the connection to \S+: it was closed by the other side/);
  assert.deepEqual(await channel.ended, { code: null, signal: null });
  await fails(channel.write(new Uint8Array(1)), "lost", /Lost the connection/);
  await channel.close();
});

Deno.test("a peer that is silent is noticed by keepalive", async () => {
  await using there = await bench();
  const host = { ...await there.host(), keepaliveCountMax: 2 };
  const channel = await start(host, "echo $PPID; sleep 100", { keepaliveMs: 100 });
  const reader = channel.output[Symbol.asyncIterator]();
  const session = Number(new TextDecoder().decode((await reader.next()).value));
  Deno.kill(session, "SIGSTOP");
  try {
    await fails(reader.next(), "lost", /no sign of life from it any more/);
    assert.deepEqual(await channel.ended, { code: null, signal: null });
  } finally {
    Deno.kill(session, "SIGCONT");
    await channel.close();
  }
});

Deno.test("a signal ends a start that hangs and a program that runs", async () => {
  await using there = await bench();
  const host = await there.host();
  const running = new AbortController();
  const channel = await start(host, "sleep 100", { signal: running.signal });
  const reading = textOf(channel);
  running.abort();
  await fails(reading, "cancelled", /ended .*from here/i);
  await channel.close();

  await using silent = listen(() => {});
  const hanging = new AbortController();
  const starting = start({ ...host, port: silent.port }, "true", { signal: hanging.signal });
  hanging.abort();
  await fails(starting, "cancelled", /Cannot connect to .*: ended from here/);
  await fails(start(host, "true", { signal: AbortSignal.abort() }), "cancelled", /ended from here/);
});

Deno.test("a host that is not there, says nothing, hangs up, or speaks otherwise is each told", async () => {
  await using there = await bench();
  const host = await there.host();
  await fails(output({ ...host, port: freePort() }, "true"), "refused", /nothing listens there/);
  await fails(
    output({ ...host, hostName: "no..name" }, "true"),
    "refused",
    /is unknown; check it/,
  );
  await using silent = listen(() => {});
  await fails(
    output({ ...host, port: silent.port }, "true", { connectMs: 200 }),
    "timed-out",
    /no answer within 200 ms/,
  );
  await using closing = listen((connection) => connection.close());
  await fails(output({ ...host, port: closing.port }, "true"), "refused", /it closed the connection at once/);
  await using other = listen((connection) =>
    connection.write(new TextEncoder().encode("HTTP/1.1 400\r\n\r\n".repeat(999)))
  );
  await fails(output({ ...host, port: other.port }, "true"), "protocol", /Cannot connect to/);
});

Deno.test("ForceCommand gives that program's end; a host that grants no session says so", async () => {
  await using forced = await bench({ config: () => "ForceCommand /bin/false" });
  await using channel = await start(await forced.host(), "echo never");
  assert.equal(await textOf(channel), "");
  assert.deepEqual(await channel.ended, { code: 1, signal: null });
  await using closed = await bench({ config: () => "MaxSessions 0" });
  await fails(
    output(await closed.host(), "true"),
    "no-shell",
    /Cannot start a program on .*check its MaxSessions/,
  );
  await using one = await bench({ config: () => "MaxSessions 1" });
  const host = await one.host();
  assert.deepEqual(await Promise.all([output(host, "echo a"), output(host, "echo b")]), ["a\n", "b\n"]);
});

Deno.test("through other hosts, each of which is verified and logged into", async () => {
  await using there = await bench();
  await using gate = await startSshd({ authorizedKeys: [await publicLine(there.key)] });
  await using far = await startSshd({ authorizedKeys: [await publicLine(there.key)] });
  const known = [there.sshd, gate, far].map((each) => knownLine(each));
  const all = await Promise.all(known);
  await Deno.writeTextFile(there.knownHosts, all.join(""));
  const way = `${gate.address}:${gate.port},${far.address}:${far.port}`;
  const host = await there.host({ proxyJump: way });
  const peer = "echo $SSH_CONNECTION | cut -d' ' -f4";
  assert.equal(await output(host, peer), `${there.sshd.port}\n`);
  assert.match(await gate.log(), /Accepted publickey/);
  assert.match(await far.log(), /Accepted publickey/);

  const text = await output(host, "head -c 5000000 /dev/zero | tr '\\0' x");
  assert.equal(text.length, 5_000_000);
  for (const each of [gate, far]) {
    const lost = await start(host, "sleep 100");
    await each.hangUp();
    await fails(textOf(lost), "lost", /Lost the connection/);
    await lost.close();
  }

  await Deno.writeTextFile(there.knownHosts, [all[0], all[1]].join(""));
  await fails(output(host, "true"), "host-key", /no key of it is known/);
  const nowhere: SshHost = { ...host, port: freePort() };
  await Deno.writeTextFile(there.knownHosts, all.join(""));
  await fails(output(nowhere, "true"), "refused", /Cannot connect to/);
});

Deno.test("a name that is an address of either family is connected to", async () => {
  await using there = await bench();
  const overrides = { knownHosts: [there.knownHosts], identityFiles: [there.key], hostName: "localhost" };
  await Deno.writeTextFile(there.knownHosts, (await knownLine(there.sshd)).replace("127.0.0.1", "localhost"));
  const environment = { HOME: there.home, USER: there.user };
  const host = await resolveHost(`somewhere:${there.sshd.port}`, { config: [], environment, overrides });
  assert.equal(await output(host, "echo localhost"), "localhost\n");
});

/** A listener that does this with whoever connects. */
function listen(serve: (connection: Deno.TcpConn) => unknown): { port: number } & AsyncDisposable {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open: Deno.TcpConn[] = [];
  const serving = (async () => {
    for await (const connection of listener) {
      open.push(connection);
      await serve(connection);
    }
  })();
  return {
    port: listener.addr.port,
    async [Symbol.asyncDispose]() {
      listener.close();
      await serving;
      for (const connection of open) {
        try {
          connection.close();
        } catch {
          // Closed by what it was served.
        }
      }
    },
  };
}
