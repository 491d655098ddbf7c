"""
The agent on a host: reads runs from its standard input, does them step by step, says what came of them.
`protocol.ts` is what it keeps to; `session.ts` is the other side. Standard library of Python >= 3.6 only.

A frame is two numbers of 4 bytes (big endian: bytes of the header, bytes of the body), a JSON header with a `type`, the body.
In:  run (body: AgentRun), blob {want, last} (body: a piece), no-blob {want, why}.
Out: hello {info}, begin {step}, want {want, hash}, piece {step} (body), command {out, ...} (body: `out` bytes of standard
     output, then standard error), result (body: WireResult), end, error {code, message}.

P1. Nothing but a frame gets into the pipe: 0, 1 and 2 of this process are /dev/null.
P2. While a step runs, standard input is watched: at its end the step's process group is ended, then the agent. What a finished step left in the background stays, as the daemon that a service's start leaves.
P3. A Python module runs in a fork of this interpreter, which has `basic` loaded already: as isolated as in a new one.
P4. The cache holds modules only; a content that a step puts in place stays in the folder of that step, removed with it.
"""
import errno
import json
import os
import select
import signal
import struct
import sys
import time

CHUNK = 65536
HEADER_BYTES_MAX = 65536
BODY_BYTES_MAX = 64 * 1024 * 1024
# Of one stream of one command, as OUTPUT_BYTES_MAX in protocol.ts.
OUTPUT_BYTES_MAX = 10 * 1024 * 1024
# What a closed pipe may still hold when its writer is gone; more can only come from something in the background.
DRAIN_READS_MAX = 32
# From SIGTERM to SIGKILL.
GRACE_S = 0.5
CACHE_BYTES_MAX = 256 * 1024 * 1024
CACHE_AGE_S_MAX = 30 * 86400
# What was used within a day may be in use now.
CACHE_AGE_S_MIN = 86400


class Ended(BaseException):
    """The channel is closed. Not an Exception: no action catches it by mistake."""


class OutOfTime(BaseException):
    """The step's time is used up."""


class NoRoom(BaseException):
    """There is no place on this host where a file can be put."""


class BadPeer(BaseException):
    """The other side said what it must not."""


class CannotRun(Exception):
    """This step cannot be done here, for the reason given."""


class NoContent(Exception):
    """The other side cannot give a content that was asked for."""


class Wire:
    """Frames in and out. Reading also happens while a step runs, so what came is kept until it is asked for."""

    def __init__(self):
        self.input = os.dup(0)
        self.output = os.dup(1)
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        self.buffer = bytearray()
        self.frames = []

    def send(self, kind, body=b"", **header):
        header["type"] = kind
        head = json.dumps(header).encode()
        data = memoryview(struct.pack(">II", len(head), len(body)) + head + body)
        try:
            while data:
                data = data[os.write(self.output, data):]
        except OSError:
            raise Ended()

    def fill(self):
        """Reads what is there; call it when there is something."""
        data = os.read(self.input, 16 * CHUNK)
        if not data:
            raise Ended()
        self.buffer += data
        while self._cut():
            pass

    def _cut(self):
        if len(self.buffer) < 8:
            return False
        head, body = struct.unpack_from(">II", self.buffer)
        if head > HEADER_BYTES_MAX or body > BODY_BYTES_MAX:
            raise BadPeer("a frame of %d and %d bytes" % (head, body))
        end = 8 + head + body
        if len(self.buffer) < end:
            return False
        try:
            header = json.loads(self.buffer[8:8 + head].decode())
            kind = header["type"]
        except (ValueError, KeyError, TypeError):
            raise BadPeer("a frame whose header cannot be read")
        self.frames.append((kind, header, bytes(self.buffer[8 + head:end])))
        del self.buffer[:end]
        return True

    def take(self, deadline):
        """The next frame. deadline: of time.monotonic(), or None."""
        while not self.frames:
            wait = None if deadline is None else deadline - time.monotonic()
            if wait is not None and wait <= 0:
                raise OutOfTime()
            if select.select([self.input], [], [], wait)[0]:
                self.fill()
        return self.frames.pop(0)


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


def private_folder(path):
    """Makes it if need be. For its owner alone: nobody else may have put anything there."""
    os.makedirs(path, 0o700, exist_ok=True)
    kind = os.lstat(path)
    if kind.st_uid != os.geteuid() or kind.st_mode & 0o170077 != 0o040000:
        raise OSError(errno.EPERM, "is not a folder for its owner alone", path)
    return path


class Store:
    """
    Where files can be put: the user's cache folder, or else a fresh folder for this agent alone. A place that turns out
    to be full, or not to be ours alone, is left for the next one.
    """

    def __init__(self, wire):
        self.wire = wire
        self.place = None
        self.reasons = []
        self.ways = [(private_folder, os.path.expanduser("~/.cache/salar-nanostate"))]
        for base in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp"):
            if base:
                self.ways.append((self._fresh, base))
        self.fresh = []
        self.wants = 0

    def _fresh(self, base):
        path = os.path.join(base, "salar-nanostate-" + os.urandom(12).hex())
        os.mkdir(path, 0o700)
        self.fresh.append(path)
        return path

    def put(self, action):
        """action(folder) where it succeeds."""
        while True:
            try:
                if self.place is None:
                    if not self.ways:
                        raise NoRoom("; ".join(self.reasons))
                    make, path = self.ways.pop(0)
                    self.place = make(path)
                return action(self.place)
            except OSError as error:
                self.reasons.append("%s: %s" % (error.filename or path, error.strerror))
                self.place = None

    def module(self, name, deadline):
        """The cached file with this hash."""
        def find(place):
            path = os.path.join(place, name)
            if has_hash(path, name):
                touch(path)
            else:
                self.receive(name, path, deadline)
                self._evict(place)
            return path
        return self.put(find)

    def unpacked(self, name, deadline):
        """(the cached zip with this hash, the folder with what is in it and, by and by, its bytecode)"""
        def find(place):
            archive = self.module(name, deadline)
            folder = archive + ".d"
            if not unpack(archive, folder):
                touch(folder)
            return archive, folder
        return self.put(find)

    def receive(self, name, path, deadline):
        """Asks the other side for a content and puts it there."""
        import hashlib
        self.wants += 1
        self.wire.send("want", want=self.wants, hash=name)
        part = "%s.part-%s" % (path, os.urandom(6).hex())
        hashed = hashlib.sha256()
        problem = None
        target = None
        try:
            try:
                target = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
            except OSError as error:
                problem = error
            last = False
            while not last:
                kind, header, body = self.wire.take(deadline)
                if kind not in ("blob", "no-blob"):
                    raise BadPeer("%s instead of the content that was asked for" % kind)
                if header["want"] != self.wants:
                    # The rest for a step whose time was used up.
                    continue
                if kind == "no-blob":
                    raise NoContent(header["why"])
                last = header["last"]
                hashed.update(body)
                # The rest is still on its way when a write fails: it has to be taken off the wire.
                while problem is None and body:
                    try:
                        body = body[os.write(target, body):]
                    except OSError as error:
                        error.filename = path
                        problem = error
            if problem is not None:
                raise problem
            if hashed.hexdigest() != name:
                raise BadPeer("a content that does not have its hash")
            os.rename(part, path)
        finally:
            if target is not None:
                os.close(target)
            remove(part)

    def _evict(self, place):
        """Of what has not been used for a day: what is too old, and the oldest of what is too much."""
        now = time.time()
        entries = []
        for entry in os.scandir(place):
            kind = entry.stat(follow_symlinks=False)
            size = tree_bytes(entry.path) if entry.is_dir(follow_symlinks=False) else kind.st_size
            entries.append((kind.st_mtime, size, entry.path))
        total = sum(size for _, size, _ in entries)
        for used, size, path in sorted(entries):
            age = now - used
            if age > CACHE_AGE_S_MAX or (total > CACHE_BYTES_MAX and age > CACHE_AGE_S_MIN):
                remove(path)
                total -= size

    def close(self):
        for path in self.fresh:
            remove(path)


def has_hash(path, name):
    import hashlib
    hashed = hashlib.sha256()
    try:
        source = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    with os.fdopen(source, "rb") as file:
        for piece in iter(lambda: file.read(16 * CHUNK), b""):
            hashed.update(piece)
    return hashed.hexdigest() == name


def unpack(archive, folder):
    """False when all of it was there. A file that is missing or cut (a cleaner, a full disk) means: once more."""
    import zipfile
    with zipfile.ZipFile(archive) as source:
        if is_whole(folder, source):
            return False
        part = "%s.part-%s" % (folder, os.urandom(6).hex())
        try:
            source.extractall(part)
            try:
                os.rename(part, folder)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                # Another agent of this user was faster, and may use it already. Or else it is cut.
                if not is_whole(folder, source):
                    remove(folder)
                    os.rename(part, folder)
        finally:
            remove(part)
    return True


def is_whole(folder, archive):
    return all(file_bytes(os.path.join(folder, entry.filename)) == entry.file_size for entry in archive.infolist())


def file_bytes(path):
    try:
        return os.lstat(path).st_size
    except OSError:
        return -1


def tree_bytes(path):
    return sum(file_bytes(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def touch(path):
    """At most once an hour: a run that changes nothing writes nothing."""
    try:
        if time.time() - os.lstat(path).st_mtime > 3600:
            os.utime(path)
    except OSError:
        pass


def remove(path):
    try:
        os.unlink(path)
    except IsADirectoryError:
        import shutil
        shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        # What unlink says of a folder on other systems than Linux.
        if error.errno == errno.EPERM:
            import shutil
            shutil.rmtree(path, ignore_errors=True)


class Context:
    """What an action of `actions.py` has of its step. One step, one context."""

    def __init__(self, agent, step):
        run = agent.current
        self._agent = agent
        self._step = step
        self._folders = {}
        self._contents = {}
        self.deadline = agent.deadline
        self.check = run["check"]
        self.diff = run["diff"]
        self.verbosity = 0
        # WireFile of protocol.ts, as dicts.
        self.files = step.get("files") or []
        self.environment = dict(os.environ, **run["environment"])
        # Of ansible-core; "0.0" when no Python module is in this run.
        self.version = (run["ansible"] or {}).get("version", "0.0")
        self.stderr = ""

    def module(self, name, args, **internal):
        """
        Runs a module and gives its result. name: whole, `ansible.builtin.file`; it has to be among the modules of the run.
        internal: instead of what this run has for `check_mode`, `diff`, `verbosity`, ... (no prefix).
        """
        result, self.stderr = self._agent.modules.run(self, self._agent.current, name, args, internal)
        return result

    def has_module(self, name):
        return name in self._agent.current["modules"]

    def content(self, hash):
        """The path of a file with this content, in a folder of this step. Moving or changing that file is fine."""
        path = self._contents.get(hash)
        if path is None or not os.path.exists(path):
            def fill(place):
                path = os.path.join(self._folder_in(place), hash)
                self._agent.store.receive(hash, path, self.deadline)
                return path
            path = self._contents[hash] = self._agent.store.put(fill)
        return path

    def tmp(self):
        """A folder for this step, for this user's eyes only, removed after the step."""
        return self._agent.store.put(self._folder_in)

    def _folder_in(self, place):
        if place not in self._folders:
            path = os.path.join(place, "step-" + os.urandom(12).hex())
            os.mkdir(path, 0o700)
            self._folders[place] = path
        return self._folders[place]

    def send(self, data):
        """A piece of a file that is fetched."""
        self._agent.wire.send("piece", data, step=self._step["id"])

    def run(self, command, stdin=None, cwd=None, executable=None):
        """A line for a shell. stdin: bytes. Returns (rc, stdout, stderr), the last two as text."""
        shell = executable or "/bin/sh"
        rc, out, err = self._agent.processes.command([shell, "-c", command], self.deadline, self.environment, stdin, cwd)
        return rc, text(out), text(err)

    def close(self):
        for folder in self._folders.values():
            remove(folder)


def text(data):
    return data.decode("utf-8", "replace")


class Modules:
    """Runs modules, each in its own way; see WireModuleFile of `protocol.ts`."""

    def __init__(self, store, processes):
        self.store = store
        self.processes = processes
        self.loaded = None

    def run(self, context, run, name, args, internal):
        """(result, standard error)"""
        module = run["modules"].get(name)
        if module is None:
            raise CannotRun("the module %s did not come with this run" % name)
        args = dict(args)
        for key, value in dict(self._internal(context, run, name), **internal).items():
            if not run["ansible"] or key in run["ansible"]["internal"] or module["kind"] != "python":
                args["_ansible_" + key] = value
        way = self._python if module["kind"] == "python" else self._file
        rc, out, err = way(context, run, module, args)
        return parsed(text(out), text(err), rc), text(err)

    def _internal(self, context, run, name):
        return {
            "check_mode": context.check,
            "diff": context.diff,
            "verbosity": context.verbosity,
            "version": context.version,
            "module_name": name,
            # Else it writes its arguments to the log of the system.
            "no_log": True,
            "tmpdir": context.tmp(),
            "remote_tmp": context.tmp(),
            "shell_executable": "/bin/sh",
            "tracebacks_for": [],
        }

    def _python(self, context, run, module, args):
        ansible = run["ansible"]
        if sys.version_info[:2] < tuple(ansible["pythonMin"]):
            have, need = "%d.%d" % sys.version_info[:2], "%d.%d" % tuple(ansible["pythonMin"])
            raise CannotRun("the Python there is %s; ansible-core %s needs %s" % (have, ansible["version"], need))
        archive, folder = self.store.unpacked(ansible["payload"], context.deadline)
        self._load(ansible, folder)
        data = json.dumps({"ANSIBLE_MODULE_ARGS": args})
        return self.processes.fork(
            lambda: run_python(ansible["entry"], module["entry"], data, archive, run["environment"]), context.deadline)

    def _load(self, ansible, folder):
        """What all modules of a payload share, once. Another payload takes the place of the one before."""
        if self.loaded == folder:
            return
        import gc
        import importlib
        for name in list(sys.modules):
            if name.partition(".")[0] in ("ansible", "ansible_collections"):
                del sys.modules[name]
        if self.loaded in sys.path:
            sys.path.remove(self.loaded)
        sys.path.insert(0, folder)
        self.loaded = folder
        importlib.invalidate_caches()
        try:
            import runpy  # noqa: F401
            importlib.import_module("ansible.module_utils.basic")
            if ansible["entry"] == "loader":
                importlib.import_module(LOADER)
        except (Exception, SystemExit):
            # The module will fail in the same way, where its result can tell.
            pass
        if hasattr(gc, "freeze"):
            gc.freeze()

    def _file(self, context, run, module, args):
        path = self.store.module(module["blob"], context.deadline)
        folder = context.tmp()
        kind = module["kind"]
        argv = interpreter(module["interpreter"])
        if kind == "json-args":
            with open(path, "rb") as source:
                argv.append(private_file(folder, "module", with_args(source.read(), args, context.version)))
        else:
            os.chmod(path, 0o700)
            data = old_args(args) if kind == "old" else json.dumps(args)
            argv += [path, private_file(folder, "args", data.encode("utf-8", "surrogateescape"))]
        return self.processes.command(argv, context.deadline, context.environment)


LOADER = "ansible.module_utils._internal._ansiballz._loader"


def run_python(entry, name, data, archive, environment):
    """In the fork: a module as its engine's wrapper runs it, of the version of the payload."""
    os.environ.update(environment)
    sys.argv = [name]
    if entry == "loader":
        import importlib
        importlib.import_module(LOADER).run_module(
            json_params=data.encode(), profile="legacy", module_fqn=name, modlib_path=archive, extensions={})
    else:
        import runpy
        from ansible.module_utils import basic
        basic._ANSIBLE_ARGS = data.encode()
        # By these two a module finds itself when it goes on under another Python.
        names = {"_module_fqn": name, "_modlib_path": archive}
        runpy.run_module(name, init_globals=names, run_name="__main__", alter_sys=True)


def interpreter(line):
    """The words before a module's file. A Python is the one that runs here; null is a binary."""
    import shlex
    words = shlex.split(line or "")
    for n, word in enumerate(words[:2]):
        if os.path.basename(word).startswith("python"):
            return [sys.executable] + words[n + 1:]
    return words


def with_args(source, args, version):
    data = json.dumps(args).encode()
    for mark, value in (
        (b'"<<ANSIBLE_VERSION>>"', repr(version).encode()),
        (b'"<<INCLUDE_ANSIBLE_MODULE_COMPLEX_ARGS>>"', repr(data).encode()),
        (b"<<SELINUX_SPECIAL_FILESYSTEMS>>", b"fuse,nfs,vboxsf,ramfs,9p,vfat"),
        (b"<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>", data),
    ):
        source = source.replace(mark, value)
    return source


def old_args(args):
    import shlex
    return "".join("%s=%s " % (key, shlex.quote(str(value))) for key, value in args.items())


def private_file(folder, name, data):
    path = os.path.join(folder, "%s-%s" % (name, os.urandom(6).hex()))
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
    return path


def parsed(out, err, rc):
    """A module's result: from the first line that opens an object to the last that closes one. Not its exit code."""
    lines = out.splitlines()
    first = next((n for n, line in enumerate(lines) if line.lstrip().startswith("{")), None)
    last = next((n for n in range(len(lines) - 1, -1, -1) if lines[n].rstrip().endswith("}")), None)
    if first is not None and last is not None and first <= last:
        try:
            result = json.loads("\n".join(lines[first:last + 1]))
            if isinstance(result, dict):
                junk = "\n".join(lines[last + 1:]).strip()
                if junk:
                    warnings = result.get("warnings")
                    known = warnings if isinstance(warnings, list) else []
                    result["warnings"] = known + ["Module invocation had junk after the JSON data: " + junk]
                return result
        except ValueError:
            pass
    result = {
        "failed": True,
        "msg": "MODULE FAILURE\nSee stdout/stderr for the exact error",
        "module_stdout": out,
        "module_stderr": err,
        "rc": rc,
    }
    trace = next((each for each in (err, out) if each.startswith("Traceback")), None)
    if trace is not None:
        result["exception"] = trace
    return result


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


class Agent:
    """One run after the other, each in order."""

    def __init__(self, wire, actions):
        self.wire = wire
        self.store = Store(wire)
        self.processes = Processes(wire)
        self.modules = Modules(self.store, self.processes)
        self.commands = Commands(self.processes)
        self.actions_source = actions
        self.actions = None
        self.current = None
        # In check mode: something would have changed by now.
        self.open = False
        self.deadline = 0

    def serve(self):
        self.wire.send("hello", info=about())
        while True:
            kind, _, body = self.wire.take(None)
            if kind in ("blob", "no-blob"):
                # For a step whose time was used up.
                continue
            if kind != "run":
                raise BadPeer("%s instead of a run" % kind)
            self.current = json.loads(body.decode())
            self._run(self.current)
            self.wire.send("end")

    def _run(self, run):
        rule = "go-on" if run["check"] else run["onFailure"]
        self.open = run.get("open", False)
        failed = None
        fine = set()
        for group in run["groups"]:
            if rule == "end-group":
                failed = None
            for step in group["steps"]:
                if rule == "end-group" and failed is None:
                    failed = next((need for need in step.get("needs", ()) if need not in fine), None)
                if failed is not None:
                    self._result(step, kind="not-run", why="the step %s failed" % failed, cannot=False)
                elif not self._step(step):
                    fine.add(step["id"])
                elif rule != "go-on":
                    failed = step["id"]

    def _step(self, step):
        """Whether it failed."""
        self.wire.send("begin", step=step["id"])
        started = time.monotonic()
        self.deadline = started + self.current["stepMs"] / 1000
        do = self._shell if step["kind"] == "shell" else self._module
        return do(step, lambda: int((time.monotonic() - started) * 1000))

    def _result(self, step, **result):
        result["step"] = step["id"]
        try:
            body = json.dumps(result, allow_nan=False).encode()
        except ValueError:
            return self._result(step, **dict(result, result=failure("Its result has a number that JSON does not have")))
        if len(body) > BODY_BYTES_MAX:
            return self._result(step, **dict(result, result=failure("Its result is too long: %d bytes" % len(body))))
        self.wire.send("result", body)

    def _shell(self, step, elapsed):
        for command in step["commands"]:
            problem = bad_pattern(command)
            if problem:
                self._result(step, kind="not-run", why=problem, cannot=True)
                return True
        goes_on = self.current["check"] or self.current["onFailure"] == "go-on"
        failed = False
        stopped = None
        for command in step["commands"]:
            if stopped:
                result = outcome("not-run", stopped)
            else:
                result = self._command(command)
            self.open = self.open or result["outcome"] in ("changed", "unknown")
            if result["outcome"] == "failed":
                failed = True
                if result["timedOut"]:
                    stopped = "the time of this step is used up"
                elif not goes_on:
                    stopped = "an earlier command failed"
            out, err = result.pop("out"), result.pop("err")
            self.wire.send("command", out + err, name=command["name"], out=len(out), **result)
        self._result(step, kind="shell", ms=elapsed())
        return failed

    def _command(self, command):
        try:
            return self.commands.run(command, self.current, self.deadline, self.open)
        except OutOfTime:
            return outcome("failed", self._too_long(), timed_out=True)
        except (OSError, ValueError) as error:
            return outcome("failed", str(error))

    def _module(self, step, elapsed):
        context = Context(self, step)
        timed_out = False
        try:
            if step["action"] is None:
                result = context.module(step["module"], step["args"])
            else:
                result = self._action(step["action"])(context, step["args"])
        except OutOfTime:
            timed_out = True
            result = failure(self._too_long())
        except CannotRun as error:
            self._result(step, kind="not-run", why=str(error), cannot=True)
            return True
        except NoContent as error:
            result = failure(str(error))
        except Exception as error:
            import traceback
            result = failure("%s: %s" % (type(error).__name__, error), exception=traceback.format_exc())
        finally:
            context.close()
        self.open = self.open or True in (result.get("changed"), result.get("skipped"))
        self._result(step, kind="module", ms=elapsed(), result=result, stderr=context.stderr, timedOut=timed_out)
        return result["failed"] is True if "failed" in result else result.get("rc", 0) not in (0, None)

    def _too_long(self):
        return "ended: it took longer than %g s" % (self.current["stepMs"] / 1000)

    def _action(self, name):
        if self.actions is None:
            import types
            self.actions = types.ModuleType("actions")
            exec(compile(self.actions_source, "actions.py", "exec"), self.actions.__dict__)
        action = getattr(self.actions, name, None)
        if action is None:
            raise CannotRun("this agent has no action %s" % name)
        return action


def failure(msg, **more):
    return dict(more, failed=True, msg=msg)


def about():
    import pwd
    system = os.uname()
    uid = os.geteuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    version = "%d.%d.%d" % sys.version_info[:3]
    return {"kind": "python", "python": version, "user": user, "system": system.sysname, "machine": system.machine}


def stop(*_):
    raise Ended()


def main(nonce, actions):
    os.write(1, ("nanostate:%s:python." % nonce).encode())
    wire = Wire()
    agent = Agent(wire, actions)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)
    try:
        agent.serve()
    except Ended:
        pass
    except NoRoom as error:
        wire.send("error", code="disk", message=str(error))
    except BadPeer as error:
        wire.send("error", code="protocol", message=str(error))
    finally:
        agent.store.close()
