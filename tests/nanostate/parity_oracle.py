"""
`ansible -m` for many cases: each is the command line tool itself, in a fork of one interpreter that has it loaded.

In: argv[1], a JSON file with {"arguments": [...], "cases": [{"module", "args", "check"}]}. Out: a line of JSON a case,
the result as Ansible's callbacks get it, or {"refused": why} where Ansible does not start.
"""
import json
import os
import sys

os.environ["ANSIBLE_CALLBACK_PLUGINS"] = os.path.join(os.path.dirname(os.path.abspath(__file__)), "parity_callback")

from ansible.cli.adhoc import AdHocCLI  # noqa: E402, it reads the environment
from ansible.errors import AnsibleError  # noqa: E402


def main():
    with open(sys.argv[1]) as file:
        wanted = json.load(file)
    for case in wanted["cases"]:
        args = json.dumps(case["args"]) if case["args"] else ""
        argv = ["ansible", "all", "-m", case["module"], "-a", args] + wanted["arguments"]
        if case["check"]:
            argv += ["--check", "--diff"]
        print(json.dumps(in_fork(argv)), flush=True)


def in_fork(argv):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            os.environ["ANSWER_FD"] = str(writing)
            os.set_inheritable(writing, True)
            tool = AdHocCLI(argv, callback="answer")
            tool.parse()
            tool.run()
        except AnsibleError as error:
            os.write(writing, json.dumps({"refused": str(error)}).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    if not said:
        raise SystemExit("Cannot run %s: there is no result" % argv)
    return json.loads(said.decode())


main()
