/**
 * What all tools of this benchmark do: ten real modules and fifty guarded shell lines, as a state and as a playbook.
 * pyinfra has no such modules; `deploy.py` does the same with its own operations.
 */

const SHELL_STEPS = 50;
export const WORK_STEPS = 10 + SHELL_STEPS;

const MODULES: readonly [name: string, args: Record<string, string | number | boolean>][] = [
  ["group", { name: "bench" }],
  ["user", { name: "bench", group: "bench", shell: "/bin/sh", home: "/srv/bench" }],
  ["file", { path: "/srv/bench/data", state: "directory", owner: "bench", group: "bench", mode: "0750" }],
  ["copy", { dest: "/etc/bench.conf", content: "workers = 4\nport = 8080\n", mode: "0644" }],
  ["lineinfile", { path: "/etc/bench.txt", regexp: "^level = ", line: "level = 2" }],
  ["blockinfile", { path: "/etc/bench.txt", block: "one = 1\ntwo = 2" }],
  ["replace", { path: "/etc/bench.txt", regexp: "^colour = red$", replace: "colour = blue" }],
  ["cron", { name: "bench", minute: "5", job: "/bin/true" }],
  ["service", { name: "cron", state: "started" }],
  ["hostname", { name: "bench" }],
];

/** On a host, as a shell line: nothing of the work is done, so all 60 steps change something. */
export const UNDO = `service cron stop; crontab -r; userdel -r bench; groupdel bench
rm -rf /srv/bench /srv/marks /etc/bench.conf; mkdir -p /srv/marks
printf 'level = 1\\ncolour = red\\n' >/etc/bench.txt
hostname other; echo other >/etc/hostname; true`;

/** On a host: fails unless all of the work is done. */
export const DONE = `set -e
test "$(ls /srv/marks | wc -l)" = ${SHELL_STEPS}
id bench >/dev/null; test -d /srv/bench/data; grep -q 8080 /etc/bench.conf; crontab -l | grep -q /bin/true
for line in 'level = 2' 'two = 2' 'colour = blue'; do grep -qx "$line" /etc/bench.txt; done
grep -qx bench /etc/hostname; pgrep -x cron >/dev/null`;

/** On a host: what a tool may have put there for its next run. */
export const FORGET = "rm -rf /root/.ansible /root/.cache /tmp/* /var/tmp/*";

const mark = (number: number) => `/srv/marks/${number}`;
const numbers = Array.from({ length: SHELL_STEPS }, (_, number) => number);

/** JSON is YAML, so neither needs a writer of its own. */
export function state(): string {
  const steps = [
    ...MODULES.map(([name, args]) => ({ [`ansible.${name}`]: args })),
    ...numbers.map((n) => ({ shell: [{ [`mark ${n}`]: { run: `touch ${mark(n)}`, creates: mark(n) } }] })),
  ];
  return JSON.stringify({
    id: "bench",
    description: "Ten modules, fifty shell steps",
    state: { work: steps },
  });
}

export function playbook(): string {
  const tasks = [
    ...MODULES.map(([name, args]) => ({ name, [`ansible.builtin.${name}`]: args })),
    ...numbers.map((n) => ({
      name: `mark ${n}`,
      "ansible.builtin.shell": { cmd: `touch ${mark(n)}`, creates: mark(n) },
    })),
  ];
  return JSON.stringify([{ hosts: "all", gather_facts: false, tasks }]);
}
