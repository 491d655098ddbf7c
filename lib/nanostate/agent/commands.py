# The commands of shell steps.
import os


class Commands:
    """The commands of shell steps, and their guards."""

    def __init__(self, processes):
        self.processes = processes

    def run(self, command, run, deadline, is_open):
        """What came of it, see outcome()."""
        env = dict(os.environ, **run["environment"])

        def sh(line):
            return self.processes.command(["/bin/sh", "-c", line], deadline, env)

        why = guard(command, sh)
        if why:
            return outcome("skipped", why)
        if run["check"] and (is_open or command.get("changed") != "never"):
            return foreseen(command)
        try:
            mark = once_path(command, make=True) if not run["check"] else None
        except OSError as error:
            return outcome("failed", "cannot remember that it ran: %s: %s" % (error.filename, error.strerror))
        rc, out, err = sh(command["run"])
        if rc not in (command.get("ok") or [0]):
            return outcome("failed", "exit code %d" % rc, rc, out, err)
        if mark:
            with open(mark, "w") as file:
                file.write(command["once"] + "\n")
        return outcome("changed" if has_changed(command, out) else "ok", "", rc, out, err)


def outcome(word, why="", rc=None, out=b"", err=b"", timed_out=False):
    """WireCommandResult, but for its name and for the two outputs, which are bytes yet."""
    return {"outcome": word, "why": why, "rc": rc, "timedOut": timed_out, "out": out, "err": err}


def guard(command, sh):
    """Why not to run it; None to run it. An empty guard is none."""
    import glob
    creates, removes, unless, onlyif = [command.get(key) for key in ("creates", "removes", "unless", "onlyif")]
    if creates and glob.glob(creates):
        return "creates: %s is there" % creates
    if removes and not glob.glob(removes):
        return "removes: %s is not there" % removes
    if unless and sh(unless)[0] == 0:
        return "unless: it succeeded"
    rc = sh(onlyif)[0] if onlyif else 0
    if rc != 0:
        return "onlyif: exit code %d" % rc
    mark = once_path(command, make=False)
    if mark and os.path.exists(mark):
        return "once: it ran before"
    return None


def foreseen(command):
    """In check mode, with guards that let it run."""
    changed = command.get("changed")
    if changed == "never":
        return outcome("skipped", "check mode; it would see what is above it done")
    if changed is not None:
        return outcome("unknown", "its output tells whether it changes something")
    if any(command.get(key) for key in ("creates", "removes", "unless", "onlyif", "once")):
        return outcome("changed", "it would run")
    return outcome("unknown", "it has no guard that tells")


def has_changed(command, out):
    import re
    changed = command.get("changed")
    if changed is None:
        return True
    return changed != "never" and re.search(changed, text(out), re.MULTILINE) is not None


def bad_pattern(command):
    """Told before anything runs; None when it is fine."""
    import re
    try:
        re.compile(command.get("changed") or "")
        return None
    except re.error as error:
        return "changed of %s is no regular expression: %s" % (command["name"], error)


def once_path(command, make):
    """Where it is remembered. Not in the cache: that may be emptied at any time."""
    if not command.get("once"):
        return None
    import hashlib
    folder = os.path.expanduser("~/.local/state/salar-nanostate")
    if make:
        private_folder(folder)
    return os.path.join(folder, "once-" + hashlib.sha256(command["once"].encode()).hexdigest())
