"""The work of work.ts for pyinfra: ten operations that take the place of ten modules, and fifty guarded shell lines."""

from io import StringIO

from pyinfra.operations import crontab, files, server, sysvinit

server.group(name="group", group="bench")
server.user(name="user", user="bench", group="bench", shell="/bin/sh", home="/srv/bench")
files.directory(name="file", path="/srv/bench/data", user="bench", group="bench", mode="750")
files.put(name="copy", src=StringIO("workers = 4\nport = 8080\n"), dest="/etc/bench.conf", mode="644")
files.line(name="lineinfile", path="/etc/bench.txt", line="^level = .*", replace="level = 2")
files.block(
    name="blockinfile",
    path="/etc/bench.txt",
    content="one = 1\ntwo = 2",
    try_prevent_shell_expansion=True,
)
files.replace(name="replace", path="/etc/bench.txt", text="^colour = red$", replace="colour = blue")
crontab.crontab(name="cron", command="/bin/true", cron_name="bench", minute="5")
sysvinit.service(name="service", service="cron", running=True)
server.hostname(name="hostname", hostname="bench")

for number in range(50):
    path = f"/srv/marks/{number}"
    server.shell(name=f"shell {number}", commands=[f"test -e {path} || touch {path}"])
