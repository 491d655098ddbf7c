/** Installs every part that the tests use, so that no test's own time limit pays for it. Present parts cost nothing. */
import { ANSIBLE_VERSIONS, ensureAnsible } from "./ansible.ts";
import { which } from "./command.ts";
import { ensureCompiler } from "./compiler.ts";
import { ensureDebian } from "./debian.ts";
import { ensureHaproxy } from "./haproxy.ts";
import { ensureHostBase } from "./hosts_base.ts";
import { ensureNats } from "./nats.ts";
import { ensurePostgres } from "./postgres.ts";
import { ensurePython } from "./python.ts";
import { ensureSalt, SALT_LINES } from "./salt.ts";
import { ensureSeaweedfs } from "./seaweedfs.ts";
import { ensureSshd } from "./sshd.ts";
import { ensureGoClient, ensureTikv } from "./tikv_build.ts";

/** Resolves when all are there; throws the first `SalarError` that says what is missing and how to get it. */
export async function installParts(): Promise<void> {
  await ensureDebian({ packages: ["openssl"], present: async () => await which("openssl") !== null });
  await ensurePostgres();
  await ensurePython();
  await ensureCompiler();
  await ensureNats();
  await ensureHaproxy();
  await ensureSeaweedfs();
  await ensureSshd();
  for (const base of ["plain", "no-python", "postgres"] as const) await ensureHostBase(base);
  await ensureTikv();
  await ensureGoClient();
  await Promise.all([...SALT_LINES.map(ensureSalt), ...ANSIBLE_VERSIONS.map(ensureAnsible)]); // mostly downloads
}

if (import.meta.main) await installParts();
