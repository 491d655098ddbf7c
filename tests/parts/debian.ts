/** Debian packages that the tests need and the machine lacks: installed when root, asked for when not. */
import { SalarError } from "../../lib/errors.ts";
import { say, withLock } from "./cache.ts";
import { run, which } from "./command.ts";

const UPDATE_MS_MAX = 3 * 60_000;
const INSTALL_MS_MAX = 10 * 60_000;
const QUIET = ["-qq", "-o", "DPkg::Lock::Timeout=300"];

export interface DebianNeed {
  packages: string[];
  /** True when the machine has what the packages bring, from wherever. */
  present(): Promise<boolean>;
}

/** Makes `need.present()` true. Throws `SalarError` "unavailable" that names the packages and the command. */
export async function ensureDebian(need: DebianNeed): Promise<void> {
  if (await need.present()) return;
  const names = need.packages.join(" ");
  const advice = `run: sudo apt-get update && sudo apt-get install -y ${names}`;
  if (!await which("apt-get")) {
    throw new SalarError(
      "unavailable",
      `Cannot install ${names}: no apt-get here; install what Debian calls so`,
    );
  }
  if (Deno.uid() !== 0) throw new SalarError("unavailable", `Cannot install ${names}: not root; ${advice}`);

  await withLock("debian", async () => {
    if (await need.present()) return;
    say(`Installing Debian packages: ${names}`);
    const env = { DEBIAN_FRONTEND: "noninteractive" };
    await run("apt-get", [...QUIET, "update"], { env, limitMs: UPDATE_MS_MAX });
    const install = [...QUIET, "install", "-y", "--no-install-recommends", ...need.packages];
    await run("apt-get", install, { env, limitMs: INSTALL_MS_MAX });
  });
  if (await need.present()) return;
  throw new SalarError("unavailable", `Cannot use ${names}: installed, yet not found; ${advice}`);
}
