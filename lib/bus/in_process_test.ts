import assert from "node:assert/strict";
import { isSalarError } from "../errors.ts";
import { busSuite } from "./bus_suite.ts";
import { createBroker } from "./in_process.ts";
import { testScope } from "./testing_scope.ts";

busSuite("in-process bus", () => {
  const scope = testScope();
  const broker = createBroker(scope);
  return Promise.resolve({
    scope,
    connect: () => Promise.resolve(broker.connect()),
    stop() {
      scope.end();
      return Promise.resolve();
    },
  });
});

Deno.test("sever() ends a client as a crash does: others get what it held, and it drains nothing", async () => {
  const scope = testScope();
  const broker = createBroker(scope);
  const [doomed, other] = [broker.connect(), broker.connect()];
  const stream = { name: "S", subjects: ["s.*"], ageMsMax: 60_000, bytesMax: 16 * 1024 * 1024 };
  const options = { stream: "S", durable: "d", ackWaitMs: 50 };
  await other.ensureStreams(scope, [stream]);
  await doomed.subscribe(scope, "ask", { group: "g" }, () => Promise.resolve());
  await doomed.consume(scope, options, () => new Promise(() => {})); // hangs: a drain would never end
  await other.append(scope, "s.1", new Uint8Array(), { id: "1" });
  await scope.sleep(0);

  doomed.sever();
  assert.equal(doomed.state(), "closed");
  await assert.rejects(
    doomed.publish(scope, "ask", new Uint8Array()),
    (error) => isSalarError(error, "closed"),
  );
  await assert.rejects(other.request(scope, "ask", new Uint8Array()), (e) => isSalarError(e, "unavailable"));
  const attempt = await new Promise<number>((resolve) => {
    void other.consume(scope, options, async (message) => {
      await message.ack();
      resolve(message.attempt);
    });
  });
  assert.equal(attempt, 2);
  scope.end();
});
