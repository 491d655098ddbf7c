"""
The agent on a host: reads runs from its standard input, does them step by step, says what came of them.
`protocol.ts` is what it keeps to; `session.ts` is the other side. Standard library of Python >= 3.6 only. `source.ts` makes one
program of it, with `wire.py`, `processes.py`, `store.py`, `modules.py` and `commands.py` before it, and `actions.py` behind.

A frame is two numbers of 4 bytes (big endian: bytes of the header, bytes of the body), a JSON header with a `type`, the body.
In:  run (body: AgentRun), blob {want, last} (body: a piece), no-blob {want, why}.
Out: hello {info}, begin {step}, want {want, hash}, piece {step} (body), command {out, ...} (body: `out` bytes of standard
     output, then standard error), result (body: WireResult), end, error {code, message}.

P1. Nothing but a frame gets into the pipe: 0, 1 and 2 of this process are /dev/null.
P2. While a step runs, standard input is watched: at its end the step's process group is ended, then the agent. What a finished step left in the background stays, as the daemon that a service's start leaves.
P3. A Python module runs in a fork of this interpreter, which has `basic` loaded already: as isolated as in a new one.
P4. The cache holds modules only; a content that a step puts in place stays in the folder of that step, removed with it.
"""
import json
import os
import signal
import sys
import time


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
