import assert from "node:assert/strict";
import { isSalarError } from "../../lib/errors.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { uyuniClient } from "../../lib/uyuni/client.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { readCall, writeFault, writeResult } from "../../lib/uyuni/xmlrpc.ts";
import { memoryDisk, PEM_A, PEM_B } from "./testing.ts";
import { uyuniApi } from "./uyuni_api.ts";

const PKI = "/pki";
const scope = realScope({ name: "test" });

/** A node with these profiles; `answers` can say something else to a method. */
function node(
  profiles: Record<string, number> = {},
  answers: Record<string, () => XmlRpcValue> = {},
) {
  const disk = memoryDisk();
  const calls: string[] = [];
  const methods: Record<string, (params: XmlRpcValue[]) => XmlRpcValue> = {
    "auth.login": () => "1xkey",
    "api.getVersion": () => "29",
    "api.systemVersion": () => "2026.07",
    "system.getMinionIdMap": () => ({ ...profiles }),
    "system.deleteSystem": ([, sid]) => {
      const [found] = Object.entries(profiles).find(([, each]) => each === sid) ?? [];
      if (found === undefined) throw UyuniFault.of("no-such-system", `No such system - sid = ${sid}`);
      delete profiles[found];
      return 1;
    },
  };
  const uyuni = uyuniClient({
    url: "https://node.example/rpc/api",
    user: "u",
    password: "p",
    async request(request) {
      const { method, params } = readCall(await request.bytes());
      calls.push(`${method} ${JSON.stringify(params.slice(1))}`);
      try {
        return new Response(writeResult(answers[method]?.() ?? methods[method]?.(params) ?? 1));
      } catch (error) {
        if (error instanceof UyuniFault) return new Response(writeFault(error.code, error.text));
        return new Response("", { status: 502 });
      }
    },
  });
  const api = uyuniApi({
    uyuni,
    folder: "/state",
    pki: PKI,
    disk,
    sql: null,
    loadAverage: () => 1.5,
    agentVersion: "9",
  });
  return { api, disk, calls, key: (folder: string, id: string) => disk.text(`${PKI}/${folder}/${id}`) };
}

Deno.test("acceptKey() puts the key where Salt looks for it, twice without harm, and clears the same pending one", async () => {
  const { api, disk, key } = node();
  disk.put(`${PKI}/minions_pre/m.example`, PEM_A.trimEnd());
  assert.deepEqual(await api.acceptKey(scope, "m.example", PEM_A), { ok: true });
  assert.deepEqual(await api.acceptKey(scope, "m.example", PEM_A), { ok: true });
  assert.equal(key("minions", "m.example"), PEM_A);
  assert.equal(key("minions_pre", "m.example"), null);
});

Deno.test("acceptKey() finds a key that is accepted already, whatever its line ends", async () => {
  const { api, disk, key } = node();
  disk.put(`${PKI}/minions/m`, PEM_A.trimEnd());
  assert.deepEqual(await api.acceptKey(scope, "m", PEM_A), { ok: true });
  assert.equal(key("minions", "m"), PEM_A.trimEnd());
});

Deno.test("acceptKey() refuses where another key is accepted, the id was rejected, or the key is none", async () => {
  const { api, disk, key } = node();
  disk.put(`${PKI}/minions/taken`, PEM_B);
  disk.put(`${PKI}/minions_rejected/rejected`, PEM_A);
  disk.put(`${PKI}/minions_pre/pending`, PEM_B);
  assert.equal((await api.acceptKey(scope, "taken", PEM_A)).ok, false);
  assert.equal(key("minions", "taken"), PEM_B);
  assert.equal((await api.acceptKey(scope, "rejected", PEM_A)).ok, false);
  assert.equal(
    (await api.acceptKey(scope, "m", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")).ok,
    false,
  );
  assert.equal((await api.acceptKey(scope, "pending", PEM_A)).ok, true);
  assert.equal(key("minions_pre", "pending"), PEM_B, "another's pending key is not ours to remove");
});

Deno.test("no minion id becomes a path outside its folder", async () => {
  for (
    const id of ["../master.pem", "a/b", "..", ".", ".hidden", "", "a\0b", "/etc/passwd", "x".repeat(201)]
  ) {
    const { api, disk, calls } = node();
    const refused = (error: unknown) => isSalarError(error, "bad-input");
    await assert.rejects(api.acceptKey(scope, id, PEM_A), refused);
    await assert.rejects(api.forgetKey(scope, id), refused);
    await assert.rejects(api.retire(scope, ["good", id]), refused);
    assert.equal(disk.files.size, 0);
    assert.deepEqual(calls, []);
  }
});

Deno.test("forgetKey() takes back what acceptKey() added, once", async () => {
  const { api, disk, key } = node();
  await api.acceptKey(scope, "m", PEM_A);
  assert.deepEqual(await api.forgetKey(scope, "m"), { ok: true });
  assert.equal(key("minions", "m"), null);
  disk.put(`${PKI}/minions/m`, PEM_A);
  await api.forgetKey(scope, "m");
  assert.equal(key("minions", "m"), PEM_A, "the second one was somebody else's");
});

Deno.test("forgetKey() leaves a key that is in use, was there before, or is another by now", async () => {
  const used = node({ constructor: 7 }); // a name that every object has
  await used.api.acceptKey(scope, "constructor", PEM_A);
  await used.api.forgetKey(scope, "constructor");
  assert.equal(used.key("minions", "constructor"), PEM_A);

  const before = node();
  before.disk.put(`${PKI}/minions/m`, PEM_A);
  await before.api.acceptKey(scope, "m", PEM_A);
  await before.api.forgetKey(scope, "m");
  assert.equal(before.key("minions", "m"), PEM_A);

  const other = node();
  await other.api.acceptKey(scope, "constructor", PEM_A);
  other.disk.put(`${PKI}/minions/constructor`, PEM_B);
  await other.api.forgetKey(scope, "constructor");
  assert.equal(other.key("minions", "constructor"), PEM_B);
});

Deno.test("retire() deletes profiles with NO_CLEANUP, and their keys; unknown ones are done already", async () => {
  const { api, disk, calls, key } = node({ a: 1, b: 2, c: 3 });
  for (const id of ["a", "b", "c"]) disk.put(`${PKI}/minions/${id}`, PEM_A);
  assert.deepEqual(await api.retire(scope, ["a", "b", "unknown"]), { ok: true });
  assert.deepEqual(calls.filter((call) => call.startsWith("system.delete")), [
    'system.deleteSystem [1,"NO_CLEANUP"]',
    'system.deleteSystem [2,"NO_CLEANUP"]',
  ]);
  assert.deepEqual(["a", "b", "c"].map((id) => key("minions", id)), [null, null, PEM_A]);
  assert.deepEqual(await api.retire(scope, ["a", "b", "unknown"]), { ok: true });
});

Deno.test("retire() takes a profile that went meanwhile for gone", async () => {
  const { api, disk, key } = node({}, { "system.getMinionIdMap": () => ({ a: 1 }) });
  disk.put(`${PKI}/minions/a`, PEM_A);
  assert.deepEqual(await api.retire(scope, ["a"]), { ok: true });
  assert.equal(key("minions", "a"), null);
});

Deno.test("retire() keeps the key of a profile that the server does not delete, says which, and goes on", async () => {
  for (const kind of ["no-permission", "internal"] as const) {
    const { api, disk, key } = node({ a: 1, b: 2 }, {
      "system.deleteSystem": () => {
        throw UyuniFault.of(kind, "no");
      },
    });
    for (const id of ["a", "b", "gone"]) disk.put(`${PKI}/minions/${id}`, PEM_A);
    const reason = "the server does not delete: a, b";
    assert.deepEqual(await api.retire(scope, ["a", "b", "gone"]), { ok: false, reason });
    assert.deepEqual(["a", "b", "gone"].map((id) => key("minions", id)), [PEM_A, PEM_A, null]);
  }
});

Deno.test("retire() comes again when the server does not answer, or when it is stopped", async () => {
  const down = node({ a: 1 }, {
    "system.deleteSystem": () => {
      throw new Error("down");
    },
  });
  await assert.rejects(down.api.retire(scope, ["a"]), (error) => isSalarError(error, "unavailable"));
  const stopped = realScope({ name: "test", signal: AbortSignal.abort() });
  await assert.rejects(
    node({ a: 1 }).api.retire(stopped, ["a"]),
    (error) => isSalarError(error, "cancelled"),
  );
});

Deno.test("faults that may pass are told from those that stay", async () => {
  const down = node({}, {
    "system.getMinionIdMap": () => {
      throw new Error("down");
    },
  });
  await assert.rejects(down.api.countSystems(scope), (error) => isSalarError(error, "unavailable"));
  const weak = node({}, {
    "system.getMinionIdMap": () => {
      throw UyuniFault.of("no-role", "The function 'x' is not available to user u");
    },
  });
  await assert.rejects(weak.api.countSystems(scope), (error) => isSalarError(error, "forbidden"));
});

Deno.test("counts, load and versions come from the node", async () => {
  const { api } = node({ a: 1, b: 2 });
  assert.equal(await api.countSystems(scope), 2);
  assert.equal(api.load(), 1.5);
  assert.deepEqual(await api.versions(scope), { agent: "9", uyuni: "2026.07", api: "29" });
});
