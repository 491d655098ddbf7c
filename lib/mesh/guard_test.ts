import assert from "node:assert/strict";
import { Hono } from "hono";
import { z } from "zod";
import { type GuardOptions, installGuard } from "./guard.ts";

/** Runs `work` under the guard. Synchronous: the test runner itself needs its globals. */
function guarded<T>(work: () => T, options: GuardOptions = {}): T {
  const undo = installGuard(options);
  try {
    return work();
  } finally {
    undo();
  }
}

const PLANTED: Record<string, () => unknown> = {
  "Date.now": () => Date.now(),
  "new Date()": () => new Date(),
  "Date()": () => Date(),
  "performance.now": () => performance.now(),
  "Math.random": () => Math.random(),
  "setTimeout": () => setTimeout(() => {}, 1),
  "setInterval": () => setInterval(() => {}, 1),
  "setImmediate": () =>
    (globalThis as unknown as { setImmediate(f: () => void): void }).setImmediate(() => {}),
  "crypto.randomUUID": () => crypto.randomUUID(),
  "crypto.getRandomValues": () => crypto.getRandomValues(new Uint8Array(1)),
  "crypto.subtle": () => crypto.subtle.digest("SHA-256", new Uint8Array(1)),
  "fetch": () => fetch("http://127.0.0.1:1"),
  "WebSocket": () => new WebSocket("ws://127.0.0.1:1"),
  "Worker": () => new Worker("data:text/javascript,"),
  "Deno.readFile": () => Deno.readFile("/etc/hostname"),
  "Deno.readTextFileSync": () => Deno.readTextFileSync("/etc/hostname"),
  "Deno.connect": () => Deno.connect({ port: 1 }),
  "Deno.serve": () => Deno.serve(() => new Response()),
  "Deno.env": () => Deno.env.get("HOME"),
  "Deno.hostname": () => Deno.hostname(),
  "FinalizationRegistry": () => new FinalizationRegistry(() => {}),
  "WeakRef": () => new WeakRef({}),
  "AbortSignal.timeout": () => AbortSignal.timeout(1),
  "Temporal.Now": () => Temporal.Now.instant(),
};

for (const [name, use] of Object.entries(PLANTED)) {
  Deno.test(`installGuard() stops ${name}`, () => {
    assert.throws(() => guarded(use), /Cannot use .*: it is ambient, use /);
  });
}

Deno.test("installGuard() leaves what is pure, and gives everything back", () => {
  const now = Date.now;
  guarded(() => {
    assert.equal(new Date(0).toISOString(), "1970-01-01T00:00:00.000Z");
    assert.ok(new Date(5) instanceof Date);
    assert.equal(Date.parse("1970-01-01T00:00:01Z"), 1_000);
    assert.equal(Math.max(1, 2), 2);
    assert.equal(z.object({ at: z.iso.datetime() }).safeParse({ at: "2026-01-01T00:00:00Z" }).success, true);
    assert.equal(typeof Deno.build.os, "string");
    assert.equal(new TextDecoder().decode(new TextEncoder().encode("a")), "a");
  });
  assert.equal(Date.now, now);
  assert.ok(Date.now() > 0 && Math.random() < 1 && crypto.randomUUID().length === 36);
});

Deno.test("installGuard() answers times from a given clock", () => {
  guarded(() => {
    assert.equal(Date.now(), 7);
    assert.equal(new Date().getTime(), 7);
    assert.equal(performance.now(), 7);
  }, { nowMs: () => 7 });
});

Deno.test("a Hono app answers under the guard", async () => {
  const app = new Hono().get("/a", (c) => c.json({ ok: true }));
  const answer = await guarded(() => app.request("/a"));
  assert.deepEqual(await answer.json(), { ok: true });
});
