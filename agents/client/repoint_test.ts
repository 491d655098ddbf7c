import assert from "node:assert/strict";
import fc from "fast-check";
import { isSalarError } from "../../lib/errors.ts";
import { hasEnded, type MoveJournal, type Step } from "./journal.ts";
import { dropInText } from "./minion.ts";
import { move, previewMove, readJournal, type RepointDeps, resumeMove } from "./repoint.ts";
import { type CrashPoint, Fuse, LAYOUT, Machine, PEM_A, PEM_B } from "./testing.ts";

const ORDER = { seq: 1, epoch: 1, plan: "p1", master: "b", masterKey: PEM_B };
const SALT_FILES = [LAYOUT.dropIn, LAYOUT.masterKey, ...LAYOUT.kept];

/** One incarnation: takes up what it finds, or begins; null when it died at its crash point. */
async function live(machine: Machine, point: CrashPoint | null): Promise<MoveJournal | null> {
  const fuse = new Fuse(point);
  const deps: RepointDeps = machine.incarnate(fuse);
  const scope = machine.clock.scope({ fuse });
  const run = async () => {
    const journal = await readJournal(deps);
    return journal === null ? await move(scope, deps, ORDER) : await resumeMove(scope, deps, journal);
  };
  return await Promise.race([run(), fuse.blown.promise.then(() => null)]);
}

/** Crashes at each point in turn, then lives on undisturbed; checks the end. */
async function moveThrough(
  machine: Machine,
  points: readonly CrashPoint[],
): Promise<{ end: "there" | "back"; deaths: number }> {
  const before = new Map(SALT_FILES.map((path) => [path, machine.text(path)]));
  let deaths = 0;
  for (const point of points) if (await live(machine, point) === null) deaths++;
  const ended = await live(machine, null);
  assert.ok(ended !== null && hasEnded(ended));

  if (ended.step === "there") {
    assert.equal(machine.text(LAYOUT.dropIn), dropInText("b"));
    assert.equal(machine.text(LAYOUT.masterKey), PEM_B);
    assert.deepEqual(machine.minion.running, { master: "b", key: PEM_B });
    return { end: "there", deaths };
  }
  for (const [path, text] of before) assert.equal(machine.text(path), text, `${path} is as it was`);
  if (!machine.minion.restartFails) assert.equal(machine.minion.running.master, "a");
  return { end: "back", deaths };
}

Deno.test("move() ends there when the new master answers", async () => {
  assert.equal((await moveThrough(new Machine(), [])).end, "there");
});

Deno.test("move() puts everything back when the new master does not answer, has another key, or the restart fails", async () => {
  const spoil: ((machine: Machine) => void)[] = [
    (machine) => machine.masters["b"] = { key: PEM_B, up: false },
    (machine) => machine.masters["b"] = { key: PEM_A, up: true },
    // It has rewritten Uyuni's own file by then.
    (machine) => machine.masters["b"] = { key: PEM_B, up: true, silent: true },
    (machine) => machine.minion.restartFails = true,
  ];
  for (const how of spoil) {
    const machine = new Machine();
    how(machine);
    assert.equal((await moveThrough(machine, [])).end, "back");
  }
});

Deno.test("move() says so when the old master does not answer either, with the old files in force", async () => {
  const machine = new Machine();
  for (const master of Object.values(machine.masters)) master.up = false;
  assert.equal((await moveThrough(machine, [])).end, "back");
  const journal = await readJournal(machine.incarnate());
  assert.equal(
    journal?.reason,
    "b does not answer; the old master does not answer either: a does not answer",
  );
});

Deno.test("move() touches nothing when the configuration would not follow", async () => {
  const machine = new Machine();
  machine.minion.problems = ["zzz.conf names a master"];
  assert.equal((await moveThrough(machine, [])).end, "back");
  assert.equal(machine.minion.restarts, 0);
});

Deno.test("resumeMove() refuses a damaged backup, and goes on once it is mended", async () => {
  const machine = await diedWhen("put-back");
  const path = "/state/backup/minion_master.pub";
  const good = machine.files.get(path);
  assert.ok(good);
  machine.files.set(path, good.slice(1));
  await assert.rejects(live(machine, null), (error) => isSalarError(error, "bad-record"));
  machine.files.set(path, good);
  assert.equal((await live(machine, null))?.step, "back");
  assert.equal(machine.text(LAYOUT.masterKey), PEM_A);
});

/** A machine whose agent died right after it wrote this step down, on the way to a master that does not answer. */
async function diedWhen(step: Step): Promise<Machine> {
  for (let call = 0; call < 50; call++) {
    const machine = new Machine();
    machine.masters["b"] = { key: PEM_B, up: false };
    await live(machine, { call, when: "after" });
    if ((await readJournal(machine.incarnate()))?.step === step) return machine;
  }
  throw new Error(`the move never came to step ${step}`);
}

const WHEN = ["before", "torn", "after"] as const;

Deno.test("move() killed at any single point ends there or back, never in between", async () => {
  for (const answers of [true, false]) {
    let call = 0;
    for (let deaths = 1; deaths > 0; call++) {
      for (const when of WHEN) {
        const machine = new Machine();
        machine.masters["b"] = { key: PEM_B, up: answers };
        const through = await moveThrough(machine, [{ call, when }]);
        assert.equal(through.end, answers ? "there" : "back");
        deaths = through.deaths;
      }
    }
    assert.ok(call > 10, `only ${call} points were reached`);
  }
});

Deno.test("move() killed again and again ends there or back, never in between", async () => {
  const points = fc.array(fc.record({ call: fc.nat(30), when: fc.constantFrom(...WHEN) }), { maxLength: 8 });
  const setting = fc.record({
    points,
    answers: fc.boolean(),
    silent: fc.boolean(),
    restartFails: fc.boolean(),
    movedBefore: fc.boolean(),
    keyCached: fc.boolean(),
  });
  const seen = { there: 0, back: 0 };
  const holds = async ({ points, answers, silent, restartFails, movedBefore, keyCached }: Setting) => {
    const machine = new Machine();
    machine.masters["b"] = { key: PEM_B, up: answers, silent };
    machine.minion.restartFails = restartFails;
    if (movedBefore) machine.files.set(LAYOUT.dropIn, new TextEncoder().encode(dropInText("a")));
    if (!keyCached) machine.files.delete(LAYOUT.masterKey);
    const { end } = await moveThrough(machine, points);
    seen[end]++;
    if (!answers || silent || restartFails) assert.equal(end, "back");
  };
  type Setting = typeof setting extends fc.Arbitrary<infer T> ? T : never;
  await fc.assert(fc.asyncProperty(setting, holds), { numRuns: 1_000 });
  assert.ok(seen.there > 20 && seen.back > 20, `both ends are reached: ${JSON.stringify(seen)}`);
});

Deno.test("previewMove() shows the lines that would change and changes nothing", async () => {
  const machine = new Machine();
  const before = new Map(machine.files);
  const text = await previewMove(machine.incarnate(), { master: "b", masterKey: PEM_B });
  assert.deepEqual(machine.files, before);
  assert.match(text, /^master now: a$/m);
  assert.match(text, /^--- \(no file\)\n\+\+\+ \/etc\/salt\/minion\.d\/zz-salar\.conf$/m);
  assert.match(text, /^\+ master: "b"$/m);
  assert.match(text, /^- AAAA\n/m);
  assert.match(text, /^\+ BBBB$/m);
});
