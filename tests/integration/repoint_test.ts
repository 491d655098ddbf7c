/** The client agent moves a real minion between two real masters; both Salt lines. */
import assert from "node:assert/strict";
import { SALT_LINES } from "../parts/salt.ts";
import { assertFollows, ID, saltFiles, startSite } from "./repoint_support.ts";

for (const line of SALT_LINES) {
  Deno.test(`a directive moves a Salt ${line} minion to another master, and the next one back`, async () => {
    await using site = await startSite(line);
    const { a, b, minion } = site;
    const keyFile = `${site.own}/b.pub`;
    await Deno.writeTextFile(keyFile, await b.masterPublicKey());
    const before = await saltFiles(minion);
    const preview = await site.agentSays(
      "move",
      "--dry-run",
      "--to",
      b.address,
      "--key",
      `${site.own}/b.pub`,
    );
    assert.ok(preview.includes(`+ master: "${b.address}"`), preview);
    assert.deepEqual(await saltFiles(minion), before, "a preview touches nothing");

    assert.equal((await site.reportOf(await site.order(b))).outcome, "there");
    await assertFollows(site, "b");
    assert.match(
      await site.agentSays("status"),
      new RegExp(`^master: ${b.address}\nlast move: number 1 .*: there$`, "m"),
    );

    assert.equal((await site.reportOf(await site.order(a))).outcome, "there");
    await assertFollows(site, "a");
    assert.equal(await site.endAgent("SIGTERM"), 0);
    assert.equal(site.director.enrolments, 1);
  });

  Deno.test(`a Salt ${line} minion is with its old master again when the new one does not take it`, async () => {
    await using site = await startSite(line);
    const { a, b, minion } = site;
    const before = await saltFiles(minion);
    const comesBack = async (why: string, seq: number, reason: RegExp) => {
      const report = await site.reportOf(seq);
      assert.equal(report.outcome, "back", why);
      assert.match(report.reason, reason, why);
      assert.deepEqual(await saltFiles(minion), before, why);
      assert.ok(await a.ping(ID), `${why}: the old master is answered`);
    };

    const wrongKey = await site.order(b, await a.masterPublicKey());
    await comesBack("wrong key", wrongKey, /has not connected/);

    await Deno.mkdir(`${b.pkiFolder}/minions_rejected`, { recursive: true });
    await Deno.rename(`${b.pkiFolder}/minions/${ID}`, `${b.pkiFolder}/minions_rejected/${ID}`);
    await comesBack("rejected", await site.order(b), /has not connected/);

    await b.kill();
    await comesBack("down", await site.order(b), /nobody answers at .*:4505/);
  });
}
