import assert from "node:assert/strict";
import { join } from "node:path";
import { isSalarError, messageOf } from "../errors.ts";
import { createLog } from "../log.ts";
import { generateIdentity, identityToPem } from "../secure/keys.ts";
import { realCrypt, realSigner } from "./real_crypt.ts";
import { realDisk } from "./real_disk.ts";
import { realNet } from "./real_net.ts";
import { realProbe } from "./real_probe.ts";
import { realScope } from "./real_scope.ts";

const scope = realScope({ name: "test" });
const bytes = (text: string) => new TextEncoder().encode(text);

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("realDisk() replaces, reads, lists and removes; what is not there is null or nothing", async () => {
  await inFolder(async (folder) => {
    const disk = realDisk();
    const path = join(folder, "deep", "state.json");
    assert.equal(await disk.read(path), null);
    assert.deepEqual(await disk.list(join(folder, "deep")), []);

    await disk.replace(path, bytes("one"));
    await disk.replace(path, bytes("two"));
    assert.deepEqual(await disk.read(path), bytes("two"));
    assert.deepEqual(await disk.list(join(folder, "deep")), ["state.json"]);
    await disk.remove(path);
    await disk.remove(path);
    assert.equal(await disk.read(path), null);
  });
});

Deno.test("realDisk() gives 0600 unless told otherwise, whatever the old file had", async () => {
  await inFolder(async (folder) => {
    const disk = realDisk();
    const path = join(folder, "key.pem");
    await Deno.writeTextFile(path, "old", { mode: 0o644 });
    await disk.replace(path, bytes("new"));
    assert.equal(Number((await Deno.stat(path)).mode) & 0o777, 0o600);
    await disk.replace(path, bytes("new"), { mode: 0o664 });
    assert.equal(Number((await Deno.stat(path)).mode) & 0o777, 0o664);
  });
});

Deno.test("realDisk() hides what a crash left beside and removes it when it is old; two writers do not disturb each other", async () => {
  await inFolder(async (folder) => {
    const disk = realDisk();
    const left = join(folder, `.state.json.${scope.random.id()}.new`);
    await Deno.writeTextFile(left, "half");
    await Deno.utime(left, new Date(0), new Date(0));
    assert.deepEqual(await disk.list(folder), []);
    await disk.replace(join(folder, "state.json"), bytes("whole"));
    await assert.rejects(Deno.stat(left), Deno.errors.NotFound);
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => disk.replace(join(folder, "state.json"), bytes(`w${i}`))),
    );
    assert.match(
      new TextDecoder().decode(await disk.read(join(folder, "state.json")) ?? bytes("")),
      /^w\d+$/,
    );
  });
});

Deno.test("realDisk() names the path when it cannot write, and leaves the old file", async () => {
  await inFolder(async (folder) => {
    const path = join(folder, "file");
    await Deno.writeTextFile(path, "a file, not a folder");
    await assert.rejects(realDisk().replace(join(path, "below"), bytes("x")), (error) => {
      return isSalarError(error, "unavailable") && messageOf(error).includes(join(path, "below"));
    });
    assert.equal(await Deno.readTextFile(path), "a file, not a folder");
  });
});

Deno.test("realNet() asks, measures a connect, and says `unavailable` without path or query", async () => {
  const net = realNet();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => new Response("hi"));
  const { port } = server.addr;
  const answer = await net.request(scope, new Request(`http://127.0.0.1:${port}/`));
  assert.equal(await answer.text(), "hi");
  assert.ok(await net.connectMs(scope, { host: "127.0.0.1", port }) >= 0);
  await server.shutdown();

  await assert.rejects(
    net.request(scope, new Request(`http://127.0.0.1:${port}/private?hidden=1`)),
    (error) =>
      isSalarError(error, "unavailable") && /:\d+: .*refused/.test(messageOf(error)) &&
      !/private|hidden/.test(messageOf(error)),
  );
  await assert.rejects(
    net.connectMs(scope, { host: "127.0.0.1", port }),
    (error) => isSalarError(error, "unavailable"),
  );
  net.close();
  net.close();
});

Deno.test("realNet() ends with the scope: `deadline` and `cancelled`", async () => {
  const net = realNet();
  const hang = Promise.withResolvers<Response>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => hang.promise);
  const ask = () => new Request(`http://127.0.0.1:${server.addr.port}/`);
  await assert.rejects(
    scope.timeout(50, (scope) => net.request(scope, ask())),
    (error) => isSalarError(error, "deadline"),
  );
  const end = new AbortController();
  const waiting = net.request(scope.child("c", end.signal), ask());
  end.abort();
  await assert.rejects(waiting, (error) => isSalarError(error, "cancelled"));
  hang.resolve(new Response("late"));
  net.close();
  await server.shutdown();
});

Deno.test("realSigner() signs what realCrypt() verifies; foreign bytes verify nothing", () => {
  const crypt = realCrypt();
  const signer = realSigner(identityToPem(generateIdentity()));
  const signature = signer.sign(bytes("text"));
  assert.equal(Buffer.from(crypt.sha256(signer.spki)).toString("hex"), signer.fp);
  assert.ok(crypt.verify(signer.spki, bytes("text"), signature));
  assert.ok(!crypt.verify(signer.spki, bytes("other"), signature));
  assert.ok(!crypt.verify(bytes("no key"), bytes("text"), signature));
  assert.ok(!crypt.verify(signer.spki, bytes("text"), bytes("no signature")));
});

Deno.test("realProbe() logs a broken invariant and nothing else", () => {
  const lines: string[] = [];
  const probe = realProbe(createLog({ level: "debug", nowMs: () => 0, write: (line) => lines.push(line) }));
  probe.always(true, "fine");
  probe.sometimes("rare");
  assert.equal(probe.buggify("site"), false);
  probe.always(false, "one-owner", { system: 7 });
  assert.equal(lines.length, 1);
  assert.match(lines[0] ?? "", /"level":"error".*one-owner.*7/);
});
