/** Processes of another pid namespace, looked at from outside. */

export interface Member {
  pid: number;
  /** Its arguments, a blank between; a process may write there what it likes. */
  command: string;
}

const MS_PER_TICK = 10; // USER_HZ is 100 on every Linux that Deno runs on

/** Those that live in the pid namespace of which `init` is PID 1, but for itself. */
export async function membersOf(init: number): Promise<Member[]> {
  const space = await Deno.readLink(`/proc/${init}/ns/pid`);
  const found: Member[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === init) continue;
    try {
      if (Deno.readLinkSync(`/proc/${pid}/ns/pid`) !== space) continue;
      const command = Deno.readTextFileSync(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
      if (command !== "") found.push({ pid, command }); // a zombie has none
    } catch {
      // It ended while it was looked at.
    }
  }
  return found;
}

/** Processor time of a process and of its children that have ended. */
export async function cpuMsOf(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  // "pid (any name) state ppid …": the name may hold blanks and brackets; utime is the 14th
  const times = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 15);
  return times.reduce((sum, ticks) => sum + Number(ticks) * MS_PER_TICK, 0);
}
