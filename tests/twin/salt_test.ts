/** The twin beside a real Salt master: keys through its API, registration by the minion's own start event. */
import assert from "node:assert/strict";
import { uyuniClient } from "../../lib/uyuni/client.ts";
import { startSaltMaster } from "../parts/salt_master.ts";
import { startSaltMinion } from "../parts/salt_minion.ts";
import { waitFor } from "../parts/wait.ts";
import { memoryDb } from "./memory_db.ts";
import { folderKeys } from "./minion_keys.ts";
import { startTwin } from "./twin.ts";

const ID = "twin-1.example.org";

Deno.test("a real minion whose key is accepted through the API registers itself", async () => {
  await using master = await startSaltMaster({ line: "3006" });
  await using node = startTwin({ db: memoryDb(), keys: folderKeys(master.pkiFolder) });
  await node.seed({ users: [{ login: "admin", password: "admin" }] });
  const uyuni = uyuniClient({ url: node.url, user: "admin", password: "admin", request: fetch });

  const events = await master.events();
  const watching = node.watchSalt(events);
  await using minion = await startSaltMinion({ line: "3006", id: ID, master: master.address });
  await waitFor("pending key", 20_000, async () => (await node.keys.list("pending")).includes(ID));
  assert.deepEqual(await uyuni.call("saltkey.pendingList"), [ID]);
  assert.equal(await uyuni.call("saltkey.accept", ID), 1);

  await waitFor(
    "registration",
    20_000,
    async () => (await node.db.transaction((tx) => tx.count("rhnServer", {}))) > 0,
  );
  const map = await uyuni.call("system.getMinionIdMap");
  assert.deepEqual(map, { [ID]: 1_000_010_000 });
  const details = await uyuni.call("system.getDetails", 1_000_010_000) as Record<string, unknown>;
  assert.equal(details["machine_id"], minion.machineId);
  assert.ok(await master.ping(ID));

  assert.equal(await uyuni.call("system.deleteSystem", 1_000_010_000, "NO_CLEANUP"), 1);
  assert.deepEqual(await master.acceptedKeys(), []);
  await events.close();
  await watching;
});
