/**
 * Lets another process stop, start or restart a test's daemon, as `systemctl` would.
 *
 * Usage: deno run -A daemon_control.ts SPEC_FILE start|stop|kill|restart
 * Starting resolves when the process runs; whether it is of use is for the caller to find out, as with systemd.
 */
import { type DaemonSpec, isRunning, killDaemon, startDaemon, stopDaemon } from "./daemon.ts";

async function main([specFile, action]: string[]): Promise<number> {
  const start = (spec: DaemonSpec) => startDaemon(spec, () => isRunning(spec));
  const actions: Record<string, (spec: DaemonSpec) => Promise<void>> = {
    start,
    stop: stopDaemon,
    kill: killDaemon,
    async restart(spec) {
      await stopDaemon(spec);
      await start(spec);
    },
  };
  const act = actions[action ?? ""];
  if (specFile === undefined || act === undefined) {
    Deno.stderr.writeSync(
      new TextEncoder().encode("Usage: daemon_control.ts SPEC_FILE start|stop|kill|restart\n"),
    );
    return 2;
  }
  await act(JSON.parse(await Deno.readTextFile(specFile)));
  return 0;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
