/** Two Salt masters and a minion that moves between them, on both lines: what every test of a move stands on. */
import assert from "node:assert/strict";
import { run } from "./command.ts";
import { SALT_LINES } from "./salt.ts";
import { type SaltMaster, startSaltMaster } from "./salt_master.ts";
import { type SaltMinion, startSaltMinion } from "./salt_minion.ts";
import { waitFor } from "./wait.ts";

const ID = "web-1.example.org";
const START_TAG = `salt/minion/${ID}/start`;

for (const line of SALT_LINES) {
  Deno.test(`Salt ${line}: a minion moves from one master to another, and both come back from kill -9`, async (t) => {
    await using oldMaster = await startSaltMaster({ line });
    await using newMaster = await startSaltMaster({ line });
    assert.notEqual(await oldMaster.masterPublicKey(), await newMaster.masterPublicKey());
    await using oldEvents = await oldMaster.events();
    await using newEvents = await newMaster.events();
    await using minion = await startSaltMinion({ line, id: ID, master: oldMaster.address });

    await t.step("its key is pending, then accepted, and the start event tells its machine", async () => {
      await waitFor("pending key", 20_000, async () => (await oldMaster.pendingKeys()).includes(ID));
      await oldMaster.acceptPending(ID);
      const { data } = await oldEvents.waitForTag(START_TAG);
      assert.deepEqual(data["grains"], { machine_id: minion.machineId });
      assert.deepEqual([await oldMaster.acceptedKeys(), await oldMaster.pendingKeys()], [[ID], []]);
      assert.ok(await oldMaster.ping(ID));
    });

    await t.step(
      "a key accepted ahead and a restart by another process bring it to the new master",
      async () => {
        await newMaster.acceptKey(ID, await minion.publicKey());
        await point(minion, newMaster);
        const [program = "", ...args] = minion.restartCommand;
        await run(program, args);
        await newEvents.waitForTag(START_TAG);
        assert.ok(await newMaster.ping(ID));
        assert.equal(await oldMaster.ping(ID), false);
        assert.deepEqual(await oldMaster.acceptedKeys(), [ID]); // Salt forgets nothing by itself
      },
    );

    await t.step("salt-call on the minion reaches its master", async () => {
      const { stdout } = await run("timeout", ["20", ...minion.saltCall, "test.ping"], { limitMs: 30_000 });
      assert.deepEqual(JSON.parse(stdout), { local: true });
    });

    await t.step("a killed minion starts again", async () => {
      await minion.kill();
      assert.equal(await minion.isRunning(), false);
      newEvents.clear();
      await minion.restart();
      await newEvents.waitForTag(START_TAG);
    });

    await t.step("a killed master starts again with its keys, and the minion finds it", async () => {
      const key = await newMaster.masterPublicKey();
      await newMaster.kill();
      await newMaster.restart();
      assert.equal(await newMaster.masterPublicKey(), key);
      await waitFor("answer to test.ping", 60_000, () => newMaster.ping(ID));
    });
  });
}

/** What an administrator would do by hand: name the master, and replace the pinned key. */
async function point(minion: SaltMinion, master: SaltMaster): Promise<void> {
  const dropIn = `${minion.configFolder}/minion.d/susemanager.conf`;
  const text = await Deno.readTextFile(dropIn);
  await Deno.writeTextFile(dropIn, text.replace(/^master: .*$/m, `master: ${master.address}`));
  await Deno.writeTextFile(
    `${minion.configFolder}/pki/minion/minion_master.pub`,
    await master.masterPublicKey(),
  );
}
