# Modules, each run in the way of its kind, and their results.
import json
import os
import sys

LOADER = "ansible.module_utils._internal._ansiballz._loader"


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
