/**
 * Root file systems of throw-away hosts: Debian with sshd, made once, then shared read-only by all hosts.
 *
 * B1. Whatever changes in them makes another folder of the cache. No host key and no password is in them: each
 *     host gets its own.
 * B2. Users: root, `ann` (sudo with her password), `bob` (sudo without one).
 */
import { createHash } from "node:crypto";
import { cached } from "./cache.ts";
import { run, which } from "./command.ts";
import { ensureDebian } from "./debian.ts";

const SUITE = "bookworm";
const BUILD_MS_MAX = 10 * 60_000;

// What a shell state needs, and a login shell that is not sh.
const BARE = ["iproute2", "openssh-server", "procps", "sudo", "tcsh"];
// `python3-minimal` lacks modules that Ansible's need; the rest is what single Ansible modules work with.
const PLAIN = [
  ...BARE,
  ..."acl bzip2 cron debconf-utils fish git gnupg iptables locales openssh-client psmisc python3 python3-apt"
    .split(" "),
  ..."python3-debian python3-pexpect python3-pip python3-venv subversion unzip xz-utils".split(" "),
];
const PACKAGES = { "no-python": BARE, plain: PLAIN, postgres: [...PLAIN, "postgresql-15"] } as const;
export type HostBase = keyof typeof PACKAGES;

// Locked ("!") would keep sshd from accepting a key; "*" only has no password.
const SETUP = `set -eu
rm -f etc/ssh/ssh_host_* etc/ssh/sshd_config.d/*
chroot . useradd -m -s /bin/bash ann
chroot . useradd -m -s /bin/bash bob
sed -i -E 's/^(root|ann|bob):[^:]*:/\\1:*:/' etc/shadow
printf 'ann ALL=(ALL:ALL) ALL\\nbob ALL=(ALL:ALL) NOPASSWD: ALL\\n' >etc/sudoers.d/people
chmod 440 etc/sudoers.d/people`;

/** What this machine makes hosts with, and asks in their network. */
const PROGRAMS = ["mmdebstrap", "ip", "tc", "ssh-keygen", "openssl", "nsenter", "curl"];

/** The folder of a base; the first time it takes about half a minute. Needs root. */
export async function ensureHostBase(base: HostBase): Promise<{ folder: string }> {
  await ensureDebian({
    packages: ["mmdebstrap", "iproute2", "openssh-client", "openssl", "util-linux", "curl"],
    present: async () =>
      (await Promise.all(PROGRAMS.map((name) => which(name)))).every((path) => path !== null),
  });
  const packages = PACKAGES[base].join(",");
  const version = createHash("sha256").update(`${SUITE} ${packages} ${SETUP}`).digest("hex").slice(0, 16);
  const folder = await cached({
    name: `host-${base}`,
    version,
    async build(folder) {
      const options = [
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        `--include=${packages}`,
      ];
      const hook = `--customize-hook=cd "$1"; ${SETUP}`;
      await run("mmdebstrap", [...options, hook, SUITE, folder], { limitMs: BUILD_MS_MAX });
    },
  });
  return { folder };
}
