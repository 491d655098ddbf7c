import assert from "node:assert/strict";
import { exists } from "./cache.ts";
import { type DaemonSpec, isRunning, killDaemon, partFolder, startDaemon, stopDaemon } from "./daemon.ts";
import { waitFor } from "./wait.ts";

const isUp = () => Promise.resolve(true);

Deno.test("stopDaemon() kills after the grace time what does not obey, children that left the group included", async () => {
  const folder = await partFolder("daemon");
  const script = 'trap "" TERM; setsid sleep 100 & sleep 100 & touch up; wait; sleep 100';
  const spec: DaemonSpec = {
    name: "stubborn",
    folder: folder.path,
    command: "/bin/sh",
    args: ["-c", script],
    graceMs: 100,
  };
  await startDaemon(spec, () => exists(`${folder.path}/up`));
  assert.ok(await isRunning(spec));
  await stopDaemon(spec);
  assert.equal(await isRunning(spec), false);
  await killDaemon(spec); // nothing to do, no error
  await folder.remove();
  assert.equal(await exists(folder.path), false);
});

Deno.test("startDaemon() gives the end of the log of a server that ended at once", async () => {
  const folder = await partFolder("daemon");
  const spec: DaemonSpec = {
    name: "broken",
    folder: folder.path,
    command: "/bin/sh",
    args: ["-c", "echo no such option; exit 3"],
  };
  await assert.rejects(
    startDaemon(spec, () => Promise.resolve(false)),
    /Cannot start broken[^]*no such option/,
  );
  await folder.remove();
});

Deno.test("a daemon and its folder do not outlive the process that started it, whatever killed that", async () => {
  const module = new URL("./daemon.ts", import.meta.url).href;
  const script = `
    import { partFolder, startDaemon } from ${JSON.stringify(module)};
    const { path: folder } = await partFolder("daemon");
    await startDaemon({ name: "orphan", folder, command: "sleep", args: ["100"] }, () => Promise.resolve(true));
    console.log(folder);
    await new Promise((resolve) => setTimeout(resolve, 100_000));`;
  const starter = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--quiet", script],
    stdin: "null",
    stdout: "piped",
  }).spawn();
  let folder = "";
  for await (const chunk of starter.stdout) {
    folder += new TextDecoder().decode(chunk);
    if (folder.endsWith("\n")) break;
  }
  const spec: DaemonSpec = { name: "orphan", folder: folder.trim(), command: "sleep", args: [] };
  assert.ok(await isRunning(spec));
  const pid = (await Deno.readTextFile(`${spec.folder}/orphan.pid`)).trim(); // gone with the folder

  starter.kill("SIGKILL");
  await starter.status;
  await waitFor("folder removed", 10_000, async () => !await exists(spec.folder));
  assert.equal(await exists(`/proc/${pid}/cwd`), false);
});

Deno.test("daemon_control.ts restarts a daemon from another process", async () => {
  const folder = await partFolder("daemon");
  const spec: DaemonSpec = { name: "sleeper", folder: folder.path, command: "sleep", args: ["100"] };
  await startDaemon(spec, isUp);
  const pidFile = `${folder.path}/sleeper.pid`;
  const before = await Deno.readTextFile(pidFile);
  const specFile = `${folder.path}/daemon.json`;
  await Deno.writeTextFile(specFile, JSON.stringify(spec));

  const control = new URL("./daemon_control.ts", import.meta.url).pathname;
  const { code } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", control, specFile, "restart"],
  })
    .output();
  assert.equal(code, 0);
  assert.notEqual(await Deno.readTextFile(pidFile), before);
  assert.ok(await isRunning(spec));
  await killDaemon(spec);
  assert.equal(await isRunning(spec), false);
  await folder.remove();
});
