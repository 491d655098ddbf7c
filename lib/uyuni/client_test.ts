import assert from "node:assert/strict";
import { UyuniCallError, uyuniClient } from "./client.ts";
import type { UyuniCallErrorKind, UyuniClientOptions } from "./client.ts";
import { UyuniFault } from "./faults.ts";
import type { FaultKind } from "./faults.ts";
import { readCall, writeFault, writeResult } from "./xmlrpc.ts";
import type { XmlRpcCall, XmlRpcValue } from "./xmlrpc.ts";

const PASSWORD = "s3cret-word";

/** A server of one user whose sessions end when `endSessions` is called; `echo` answers its parameters. */
function server() {
  const calls: XmlRpcCall[] = [];
  const keys = new Set<string>();
  let count = 0;

  async function request(request: Request): Promise<Response> {
    const { method, params } = readCall(new Uint8Array(await request.arrayBuffer()));
    calls.push({ method, params });
    try {
      return new Response(writeResult(answer(method, params)));
    } catch (error) {
      if (!(error instanceof UyuniFault)) throw error;
      return new Response(writeFault(error.code, error.text));
    }
  }

  function answer(method: string, params: XmlRpcValue[]): XmlRpcValue | null {
    if (method === "auth.login") {
      if (params[1] !== PASSWORD) throw UyuniFault.of("bad-credentials", "wrong");
      keys.add(`${++count}xkey`);
      return `${count}xkey`;
    }
    if (method === "api.getVersion") return "29";
    if (!keys.has(String(params[0]))) {
      throw UyuniFault.of("session-expired", `Could not find session with id: ${params[0]}`);
    }
    if (method === "auth.logout") return keys.delete(String(params[0])) ? 1 : 0;
    if (method === "nothing") return null;
    return params;
  }

  const methods = () => calls.map(({ method }) => method);
  return { request, calls, methods, endSessions: () => keys.clear() };
}

function client(request: UyuniClientOptions["request"], more: Partial<UyuniClientOptions> = {}) {
  return uyuniClient({
    url: "https://node.example/rpc/api",
    user: "admin",
    password: PASSWORD,
    request,
    ...more,
  });
}

function rejectsCall(kind: UyuniCallErrorKind, promise: Promise<unknown>): Promise<void> {
  return assert.rejects(promise, (error) => error instanceof UyuniCallError && error.kind === kind);
}
function rejectsFault(kind: FaultKind, promise: Promise<unknown>): Promise<void> {
  return assert.rejects(promise, (error) => error instanceof UyuniFault && error.kind === kind);
}

Deno.test("call() logs in once, puts the key in front, and reads an empty body as null", async () => {
  const far = server();
  const uyuni = client(far.request);
  assert.deepEqual(await Promise.all([uyuni.call("echo", 1), uyuni.call("echo", "a", [2])]), [["1xkey", 1], [
    "1xkey",
    "a",
    [2],
  ]]);
  assert.equal(await uyuni.call("nothing"), null);
  assert.deepEqual(far.methods(), ["auth.login", "echo", "echo", "nothing"]);
});

Deno.test("callBare() sends no key and needs no login", async () => {
  const far = server();
  assert.equal(await client(far.request).callBare("api.getVersion"), "29");
  assert.deepEqual(far.calls, [{ method: "api.getVersion", params: [] }]);
});

Deno.test("call() renews a lost session once, for all waiting calls together", async () => {
  const far = server();
  const uyuni = client(far.request);
  await uyuni.call("echo");
  far.endSessions();
  assert.deepEqual(await Promise.all([uyuni.call("echo", 1), uyuni.call("echo", 2)]), [["2xkey", 1], [
    "2xkey",
    2,
  ]]);
  assert.equal(far.methods().filter((method) => method === "auth.login").length, 2);
});

Deno.test("call() gives up when the new session is lost too", async () => {
  const far = server();
  const uyuni = client(async (request) => {
    const response = await far.request(request);
    far.endSessions();
    return response;
  });
  await rejectsFault("session-expired", uyuni.call("echo"));
  assert.deepEqual(far.methods(), ["auth.login", "echo", "auth.login", "echo"]);
});

Deno.test("call() does not repeat a call that was refused for another reason", async () => {
  let calls = 0;
  const uyuni = client(() => {
    calls++;
    return Promise.resolve(
      new Response(calls === 1 ? writeResult("1xkey") : writeFault(-208, "X: No such system")),
    );
  });
  await rejectsFault("no-such-system", uyuni.call("system.getDetails", 1));
  assert.equal(calls, 2);
});

Deno.test("call() pauses logins after a refused password", async () => {
  const far = server();
  let nowMs = 0;
  const uyuni = client(far.request, { password: "wrong", nowMs: () => nowMs, loginPauseMs: 1_000 });
  await rejectsFault("bad-credentials", uyuni.call("echo"));
  nowMs = 999;
  await rejectsFault("bad-credentials", uyuni.call("echo"));
  assert.equal(far.calls.length, 1);
  nowMs = 1_000;
  await rejectsFault("bad-credentials", uyuni.call("echo"));
  assert.equal(far.calls.length, 2);
});

Deno.test("withSession() uses a foreign key and never renews it", async () => {
  const far = server();
  const uyuni = client(far.request);
  await uyuni.call("echo");
  assert.deepEqual(await uyuni.withSession("1xkey").call("echo", 5), ["1xkey", 5]);
  await rejectsFault("session-expired", uyuni.withSession("9xkey").call("echo"));
  assert.deepEqual(far.methods(), ["auth.login", "echo", "echo", "echo"]);
});

Deno.test("logout() ends the session, tolerates a lost one, and the next call logs in", async () => {
  const far = server();
  const uyuni = client(far.request);
  await uyuni.logout();
  await uyuni.call("echo");
  await uyuni.logout();
  await uyuni.call("echo");
  far.endSessions();
  await uyuni.logout();
  assert.deepEqual(far.methods(), ["auth.login", "echo", "auth.logout", "auth.login", "echo", "auth.logout"]);
});

Deno.test("call() ends at its deadline, in the middle of a body too", async () => {
  const silent = (request: Request) =>
    new Promise<Response>((_, reject) =>
      request.signal.addEventListener("abort", () => reject(request.signal.reason))
    );
  const stalled = (request: Request) => {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) =>
        request.signal.addEventListener("abort", () => controller.error(request.signal.reason)),
    });
    return Promise.resolve(new Response(body));
  };
  for (const request of [silent, stalled]) {
    const timer = new AbortController();
    const ended = rejectsCall("timeout", client(request, { deadline: () => timer.signal }).call("echo"));
    timer.abort();
    await ended;
  }
});

Deno.test("call() ends when the client is told to stop", async () => {
  const stop = new AbortController();
  stop.abort();
  const far = server();
  await rejectsCall("cancelled", client(far.request, { signal: stop.signal }).call("echo"));
  assert.equal(far.calls.length, 0);
});

Deno.test("call() tells apart no connection, an HTTP error, a foreign page and a huge answer", async () => {
  const answering = (response: () => Response) =>
    client(() => Promise.resolve(response()), { bodyBytesMax: 1_000 });
  await rejectsCall(
    "unreachable",
    client(() => Promise.reject(new TypeError("connection refused"))).callBare("a"),
  );
  await rejectsCall("http", answering(() => new Response("down", { status: 503 })).callBare("a"));
  await rejectsCall("http", answering(() => new Response(null, { status: 302 })).callBare("a"));
  await rejectsCall("malformed", answering(() => new Response("<html></html>")).callBare("a"));
  await rejectsCall("malformed", answering(() => new Response(writeResult("x".repeat(1_000)))).callBare("a"));
  await rejectsCall("malformed", answering(() => new Response(writeResult(1))).call("a"));
});

Deno.test("no error of the client holds the password or the key", async () => {
  const requests: UyuniClientOptions["request"][] = [
    () => Promise.reject(new TypeError("connection refused")),
    () => Promise.resolve(new Response("no", { status: 500 })),
    () => Promise.resolve(new Response(writeFault(-1, "java.lang.Exception: boom"))),
  ];
  for (const request of requests) {
    const error: unknown = await client(request).call("echo").catch((thrown) => thrown);
    assert.ok(error instanceof Error);
    assert.ok(!`${error.stack}${Deno.inspect(error, { depth: 9 })}`.includes(PASSWORD));
  }
});
