import assert from "node:assert/strict";
import { MOVE_MS_MAX, MOVE_RESUMES_MAX } from "../../lib/limits.ts";
import { hasEnded, type MoveJournal, nextStep, resumed, type Step } from "./journal.ts";
import { PEM_B } from "./testing.ts";

const begun: MoveJournal = {
  v: 1,
  order: { seq: 1, epoch: 1, plan: "p", master: "b", masterKey: PEM_B },
  from: "a",
  step: "write",
  reason: "",
  saved: [],
  resumes: 0,
  startedAtMs: 1_000,
};
const ok = { ok: true } as const;
const bad = { ok: false, reason: "it failed" } as const;

function stepsOf(outcomes: readonly (typeof ok | typeof bad)[]): Step[] {
  let journal = begun;
  return outcomes.map((outcome) => (journal = nextStep(journal, outcome)).step);
}

Deno.test("nextStep() goes straight to `there` while all is well", () => {
  assert.deepEqual(stepsOf([ok, ok, ok]), ["restart", "verify", "there"]);
});

Deno.test("nextStep() turns back at any step that fails, and stays on the way back", () => {
  const back = ["put-back", "restart-old", "verify-old", "back"];
  assert.deepEqual(stepsOf([bad, ok, ok, ok]), back);
  assert.deepEqual(stepsOf([ok, bad, ok, ok, ok]), ["restart", ...back]);
  assert.deepEqual(stepsOf([ok, ok, bad, ok, bad, bad]), ["restart", "verify", ...back]);
});

Deno.test("nextStep() keeps every reason", () => {
  let journal = begun;
  for (const outcome of [bad, ok, ok, { ok: false, reason: "nor the old one" } as const]) {
    journal = nextStep(journal, outcome);
  }
  assert.equal(journal.reason, "it failed; nor the old one");
});

Deno.test("nextStep() leaves an ended journal alone", () => {
  for (const step of ["there", "back"] as const) {
    assert.equal(nextStep({ ...begun, step }, ok).step, step);
    assert.ok(hasEnded({ ...begun, step }));
  }
});

Deno.test("resumed() goes on where it was, and turns back when it was interrupted too often", () => {
  let journal = begun;
  for (let count = 0; count < MOVE_RESUMES_MAX; count++) {
    journal = resumed(journal, 2_000);
    assert.equal(journal.step, "write");
  }
  assert.equal(resumed(journal, 2_000).step, "put-back");
});

Deno.test("resumed() turns back past the deadline, and when the clock was set back", () => {
  assert.equal(resumed({ ...begun, step: "verify" }, 1_000 + MOVE_MS_MAX).step, "verify");
  assert.equal(resumed({ ...begun, step: "verify" }, 1_001 + MOVE_MS_MAX).step, "put-back");
  assert.equal(resumed({ ...begun, step: "verify" }, 999).step, "put-back");
});

Deno.test("resumed() never turns round on the way back", () => {
  for (const step of ["put-back", "restart-old", "verify-old", "back", "there"] as const) {
    const journal = { ...begun, step, resumes: MOVE_RESUMES_MAX };
    assert.equal(resumed(journal, 10 * MOVE_MS_MAX), journal);
  }
});
