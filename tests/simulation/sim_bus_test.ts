import assert from "node:assert/strict";
import { createBroker } from "../../lib/bus/in_process.ts";
import type { Bus } from "../../lib/bus/bus.ts";
import { isSalarError } from "../../lib/errors.ts";
import { BUS_ACK_WAIT_MS } from "../../lib/limits.ts";
import { Faults } from "./faults.ts";
import { Kernel, microtaskDrain } from "./kernel.ts";
import { type Far, Life } from "./life.ts";
import { seededRandom } from "./random.ts";
import { simBus } from "./sim_bus.ts";
import { silentProbe } from "./testing_ledger.ts";
import { bytesOf, textOf } from "./world.ts";

/** Two processes on one broker without faults. Must be made outside of microtasks. */
class Rig {
  readonly kernel = new Kernel(microtaskDrain());
  readonly cut = new Set<Far>();
  readonly a = this.#life("a");
  readonly b = this.#life("b");
  readonly #broker = this.#life("broker").scope;
  readonly #way = {
    broker: createBroker(this.#broker),
    brokerScope: this.#broker,
    faults: new Faults({ seed: 1, only: new Set() }),
    probe: silentProbe,
  };
  readonly busA = simBus(this.a, this.#way);
  readonly busB = simBus(this.b, this.#way);

  /** Only `a` can be cut off. */
  #life(name: string): Life {
    return new Life({
      kernel: this.kernel,
      name,
      random: seededRandom(1, name),
      skewMs: () => 0,
      isCut: (far) => name === "a" && this.cut.has(far),
      onError: (work, error) => assert.fail(`${work}: ${error}`),
    });
  }

  run(ms: number): void {
    let isOver = false;
    this.kernel.after(0, () => {}); // what was just begun gets on first
    this.kernel.after(ms, () => isOver = true);
    while (!isOver) this.kernel.step();
  }

  /** What a promise has come to. */
  watch<T>(promise: Promise<T>): { now: "open" | { value: T } | { error: unknown } } {
    const watched: { now: "open" | { value: T } | { error: unknown } } = { now: "open" };
    promise.then((value) => watched.now = { value }, (error) => watched.now = { error });
    return watched;
  }
}

Deno.test("simBus() carries messages and answers, and nothing of a process that is cut off", () => {
  const rig = new Rig();
  const heard: string[] = [];
  rig.watch(rig.busB.subscribe(rig.b.scope, "salar.x", {}, (message) => {
    heard.push(textOf(message.data));
    message.respond(bytesOf("answer"));
    return Promise.resolve();
  }));
  const ask = () => rig.watch(rig.busA.request(rig.a.scope, "salar.x", bytesOf("question")));
  rig.run(10);

  const answered = ask();
  rig.run(100);
  assert.deepEqual(heard, ["question"]);
  assert.ok(typeof answered.now === "object" && "value" in answered.now);
  assert.equal(textOf(answered.now.value), "answer");

  rig.cut.add("bus");
  const refused = ask();
  rig.watch(rig.busA.publish(rig.a.scope, "salar.x", bytesOf("lost")));
  rig.run(10_000);
  assert.deepEqual(heard, ["question"]);
  assert.ok(typeof refused.now === "object" && "error" in refused.now);
  assert.ok(isSalarError(refused.now.error, "unavailable"));
  assert.equal(rig.busA.state(), "reconnecting");
});

Deno.test("simBus() brings a durable message again when its nak was cut off, but only after the ack wait", () => {
  const rig = new Rig();
  const attempts: number[] = [];
  rig.watch(consume(rig.busA, rig, (attempt, nak) => {
    attempts.push(attempt);
    rig.cut.add("bus");
    nak();
  }));
  rig.run(50);
  rig.watch(rig.busB.append(rig.b.scope, "salar.kept", bytesOf("{}"), { id: "1" }));
  rig.run(1_000);
  assert.deepEqual(attempts, [1]);
  rig.cut.clear();
  rig.run(1_000);
  assert.deepEqual(attempts, [1], "the nak did not get there");
  rig.run(BUS_ACK_WAIT_MS);
  assert.deepEqual(attempts, [1, 2]);
});

async function consume(bus: Bus, rig: Rig, work: (attempt: number, nak: () => void) => void): Promise<void> {
  const { scope } = rig.a;
  const spec = { name: "KEPT", subjects: ["salar.kept"], ageMsMax: 86_400_000, bytesMax: 1 << 24 };
  await bus.ensureStreams(scope, [spec]);
  await bus.consume(scope, { stream: "KEPT", durable: "test" }, (message) => {
    work(message.attempt, () => message.nak(1));
    return Promise.resolve();
  });
}

Deno.test("simBus() never settles anything of a process that died", () => {
  const rig = new Rig();
  const asked = rig.watch(rig.busA.request(rig.a.scope, "salar.nobody", bytesOf("x")));
  rig.a.kill();
  const askedDead = rig.watch(rig.busA.request(rig.a.scope, "salar.nobody", bytesOf("x")));
  rig.run(60_000);
  assert.deepEqual([asked.now, askedDead.now], ["open", "open"]);
});
