"""Prints, as JSON, the files that ansible's own packer takes for each module of argv: {name: {path: sha256}}.

argv: `name=path` of each module. Run by the Python of a virtual environment with ansible-core.
"""
import datetime
import hashlib
import io
import json
import sys
import zipfile

from ansible.executor import module_common

from ansible.plugins import loader

if hasattr(loader, "init_plugin_loader"):
    loader.init_plugin_loader()  # older versions do it by themselves

try:
    from ansible._internal._ansiballz import _builder  # 2.19 and later
except ImportError:
    _builder = None


def packed(name, path):
    with open(path, "rb") as file:
        data = file.read()
    try:
        fqn = module_common._get_ansible_module_fqn(path)
    except ValueError:
        fqn = "ansible.modules." + name.split(".")[-1]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        if _builder is None:
            module_common.recursive_finder(name, fqn, data, archive)
            module_common._add_module_to_zip(archive, fqn, data)
        else:
            now = datetime.datetime.now(datetime.timezone.utc)
            manager = _builder.ExtensionManager.create(task_vars={})
            module_common.recursive_finder(name, fqn, data, archive, now, manager)
            module_common._add_module_to_zip(archive, now, fqn, data, path, manager)
    with zipfile.ZipFile(buffer) as archive:
        return {file: hashlib.sha256(archive.read(file)).hexdigest() for file in archive.namelist()}


json.dump({name: packed(name, path) for name, path in (pair.split("=", 1) for pair in sys.argv[1:])}, sys.stdout)
