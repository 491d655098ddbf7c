/** A C compiler that links static programs: for the example of an own module. */
import { exists } from "./cache.ts";
import { run, which } from "./command.ts";
import { ensureDebian } from "./debian.ts";

export async function ensureCompiler(): Promise<void> {
  await ensureDebian({
    packages: ["gcc", "libc6-dev"],
    async present() {
      if (await which("cc") === null) return false;
      const { stdout } = await run("cc", ["-print-file-name=libc.a"]); // the bare name when there is none
      return await exists(stdout.trim()) && stdout.trim() !== "libc.a";
    },
  });
}
