/**
 * Arguments that each builtin module is given, by Ansible and by us, on two hosts that are prepared alike.
 *
 * Every case runs three times, in this order with all others: in check mode, fresh, and again. Paths below FILES are of the controller.
 * C1. A difference that is let pass stands here, by its key and with its reason. One that is gone is an error, too.
 */
import type { JsonObject } from "../../lib/nanostate/json.ts";
import type { AnsibleVersion } from "../parts/ansible.ts";

export const FILES = "@FILES@";

export interface ParityCase {
  module: string;
  args: JsonObject;
  /** Only in these versions. */
  versions?: readonly AnsibleVersion[];
  /** Only so far: what comes then would end the host. */
  modes?: readonly Mode[];
  /** Keys, wherever they stand in the result, that differ. */
  differs?: readonly Differing[];
  /** All that can be had here is the module's refusal: what it needs is not on the host. */
  refusal?: string;
}

/** @see C1 */
export interface Differing {
  key: string;
  why: string;
  versions?: readonly AnsibleVersion[];
}

export const MODES = ["check", "fresh", "again"] as const;
export type Mode = typeof MODES[number];

const TEMPORARY = "Ansible shows the name of a temporary file of the controller, we the path on the host";
const header: Differing = { key: "after_header", why: TEMPORARY, versions: ["2.14.18"] };
const NO_DNF = "no dnf on Debian";

const REPO = "deb [trusted=yes] file:/p/other ./";
// Facts that two hosts made alike share: no times, addresses, free memory or process numbers.
const STABLE_FACTS = (
  "apparmor architecture cmdline distribution* domain fips fqdn hostname kernel* lo local lsb machine nodename " +
  "os_family pkg_mgr processor* python* selinux* service_mgr system* user* userspace* virtualization*"
).split(" ");
const NO_BREAK = { extra_args: "--no-index --find-links /p/wheel --break-system-packages" };

export const CASES: readonly ParityCase[] = [
  of("apt", { name: "salar-one" }),
  of("apt", { name: "salar-nothing" }),
  of("apt", { name: "salar-two", state: "absent" }),
  of("apt", { deb: "/p/repo/four.deb" }),
  of("apt_key", {
    file: "/usr/share/keyrings/debian-archive-keyring.gpg",
    keyring: "/etc/apt/trusted.gpg.d/demo.gpg",
  }),
  of("apt_key", { id: "odd", state: "absent" }),
  of("apt_repository", { repo: REPO, filename: "demo", update_cache: false }),
  of("assemble", { src: "/p/frag", dest: "/p/assembled", delimiter: "---" }),
  of("assemble", {
    src: `${FILES}/frag`,
    dest: "/p/assembled-local",
    remote_src: false,
    delimiter: "\\n##",
    regexp: "[ab]$",
  }, { differs: [{ ...header, versions: ["2.19.14"] }] }),
  of("blockinfile", { path: "/p/block", block: "one\ntwo", insertafter: "alpha" }),
  of("command", { cmd: "echo hi; exit 3" }),
  of("command", { cmd: "false" }),
  of("command", { argv: ["touch", "/p/touched"], creates: "/p/touched" }),
  of("command", { cmd: "/no/such/program" }),
  of("command", { cmd: "cat", stdin: "fed", chdir: "/p" }),
  of("command", { chdir: "/" }),
  of("copy", { content: "new\n", dest: "/p/content", mode: "0640", owner: "ann" }, { differs: [header] }),
  of("copy", { content: { b: [1, 2.5, null], a: "é" }, dest: "/p/json" }, { differs: [header] }),
  of("copy", { content: "hello\n", dest: "/p/old" }),
  of("copy", { content: "x", dest: "/p/tree" }),
  of("copy", { content: "x", dest: "/p/tree/" }),
  of("copy", { content: "x", dest: "/p/no/such/folder" }, { differs: [header] }),
  of("copy", { content: "x", dest: "/p/same/below" }),
  of("copy", { content: "other\n", dest: "/p/same", force: false }, {
    differs: [{ key: "src", why: TEMPORARY }],
  }),
  of("copy", { content: "bad", dest: "/p/validated", validate: "grep -q good %s" }, { differs: [header] }),
  of("copy", { src: `${FILES}/script.sh`, dest: "/p/sent", mode: "preserve", backup: true }),
  of("copy", { src: `${FILES}/script.sh`, dest: "/p/tree/" }),
  of("copy", { src: `${FILES}/script.sh`, dest: "/p/copied", backup: true }),
  of("copy", { src: `${FILES}/script.sh`, dest: "/p/link", follow: true }),
  of("copy", { src: `${FILES}/folder`, dest: "/p/folders", directory_mode: "0750" }),
  of("copy", { src: `${FILES}/folder/`, dest: "/p/folder-inside", local_follow: false }),
  of("copy", { src: `${FILES}/single/`, dest: "/p/single" }),
  of("copy", { src: "/p/tree/", dest: "/p/copied-there", remote_src: true }),
  of("copy", { src: `${FILES}/binary`, dest: "/p/binary" }),
  of("copy", { dest: "/p/nothing" }),
  of("cron", { name: "demo", minute: "5", job: "true" }),
  of("cron", { name: "old", state: "absent" }),
  of("deb822_repository", { name: "demo2", uris: "file:/p/repo", suites: "./", trusted: true }, {
    versions: ["2.19.14"],
  }),
  of("debconf", { name: "salar-one", question: "salar-one/one", value: "v", vtype: "string" }),
  of("dnf", { name: "x" }, { refusal: NO_DNF }),
  of("dnf5", { name: "x" }, { versions: ["2.19.14"], refusal: NO_DNF }),
  of("dpkg_selections", { name: "bash", selection: "hold" }),
  of("expect", { command: "sh -c 'read -p name? n; echo $n'", responses: { "name": "bob" } }),
  of("fetch", { src: "/p/same", dest: `${FILES}/got/` }),
  of("fetch", { src: "/p/frag/10-a", dest: `${FILES}/flat/`, flat: true }),
  of("fetch", { src: "/p/none", dest: `${FILES}/got/` }),
  of("fetch", { src: "/p/none", dest: `${FILES}/got/`, fail_on_missing: false }),
  of("fetch", { src: "/p/tree", dest: `${FILES}/got/` }),
  of("file", { path: "/p/made", state: "directory", mode: "0700" }),
  of("file", { path: "/p/made/link", src: "/p/same", state: "link" }),
  of("file", { path: "/p/touch", state: "touch", modification_time: "preserve", access_time: "preserve" }),
  of("file", { path: "/p/gone", state: "absent" }),
  of("file", { path: "/p/none", mode: "0600" }),
  of("find", { paths: "/p/frag", patterns: "*-*", get_checksum: true }),
  of("gather_facts", { gather_subset: ["!all", "!min", "distribution", "pkg_mgr"] }),
  of("get_url", {
    url: "http://127.0.0.1:8123/page",
    dest: "/p/page",
    checksum: "sha1:b01ddea55e77e8e2fb663fd4a406b8791a70464c",
  }),
  of("get_url", { url: "http://127.0.0.1:8123/page", dest: "/p/page2" }),
  of("get_url", { url: "http://127.0.0.1:8123/none", dest: "/p/page3" }),
  of("getent", { database: "passwd", key: "ann" }),
  of("git", { repo: "/p/git", dest: "/p/clone", version: "main" }),
  of("group", { name: "demo", gid: 4001 }),
  of("hostname", { name: "renamed" }),
  of("hostname", { name: "renamed", use: "debian" }), // asks for hostnamectl
  of("iptables", { chain: "INPUT", protocol: "tcp", destination_port: "9", jump: "DROP" }),
  of("known_hosts", {
    name: "example.org",
    key: "example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
    path: "/p/known",
  }),
  of("lineinfile", { path: "/p/line", line: "delta", regexp: "^delta", backup: true }),
  of("lineinfile", { path: "/p/none", line: "x" }),
  of("mount_facts", { sources: ["static"] }, { versions: ["2.19.14"] }),
  of("package", { name: "salar-three", state: "absent" }),
  of("package", { name: "salar-one", use: "nothing" }, {
    differs: [{ key: "msg", why: "we refuse it before the host is touched" }],
  }),
  of("package_facts", { manager: "apt" }),
  of("ping", { data: "pung" }),
  of("ping", { data: "crash" }, {
    differs: [{ key: "module_stderr", why: "a traceback goes through other callers", versions: ["2.14.18"] }],
  }),
  of("ping", { unknown: 1 }),
  of("pip", { name: "salar-demo", ...NO_BREAK }),
  of("raw", { _raw_params: "echo out; echo err >&2; exit 4" }),
  of("raw", { _raw_params: "echo $0", executable: "/bin/bash" }),
  of("replace", { path: "/p/replace", regexp: "gamma", replace: "GAMMA" }),
  of("reboot", {}, { modes: ["check"] }),
  of("rpm_key", { key: "/p/none" }, { refusal: "no rpm on Debian" }),
  of("script", { cmd: `${FILES}/script.sh one 'two three'` }),
  of("script", { cmd: `${FILES}/script.sh`, creates: "/p/same" }),
  of("script", { cmd: `${FILES}/script.sh fail`, chdir: "/p", removes: "/p/same" }),
  of("script", { cmd: `${FILES}/script.sh fail`, executable: "/bin/sh -e" }),
  of("script", { cmd: `${FILES}/script.sh`, chdir: "relative" }),
  of("service", { name: "one", state: "started" }),
  of("service", { name: "two", state: "stopped", use: "sysvinit" }),
  of("service_facts", {}),
  of("setup", { gather_subset: ["!all", "!min", "distribution", "user"] }),
  of("setup", { filter: STABLE_FACTS.map((name) => `ansible_${name}`) }),
  of("shell", { cmd: "echo $((1 + 1)) | tr 2 3; exit 5", executable: "/bin/bash" }),
  of("shell", { cmd: "touch made-by-shell", chdir: "/p", creates: "made-by-shell" }),
  of("slurp", { src: "/p/same" }),
  of("slurp", { src: "/p/none" }),
  of("stat", { path: "/p/same" }),
  of("stat", { path: "/p/none" }),
  of("subversion", { repo: "file:///p/svn/trunk", dest: "/p/checkout" }),
  of("systemd", { name: "demo", state: "started" }),
  of("systemd_service", { name: "demo", state: "started" }),
  of("sysvinit", { name: "three", state: "started" }),
  of("tempfile", { prefix: "demo" }, { differs: [{ key: "path", why: "a random name" }] }),
  of("unarchive", { src: `${FILES}/tree.tgz`, dest: "/p/unpack" }),
  of("unarchive", { src: `${FILES}/tree.tgz`, dest: "/p/none" }),
  of("unarchive", { src: "/p/tree.tgz", dest: "/p/unpack2", remote_src: true }),
  of("unarchive", { src: "/p/tree.tgz", dest: "/p/unpack3", remote_src: true, creates: "/p/unpack3/one" }),
  of("uri", { url: "http://127.0.0.1:8123/page", return_content: true }),
  of("uri", { url: "http://127.0.0.1:8123/none" }),
  of("uri", {
    url: "http://127.0.0.1:8123/page",
    method: "POST",
    body_format: "form-multipart",
    body: { file: { filename: `${FILES}/script.sh` }, text: "t" },
    status_code: 501,
  }),
  of("uri", {
    url: "http://127.0.0.1:8123/page",
    method: "POST",
    src: `${FILES}/script.sh`,
    status_code: 501,
  }),
  of("user", { name: "demo", uid: 4001, comment: "a demo", shell: "/bin/sh" }),
  of("user", { name: "demo", groups: "demo", append: true }),
  of("user", { name: "demo", append: true }), // a warning
  of("user", { name: "bob", state: "absent", remove: true }),
  of("wait_for", { path: "/p/same", timeout: 1 }),
  of("wait_for", { port: 1, timeout: 1 }),
  of("wait_for_connection", { timeout: 5 }, {
    differs: [{
      key: "skipped",
      why: "a skipped module is one that a check cannot tell about; this one changes nothing",
    }],
  }),
  of("yum", { name: "x" }, { refusal: NO_DNF }),
  of("yum_repository", { name: "demo", description: "a demo", baseurl: "file:///p/repo", gpgcakey: "x" }), // 2.19 deprecates that
];

function of(name: string, args: JsonObject, more: Omit<ParityCase, "module" | "args"> = {}): ParityCase {
  return { module: `ansible.builtin.${name}`, args, ...more };
}
