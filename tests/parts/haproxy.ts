/** A real HAProxy for tests, from Debian's package. */
import { run, which } from "./command.ts";
import { type DaemonSpec, partFolder, startDaemon, stopDaemon } from "./daemon.ts";
import { ensureDebian } from "./debian.ts";
import { isListening } from "./wait.ts";

const PROGRAM = "/usr/sbin/haproxy";

export async function ensureHaproxy(): Promise<void> {
  await ensureDebian({ packages: ["haproxy"], present: async () => await which(PROGRAM) !== null });
}

/** Checks the configuration as `haproxy -c` does. @throws with what it says when it is not valid */
export async function checkHaproxy(configFile: string): Promise<void> {
  await ensureHaproxy();
  await run(PROGRAM, ["-c", "-q", "-f", configFile]);
}

/** Runs it with this configuration, which listens on `port` of 127.0.0.1. */
export async function startHaproxy(config: string, port: number): Promise<AsyncDisposable> {
  await ensureHaproxy();
  const folder = await partFolder("ha");
  const configFile = `${folder.path}/haproxy.cfg`;
  await Deno.writeTextFile(configFile, config, { mode: 0o600 });
  const spec: DaemonSpec = {
    name: "haproxy",
    folder: folder.path,
    command: PROGRAM,
    args: ["-db", "-f", configFile],
    stopSignal: "SIGUSR1",
    graceMs: 500,
  };
  try {
    await startDaemon(spec, () => isListening("127.0.0.1", port));
  } catch (error) {
    await folder.remove();
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      await stopDaemon(spec);
      await folder.remove();
    },
  };
}
