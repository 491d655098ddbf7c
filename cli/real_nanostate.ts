/** What nanostates are run with on real hosts: SSH or this machine, an installed Ansible's files, the real agent. */
import { userInfo } from "node:os";
import { messageOf, SalarError } from "../lib/errors.ts";
import { installedLibrary } from "../lib/nanostate/modules/installed.ts";
import { ModuleError } from "../lib/nanostate/modules/library.ts";
import { controllerFiles } from "../lib/nanostate/run/controller_files.ts";
import { runState } from "../lib/nanostate/run/run_state.ts";
import { localTransport } from "../lib/nanostate/transport/local.ts";
import { sshTransport } from "../lib/nanostate/transport/ssh.ts";
import { SshConfigError } from "../lib/nanostate/transport/ssh_config.ts";
import { resolveHost } from "../lib/nanostate/transport/ssh_host.ts";
import { keyRing } from "../lib/nanostate/transport/ssh_keyring.ts";
import type { TrustedKey } from "../lib/nanostate/transport/ssh_trust.ts";
import type { Nanostates } from "./world.ts";

export function realNanostates(env: Readonly<Record<string, string>>): Nanostates {
  return {
    shipped: new URL("../states", import.meta.url).pathname,
    modules({ roots, ansible }) {
      try {
        return installedLibrary({ roots, named: ansible ?? undefined, env });
      } catch (cause) {
        if (!(cause instanceof ModuleError)) throw cause;
        throw new SalarError("bad-input", cause.message, { cause });
      }
    },
    ways({ asking, trustOnFirstUse, onTrusted }) {
      const keys = keyRing({ passphrase: (path) => asking.hidden(`Passphrase of ${path}: `) });
      return async ({ address, port, user }) => {
        if (address === "local") return localTransport();
        try {
          const host = await resolveHost(address, {
            environment: { ...account(), ...env },
            overrides: {
              ...(port === null ? {} : { port }),
              ...(user === null ? {} : { user }),
              ...(trustOnFirstUse ? { trust: "on-first-use" } : {}),
            },
          });
          return sshTransport({
            host,
            keys,
            ask: { password: (address) => asking.hidden(`Password of ${address}: `) },
            onTrusted: (key) => onTrusted(trustedText(key)),
          });
        } catch (cause) {
          if (!(cause instanceof SshConfigError)) throw cause;
          throw new SalarError("bad-input", `Cannot reach ${address}: ${messageOf(cause)}`, { cause });
        }
      };
    },
    files: controllerFiles(),
    run: runState,
  };
}

/** As OpenSSH asks the system, where the environment is bare: in a container, from cron. */
function account(): { HOME: string; USER: string } {
  const { homedir, username } = userInfo();
  return { HOME: homedir, USER: username };
}

function trustedText({ host, type, fingerprint, file }: TrustedKey): string {
  const where = file === null ? "for this run only" : `and wrote it to ${file}`;
  return `Trusted the ${type} key ${fingerprint} of ${host} on first use, ${where}.`;
}
