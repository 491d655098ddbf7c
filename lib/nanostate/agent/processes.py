# Child processes, ended with all that they started.
import os
import select
import signal
import sys
import time

# Of one stream of one command, as OUTPUT_BYTES_MAX in protocol.ts.
OUTPUT_BYTES_MAX = 10 * 1024 * 1024
# What a closed pipe may still hold when its writer is gone; more can only come from something in the background.
DRAIN_READS_MAX = 32
# From SIGTERM to SIGKILL.
GRACE_S = 0.5


class Capped:
    """Of a long output the head and the tail."""

    def __init__(self):
        self.half = OUTPUT_BYTES_MAX // 2
        self.head = bytearray()
        self.tail = bytearray()
        self.dropped = 0

    def add(self, data):
        room = self.half - len(self.head)
        self.head += data[:room]
        self.tail += data[room:]
        if len(self.tail) > 2 * self.half:
            self._trim()

    def _trim(self):
        excess = max(0, len(self.tail) - self.half)
        self.dropped += excess
        del self.tail[:excess]

    def bytes(self):
        self._trim()
        note = b"\n[%d bytes left out]\n" % self.dropped if self.dropped else b""
        return bytes(self.head) + note + bytes(self.tail)


class Processes:
    """One child at a time, with a process group of its own, watched together with the wire."""

    def __init__(self, wire):
        self.wire = wire
        self.woken, self.wake = os.pipe()
        os.set_blocking(self.woken, False)
        os.set_blocking(self.wake, False)
        signal.set_wakeup_fd(self.wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def command(self, argv, deadline, env, stdin=None, cwd=None):
        """Runs a program. Returns (rc, stdout, stderr), rc 128 + n after signal n."""
        def spawn(fds):
            if cwd is not None or not hasattr(os, "posix_spawn"):
                def replace():
                    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                    if cwd is not None:
                        os.chdir(cwd)
                    os.execve(argv[0], argv, env)
                return self._fork(replace, fds)
            # A fork copies the page tables of everything that is loaded here; this does not.
            actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate(fds)]
            return os.posix_spawn(argv[0], argv, env, file_actions=actions, setpgroup=0, setsigdef=[signal.SIGPIPE])
        return self._attend(spawn, deadline, stdin)

    def fork(self, body, deadline):
        """Runs a function in a fork of this process; returns as command()."""
        return self._attend(lambda fds: self._fork(body, fds), deadline, None)

    def _fork(self, body, fds):
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            for n, fd in enumerate(fds):
                os.dup2(fd, n)
            # Whatever it leaves in the background must not hold the channel open.
            for fd in set(fds) | {self.wire.input, self.wire.output, self.woken, self.wake}:
                os.close(fd)
            code = exit_code(body)
        except BaseException:
            # By its hook a module may make a result of its own exceptions.
            code = exit_code(lambda: sys.excepthook(*sys.exc_info())) or 1
        finally:
            try:
                finish_interpreter()
            finally:
                os._exit(code)

    def _attend(self, spawn, deadline, stdin):
        out, child_out, err, child_err = os.pipe() + os.pipe()
        child_in, feed = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY), None)
        outputs = {out: Capped(), err: Capped()}
        try:
            try:
                pid = spawn((child_in, child_out, child_err))
            finally:
                for fd in (child_in, child_out, child_err):
                    os.close(fd)
            try:
                status = self._watch(pid, dict(outputs), feed, stdin, deadline)
            except BaseException:
                end_group(pid)
                raise
        finally:
            for fd in outputs:
                os.close(fd)
            if feed is not None:
                os.close(feed)
        rc = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        return rc, outputs[out].bytes(), outputs[err].bytes()

    def _watch(self, pid, outputs, feed, stdin, deadline):
        if feed is not None:
            os.set_blocking(feed, False)
        pending = memoryview(stdin or b"")
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            wait = deadline - time.monotonic()
            if wait <= 0:
                raise OutOfTime()
            writing = [feed] if pending else []
            ready, room, _ = select.select([self.wire.input, self.woken] + list(outputs), writing, [], wait)
            if room:
                pending = pending[write_some(feed, pending):]
                if not pending:
                    # An end of file for the child; the number stays ours until the end.
                    os.dup2(0, feed)
            if self.woken in ready:
                os.read(self.woken, CHUNK)
            if self.wire.input in ready:
                self.wire.fill()
            for fd in [fd for fd in ready if fd in outputs]:
                read_some(fd, outputs)
        for _ in range(DRAIN_READS_MAX):
            ready = outputs and select.select(list(outputs), [], [], 0)[0]
            if not ready:
                break
            for fd in ready:
                read_some(fd, outputs)
        return status


def read_some(fd, outputs):
    data = os.read(fd, CHUNK)
    if data:
        outputs[fd].add(data)
    else:
        del outputs[fd]


def write_some(fd, data):
    """All of it counts as written when nobody reads it any more."""
    try:
        return os.write(fd, data[:CHUNK])
    except BlockingIOError:
        return 0
    except OSError:
        return len(data)


def end_group(pid):
    """Ends a child and its group: asks first, for a moment. What an init does not collect counts as there until then."""
    end = time.monotonic() + GRACE_S
    signal_group(pid, signal.SIGTERM)
    while time.monotonic() < end:
        if is_collected(pid) and not signal_group(pid, 0):
            return
        time.sleep(0.005)
    signal_group(pid, signal.SIGKILL)
    # What waits for a dead file server outlives even this.
    while not is_collected(pid) and time.monotonic() < end + GRACE_S:
        time.sleep(0.005)


def is_collected(pid):
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def signal_group(pid, number):
    try:
        os.killpg(pid, number)
        return True
    except OSError:
        return False


def exit_code(body):
    """What a program's end means, as the interpreter has it."""
    try:
        body()
        return 0
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 255
        sys.stderr.write("%s\n" % (end.code,))
        return 1


def finish_interpreter():
    """What the interpreter does at its end, besides taking itself apart."""
    import atexit
    threading = sys.modules.get("threading")
    if threading:
        threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()


def text(data):
    return data.decode("utf-8", "replace")
