# Actions: what Ansible's engine does around a module, done on the host, beside the agent that runs it.
#
# In: a context of the agent (`check`, `diff`, `files`, `content`, `tmp`, `send`, `run`, `module`, `has_module`, `version`)
# and the arguments of the step. Out: the result, as the module's own. `def NAME` is the action NAME of modules/actions.ts;
# a name with `_` in front is a helper.
# P1. Answers are those of the ansible-core whose modules are used, down to its texts; where 2.14 and 2.19 differ, so do these.
# Source: the behaviour of ansible-core's `plugins/action`, as parity tests compare it; none of its text.
import codecs
import hashlib
import json
import os
import re
import shlex
import stat
import tempfile

_DIFF_BYTES_MAX = 104448  # as Ansible's default
_PIECE_BYTES = 256 * 1024
_FILE_ARGUMENTS = frozenset((
    "mode", "owner", "group", "seuser", "serole", "selevel", "setype", "attributes", "unsafe_writes",
    "state", "path", "recurse", "force", "src", "_original_basename", "_diff_peek",
))


class _Fail(Exception):
    def __init__(self, msg, **more):
        Exception.__init__(self, msg)
        self.result = dict(more, failed=True, msg=msg)


class _Skip(_Fail):
    def __init__(self, msg, **more):
        Exception.__init__(self, msg)
        self.result = dict(more, skipped=True, msg=msg)


def _action(function):
    def answer(ctx, args):
        try:
            return function(ctx, dict(args))
        except _Fail as end:
            return end.result
    answer.__name__ = function.__name__
    return answer


# --- commands

@_action
def command(ctx, args):
    return _module(ctx, "command", args)


@_action
def shell(ctx, args):
    if _since(ctx, 2, 19) and "expand_argument_vars" in args:
        raise _Fail("Unsupported parameters for (ansible.builtin.shell) module: expand_argument_vars")
    return _module(ctx, "command", dict(args, _uses_shell=True))


@_action
def raw(ctx, args):
    if ctx.check:
        return {"skipped": True}
    return _ran(*ctx.run(_text(args.get("_raw_params")), executable=args.get("executable") or None))


@_action
def script(ctx, args):
    line = _text(args.get("_raw_params")).strip()
    creates, removes, chdir = args.get("creates"), args.get("removes"), args.get("chdir")
    if _since(ctx, 2, 19) and not line:
        raise _Fail("one of the following is required: _raw_params, cmd")
    if creates and os.path.exists(creates):
        raise _Skip("%s exists, matching creates option" % creates)
    if removes and not os.path.exists(removes):
        raise _Skip("%s does not exist, matching removes option" % removes)
    if chdir and not chdir.startswith("/"):
        raise _Fail("chdir %s must be an absolute path for a Unix-aware remote node" % chdir)
    name = shlex.split(line)[0]
    file = _local_file(ctx, name)
    if ctx.check:
        if creates or removes:
            return {"changed": True}
        raise _Skip("Check mode is not supported for this task.", changed=False)
    path = _placed(ctx, file, os.path.basename(name), 0o700)
    words = [args.get("executable"), line.replace(name, path)]
    return _ran(*ctx.run(" ".join(filter(None, words)), cwd=chdir))


def _ran(rc, stdout, stderr):
    result = {"changed": True, "rc": rc, "stdout": stdout, "stderr": stderr}
    if rc != 0:
        result.update(failed=True, msg="non-zero return code")
    return result


# --- files

@_action
def copy(ctx, args):
    src, content, dest = args.get("src"), args.get("content"), args.get("dest")
    if not src and content is None:
        raise _Fail("src (or content) is required")
    if not dest:
        raise _Fail("dest is required")
    if src and content is not None:
        raise _Fail("src and content are mutually exclusive")
    if content is not None and dest.endswith("/"):
        raise _Fail("can not use content with a dir as dest")
    if content is None and _is_true(args.get("remote_src")):
        return _module(ctx, "copy", args)

    dest = os.path.expanduser(dest)
    if content is not None:
        source = _Content(content)
        return _settled(args, _copied(ctx, args, source, source.name, dest, _is_true(args.get("follow"))), dest)
    top = _local_file(ctx, src)
    if top["type"] != "folder":
        rel = os.path.basename(src)
        return _settled(args, _copied(ctx, args, _Sent(ctx, top, src), rel, dest, _is_true(args.get("follow"))), dest)
    return _copied_folder(ctx, args, os.path.join(dest, ""))


def _settled(args, result, dest):
    if result is None:
        return dict({"src": args["src"]} if args.get("src") else {}, changed=False, dest=dest)
    if not result.get("failed") and "path" in result:
        result.setdefault("dest", result["path"])
    return result


def _copied_folder(ctx, args, dest):
    src = args["src"]
    base = "" if src.endswith("/") else os.path.basename(src)
    below = [(os.path.join(base, file["path"]), file) for file in ctx.files if file["path"]]
    of = {kind: [each for each in below if each[1]["type"] == kind] for kind in ("file", "folder", "link")}
    follow = _is_true(args.get("follow")) and not of["folder"]
    own = {key: args[key] for key in args if key in _FILE_ARGUMENTS and key != "src"}

    results = []

    def done(result):
        if result is not None:
            results.append(result)
        return result is not None and result.get("failed")

    for rel, file in of["file"]:
        if done(_copied(ctx, args, _Sent(ctx, file, os.path.join(src, file["path"])), rel, dest, follow)):
            return results[-1]
    for rel, _file in of["folder"]:
        wanted = dict(own, path=os.path.join(dest, rel), state="directory", mode=args.get("directory_mode"), recurse=False)
        if done(_module(ctx, "file", wanted)):
            return results[-1]
    for rel, file in of["link"]:
        wanted = dict(own, path=os.path.join(dest, rel), src=file["target"], state="link", force=True)
        if of["folder"]:
            wanted["follow"] = False
        if wanted.get("mode") == "preserve":
            del wanted["mode"]  # of no meaning for a link, and the module does not know it
        if done(_module(ctx, "file", wanted)):
            return results[-1]

    if results and len(of["file"]) == 1:
        return _settled(args, results[-1], dest)
    return {"changed": any(each.get("changed") for each in results), "dest": dest, "src": src}


def _copied(ctx, args, source, rel, dest, follow):
    """One file; None when it is there and must not be replaced."""
    force = _is_true(args.get("force", True))
    path = os.path.join(dest, rel) if dest.endswith("/") else dest
    there = _stat(ctx, path, follow, force)
    if there["isdir"]:
        if isinstance(source, _Content):
            return {"diff": [], "failed": True, "msg": "can not use content with a dir as dest"}
        path = os.path.join(path, rel)
        there = _stat(ctx, path, follow, force)
    if there["exists"] and not force:
        return None

    result = {"diff": []}
    more = {"mode": "0%03o" % source.mode} if args.get("mode") == "preserve" else {}
    if source.sha1 != there["checksum"]:
        if ctx.diff:
            result["diff"].append(_difference(path, source))
        if ctx.check:
            result["changed"] = True
            return result
        wanted = {key: args[key] for key in args if key not in ("content", "decrypt")}
        wanted.update(more, src=source.placed(ctx, _source_name(ctx, path)), dest=dest, _original_basename=rel, follow=follow)
        if not args.get("checksum"):
            wanted["checksum"] = source.sha1
        done = _module(ctx, "copy", wanted)
    else:
        if follow and os.path.islink(path):
            dest = os.path.realpath(path)
        wanted = {key: args[key] for key in args if key in _FILE_ARGUMENTS and key != "src"}
        wanted.update(more, dest=dest, _original_basename=rel, recurse=False, state="file")
        done = _module(ctx, "file", wanted)
    result.update(done)
    if not result.get("checksum"):
        result["checksum"] = source.sha1
    return result


def _source_name(ctx, path):
    """`validate` of 2.19 sees the suffix."""
    return ".source" + os.path.splitext(path)[1] if _since(ctx, 2, 19) else "source"


class _Content(object):
    """A text of the arguments, as a file to copy."""
    mode = 0o600
    name = "content"

    def __init__(self, content):
        self.bytes = _content_bytes(content)
        self.sha1 = hashlib.sha1(self.bytes).hexdigest()
        self.size = len(self.bytes)
        self.header = None

    def read(self):
        return self.bytes

    def placed(self, ctx, name):
        path = os.path.join(tempfile.mkdtemp(dir=ctx.tmp()), name)
        with open(path, "wb") as file:
            file.write(self.bytes)
        return path


class _Sent(object):
    """A file of the controller, as it lies in the cache; sent only when it is needed."""

    def __init__(self, ctx, file, header):
        self.ctx, self.file, self.header = ctx, file, header
        self.mode, self.sha1, self.size = file["mode"], file["sha1"], file["size"]

    def read(self):
        with open(self.ctx.content(self.file["blob"]), "rb") as file:
            return file.read()

    def placed(self, ctx, name):
        return _placed(ctx, self.file, name)


def _content_bytes(content):
    if isinstance(content, (dict, list)):
        return json.dumps(content).encode()
    return str(content).encode("utf-8", "surrogateescape")


def _difference(path, source):
    """Before and after of a file, as far as they are text and not too long."""
    diff = {}
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if b"\0" in file.read(8192):
                diff["dst_binary"] = 1
            elif size > _DIFF_BYTES_MAX:
                diff["dst_larger"] = _DIFF_BYTES_MAX
            else:
                file.seek(0)
                diff.update(before_header=path, before=file.read().decode("utf-8", "replace"))
    except FileNotFoundError:
        diff["before"] = ""
    except OSError:
        pass  # unreadable: only what comes is shown
    if source.size > _DIFF_BYTES_MAX:
        diff["src_larger"] = _DIFF_BYTES_MAX
        return diff
    content = source.read()
    if b"\0" in content:
        diff["src_binary"] = 1
    else:
        diff.update(after_header=source.header or path, after=content.decode("utf-8", "replace"))
    return diff


@_action
def assemble(ctx, args):
    if ctx.check and not _since(ctx, 2, 19):
        raise _Skip("check mode is not supported for this task.")
    src, dest = args.get("src"), args.get("dest")
    args.pop("decrypt", None)
    if src is None or dest is None:
        raise _Fail("src and dest are required")
    if _is_true(args.get("remote_src", True)):
        return _module(ctx, "assemble", args)
    if _local_file(ctx, src)["type"] != "folder":
        raise _Fail("Source (%s) is not a directory" % src)

    source = _Content("")
    source.bytes = _joined(ctx, args)
    source.sha1, source.size = hashlib.sha1(source.bytes).hexdigest(), len(source.bytes)
    dest = os.path.expanduser(dest)
    wanted = {key: args[key] for key in args if key not in ("remote_src", "regexp", "delimiter", "ignore_hidden")}
    wanted["dest"] = dest
    diff = _difference(dest, source) if ctx.diff else None
    result = _module(ctx, "copy", dict(wanted, src=source.placed(ctx, "src")))
    if diff:
        result["diff"] = diff
    return result


def _joined(ctx, args):
    wanted = re.compile(args["regexp"]) if args.get("regexp") is not None else None
    delimiter = codecs.escape_decode(args["delimiter"].encode())[0] if args.get("delimiter") else b""
    if delimiter and not delimiter.endswith(b"\n"):
        delimiter += b"\n"
    parts = []
    for file in sorted(ctx.files, key=lambda each: each["path"]):
        name = file["path"]
        if file["type"] != "file" or "/" in name or (wanted and not wanted.search(name)):
            continue
        if _is_true(args.get("ignore_hidden")) and name.startswith("."):
            continue
        with open(ctx.content(file["blob"]), "rb") as content:
            part = content.read()
        if parts:
            parts.append((b"" if parts[-1].endswith(b"\n") else b"\n") + delimiter)
        parts.append(part)
    return b"".join(parts)


@_action
def fetch(ctx, args):
    """Sends the file; where it goes and whether that changed is the runner's to say."""
    if ctx.check:
        raise _Skip("check mode not (yet) supported for this module")
    src, dest = args.get("src"), args.get("dest")
    if src is None or dest is None:
        raise _Fail("src and dest are required")
    if not isinstance(src, str):
        raise _Fail("Invalid type supplied for source option, it must be a string")
    if not isinstance(dest, str):
        raise _Fail("Invalid type supplied for dest option, it must be a string")
    must = _is_true(args.get("fail_on_missing", True))
    path = os.path.expanduser(src)
    try:
        if os.path.isdir(path):
            msg = "remote file is a directory, fetch cannot work on directories"
            if not must:
                return {"msg": msg + ", not transferring, ignored"}
            return {"failed": True, "changed": False, "msg": msg}
        sha1, md5 = hashlib.sha1(), _md5()
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
                sha1.update(piece)
                if md5:
                    md5.update(piece)
                ctx.send(piece)
    except OSError as error:
        msg = "the remote file does not exist, not transferring, ignored"
        if not isinstance(error, FileNotFoundError):
            msg = "file is not readable: %s" % path if isinstance(error, PermissionError) else str(error)
        if must:
            return {"failed": True, "msg": msg}
        return {"changed": False, "file": path, "msg": msg}
    return {"file": path, "checksum": sha1.hexdigest(), "md5sum": md5 and md5.hexdigest()}


def _md5():
    try:
        return hashlib.md5()
    except ValueError:
        return None  # such a host allows none


@_action
def unarchive(ctx, args):
    if "copy" in args:
        if "remote_src" in args:
            raise _Fail("parameters are mutually exclusive: ('copy', 'remote_src')")
        args["remote_src"] = not _is_true(args.pop("copy"))
    src, dest, creates = args.get("src"), args.get("dest"), args.get("creates")
    if src is None or dest is None:
        raise _Fail("src (or content) and dest are required")
    if creates and os.path.exists(os.path.expanduser(creates)):
        raise _Skip("skipped, since %s exists" % os.path.expanduser(creates))
    dest = os.path.expanduser(dest)
    args.pop("decrypt", None)
    if not _is_true(args.get("remote_src")):
        if _since(ctx, 2, 19) and "://" in src:
            raise _Fail("Unsupported option, an URI src (%s) is only supported when remote_src is True" % src)
        file = _local_file(ctx, src)
        _needs_folder(ctx, dest)
        args["src"] = _placed(ctx, file, "source")
    else:
        _needs_folder(ctx, dest)
    return _module(ctx, "unarchive", args)


def _needs_folder(ctx, dest):
    if not _stat(ctx, dest, True, False)["isdir"]:
        raise _Fail("dest '%s' must be an existing dir" % dest)


@_action
def uri(ctx, args):
    if _since(ctx, 2, 19) and ctx.check:
        raise _Skip("This action (ansible.builtin.uri) does not support check mode.")
    if not _is_true(args.get("remote_src")):
        if args.get("src"):
            args["src"] = _placed(ctx, _local_file(ctx, args["src"]), os.path.basename(args["src"]))
        elif args.get("body_format") == "form-multipart":
            args["body"] = _form(ctx, args.get("body"))
    return _module(ctx, "uri", args)


def _form(ctx, body):
    if not isinstance(body, dict):
        raise _Fail("body must be mapping, cannot be type %s" % type(body).__name__)
    filled = {}
    for field, value in body.items():
        if isinstance(value, dict) and value.get("filename") and not value.get("content"):
            name = value["filename"]
            value = dict(value, filename=_placed(ctx, _local_file(ctx, name, name), os.path.basename(name)))
        filled[field] = value
    return filled


# --- services, packages, facts

@_action
def service(ctx, args):
    use = _text(args.pop("use", "auto")).lower()
    if use == "auto":
        use = _process_1() or _fact(ctx, "service_mgr") or "auto"
    if use == "auto" or not ctx.has_module(_whole(use)):
        use = "service"
    if use == "systemd":
        for unknown in ("pattern", "runlevel", "sleep", "arguments", "args"):
            args.pop(unknown, None)
    return _module(ctx, use, args)


def _process_1():
    """What `setup` says of the service manager wherever process 1 tells, for a third of its time; else None."""
    try:
        with open("/proc/1/comm") as file:
            name = file.read().strip()
    except OSError:
        return None
    return None if name in ("", "init", "COMMAND") or name.endswith("sh") else name


@_action
def package(ctx, args):
    use = args.pop("use", "auto")
    if use == "auto":
        use = _fact(ctx, "pkg_mgr")
        if use is None and _since(ctx, 2, 19):
            raise _Fail('Could not detect a package manager. Try using the "use" option.')
    if not use or use == "auto":
        raise _Fail('Could not detect which package manager to use. Try gathering facts or setting the "use" option.')
    if not ctx.has_module(_whole(use)):
        what = 'Could not find a matching action for the "%s" package manager.' if _since(ctx, 2, 19) \
            else "Could not find a module for %s."
        raise _Fail(what % use)
    return _module(ctx, use, args)


@_action
def yum(ctx, args):
    if _since(ctx, 2, 17):
        return _by_backend(ctx, args, "dnf", ("yum", "yum4", "dnf", "dnf4", "dnf5"), "the dnf4 or dnf5 backend})")
    return _by_backend(ctx, args, "yum", ("yum", "yum4", "dnf"), "the yum (yum3) or dnf (yum4) backend})")


@_action
def dnf(ctx, args):
    if not _since(ctx, 2, 15):
        return _module(ctx, "dnf", args, "ansible.builtin.dnf")  # a plain module then
    return _by_backend(ctx, args, "dnf", ("yum", "yum4", "dnf", "dnf4", "dnf5"), "the dnf4 or dnf5 backend})")


def _by_backend(ctx, args, name, known, choice):
    if "use" in args and "use_backend" in args:
        raise _Fail("parameters are mutually exclusive: ('use', 'use_backend')")
    use = args.pop("use", args.pop("use_backend", "auto"))
    result = {}
    if use not in known:
        use = _fact(ctx, "pkg_mgr") or "auto"
        if use != "auto":
            result["ansible_facts"] = {"pkg_mgr": use}
    if use not in known:
        which = "yum" if name == "yum" else "dnf"
        return dict(result, failed=True, msg=[
            "Could not detect which major revision of %s is in use, which is required to determine module backend." % which,
            "You should manually specify use_backend to tell the module whether to use " + choice,
        ])
    use = {"yum4": "dnf", "dnf4": "dnf" if name == "dnf" else "dnf4"}.get(use, use)
    if not ctx.has_module(_whole(use)):
        return dict(result, failed=True, msg="Could not find a %s module backend for ansible.legacy.%s." % (name, use))
    return dict(result, **_module(ctx, use, args))


@_action
def gather_facts(ctx, args):
    args.pop("parallel", None)
    done = _module(ctx, "setup", {key: args[key] for key in args if args[key] is not None})
    if done.get("skipped") or done.get("failed"):
        word, key = ("failed to execute", "failed") if done.get("failed") else ("were skipped", "skipped")
        end = "." if _since(ctx, 2, 19) else "\n"
        return {
            "ansible_facts": {},
            key: True,
            key + "_modules": {"ansible.legacy.setup": done},
            "msg": "The following modules %s: ansible.legacy.setup%s" % (word, end),
        }
    return {key: done[key] for key in ("ansible_facts", "warnings", "deprecations") if key in done}


# Of this host; it stays so while the agent lives.
_known = {}


def _fact(ctx, name):
    if name in _known:
        return _known[name]
    facts = _module(ctx, "setup", {"gather_subset": "!all", "filter": "ansible_" + name})
    if facts.get("failed") and name == "pkg_mgr" and _since(ctx, 2, 19):
        raise _Fail("Failed to fetch ansible_pkg_mgr to determine the package action backend: %s" % facts.get("msg"))
    value = facts.get("ansible_facts", {}).get("ansible_" + name)
    if value is not None:
        _known[name] = value
    return value


# --- helpers

def _module(ctx, name, args, called=None):
    """Runs a module; in its texts it has the name that Ansible's engine calls it by."""
    return ctx.module(_whole(name), args, module_name=called or (name if "." in name else "ansible.legacy." + name))


def _whole(name):
    return name if "." in name else "ansible.builtin." + name


def _since(ctx, *version):
    have = tuple(int(part) for part in re.findall(r"\d+", ctx.version)[:2])
    return have >= version


def _local_file(ctx, written, under=""):
    for file in ctx.files:
        if file["path"] == under:
            return file
    raise _Fail("Could not find or access '%s' on the controller. If the file is on the host, say `remote_src: true`." % written)


def _placed(ctx, file, name, mode=0o600):
    """A content under the name that a module or a person expects; whoever gets it may move or change it."""
    path = os.path.join(tempfile.mkdtemp(dir=ctx.tmp()), name)
    os.rename(ctx.content(file["blob"]), path)
    os.chmod(path, mode)
    return path


def _stat(ctx, path, follow, checksum):
    path = os.path.expandvars(os.path.expanduser(path))
    try:
        found = os.stat(path) if follow else os.lstat(path)
    except FileNotFoundError:
        return {"exists": False, "isdir": False, "checksum": "1"}
    except OSError as error:
        prefix = "Task failed: " if _since(ctx, 2, 19) else ""
        raise _Fail("%sFailed to get information on remote file (%s): %s" % (prefix, path, error.strerror))
    sha1 = ""
    if checksum and stat.S_ISREG(found.st_mode) and os.access(path, os.R_OK):
        digest = hashlib.sha1()
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(_PIECE_BYTES), b""):
                digest.update(piece)
        sha1 = digest.hexdigest()
    return {"exists": True, "isdir": stat.S_ISDIR(found.st_mode), "checksum": sha1}


def _is_true(value):
    return str(value).lower() in ("y", "yes", "on", "1", "true", "t", "1.0")


def _text(value):
    return "" if value is None else str(value)
