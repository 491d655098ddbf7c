"""Runs a program in a pid namespace of its own and tells what it and all that it started have used.

usage: python3 measure.py REPORT_FILE COMMAND ...
Report, JSON: {"code", "wallMs", "cpuMs", "peakMb"}. Memory is the greatest sum of proportional set sizes seen.
What is left when COMMAND ends, a daemon for instance, is killed, and its processor time counted.
"""

import json
import os
import subprocess
import sys
import threading
import time

SAMPLE_S = 0.2


def main(report, *command):
    started = time.monotonic()
    unshare = subprocess.Popen(["unshare", "--pid", "--mount-proc", "--fork", "--kill-child", *command])
    peak = Peak(unshare.pid)
    # wait4 counts every descendant: what a namespace leaves behind is collected by its first process.
    _, status, usage = os.wait4(unshare.pid, 0)
    wall = time.monotonic() - started
    peak.stop()
    with open(report, "w") as file:
        json.dump(
            {
                "code": os.waitstatus_to_exitcode(status),
                "wallMs": wall * 1e3,
                "cpuMs": (usage.ru_utime + usage.ru_stime) * 1e3,
                "peakMb": peak.kb * 1024 / 1e6,
            },
            file,
        )


class Peak(threading.Thread):
    """Looks a few times a second: it takes processor time from what it measures."""

    def __init__(self, parent):
        super().__init__(daemon=True)
        self.children = f"/proc/{parent}/task/{parent}/children"
        self.kb = 0
        self.ended = threading.Event()
        self.start()

    def run(self):
        while not self.ended.wait(SAMPLE_S):
            try:
                with open(self.children) as children:
                    first = children.read().split()[0]
                self.kb = max(self.kb, pss_kb(os.readlink(f"/proc/{first}/ns/pid")))
            except (OSError, IndexError):
                pass  # not there yet, or no longer

    def stop(self):
        self.ended.set()
        self.join()


def pss_kb(space):
    total = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{pid}/ns/pid") == space:
                with open(f"/proc/{pid}/smaps_rollup") as rollup:
                    total += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
        except OSError:
            pass  # it ended while it was looked at
    return total


if __name__ == "__main__":
    main(*sys.argv[1:])
