/**
 * A throw-away host that looks like a classic Uyuni server to the states of staging: real PostgreSQL 15 with the twin's tables and
 * rows, the files and folders, and a service that can be stopped.
 *
 * What is imitated: `spacewalk-service` is a script, and Uyuni's programs are one process, which answers `api.getVersion` and keeps a
 * session on the database. Of Uyuni's own SQL functions there are those that `node-reset` calls, for the twin's tables. systemd is
 * not there, so the agent's init script is used.
 */
import { controllerFiles } from "../../lib/nanostate/run/controller_files.ts";
import { runHosts } from "../../lib/nanostate/run/hosts.ts";
import { startAgent } from "../../lib/nanostate/agent/session.ts";
import type { HostResult } from "../../lib/nanostate/run/result.ts";
import { indexStates } from "../../lib/nanostate/state_index.ts";
import { type Host, type Hosts, startHosts } from "../parts/hosts.ts";
import { ansibleModules, targetOf } from "./hosts_run.ts";

const STATES = new URL("../../states/", import.meta.url).pathname;
const TWIN_SCHEMA = new URL("../twin/schema.sql", import.meta.url);
const DISK_MB = 700;
const PREPARE_MS_MAX = 60_000;

/** Passwords as people have them: with what shells and SQL stumble over. */
export const SECRETS = {
  database_password: 'it\'s $(a) \\ "password"',
  uyuni_password: "salar-api",
};
const OWNER_PASSWORD = "owner-of-the-tables";

export interface UyuniHost extends AsyncDisposable {
  hosts: Hosts;
  host: Host;
  /** As PostgreSQL's superuser; bare values, one row a line. */
  sql(text: string): Promise<string>;
  /** Applies a state that ships. */
  apply(state: string, options?: ApplyOptions): Promise<HostResult>;
  /** Registers a system as Uyuni would. */
  addSystem(name: string): Promise<void>;
  /** Checksums of everything that staging may change, by path; the database as a dump. */
  contents(): Promise<string>;
}

export interface ApplyOptions {
  params?: Record<string, string>;
  secrets?: Record<string, string>;
  mode?: "apply" | "check";
}

/** With two systems, a channel of an organisation and one of the vendor, and leftovers in files. */
export async function startUyuniHost(): Promise<UyuniHost> {
  await using making = new AsyncDisposableStack();
  const hosts = making.use(await startHosts({ count: 1, base: "postgres", name: "uyuni", diskMb: DISK_MB }));
  const [host] = hosts.list;
  if (host === undefined) throw new Error("Assertion failed: one host was asked for");
  await host.exec(await prepareLine(), { limitMs: PREPARE_MS_MAX });
  const states = await shippedStates(hosts);

  const sql = async (text: string) =>
    (await host.exec(
      `runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d susemanager <<'END'\n${text}\nEND`,
    ))
      .stdout.trimEnd();
  const made = making.move();
  return {
    hosts,
    host,
    sql,
    apply: (state, { params = {}, secrets = {}, mode = "apply" } = {}) =>
      states.apply(host, state, {
        params: { ...PARAMS, ...params },
        secrets: { ...SECRETS, ...secrets },
        mode,
      }),
    addSystem: async (name) =>
      void await sql(`
        insert into rhnServer (id, org_id, digital_server_id, machine_id, server_arch_id, os, release, name, secret)
          values (nextval('rhn_server_id_seq'), 1, '${name}', md5('${name}'), 1, 'SLES', '15.6', '${name}', 'x');
        insert into suseMinionInfo (server_id, minion_id) select id, name from rhnServer where name = '${name}';
        insert into rhnServerInfo (server_id) select id from rhnServer where name = '${name}';
        insert into rhnServerChannel (server_id, channel_id)
          select s.id, c.id from rhnServer s, rhnChannel c where s.name = '${name}';
        insert into rhnServerGroupMembers (server_id, server_group_id)
          select s.id, g.id from rhnServer s, rhnServerGroup g where s.name = '${name}';`),
    contents: async () =>
      (await host.exec(`
        find /etc/rhn /etc/salt /srv/susemanager /var/lib/cobbler -type f -exec sha256sum {} + | sort -k 2
        runuser -u postgres -- pg_dump --no-publications -d susemanager | grep -v '^.restrict\\|^.unrestrict'`))
        .stdout,
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

/** The states that ship, from states/, run as `salar state apply` runs them. */
export interface ShippedStates {
  apply(host: Host, state: string, options?: ApplyOptions): Promise<HostResult>;
}

export async function shippedStates(hosts: Hosts): Promise<ShippedStates> {
  const modules = await ansibleModules();
  const names = [...Deno.readDirSync(STATES)].filter(({ isFile }) => isFile).map(({ name }) => name).sort();
  const index = indexStates(
    names.map((name) => ({ path: STATES + name, bytes: Deno.readFileSync(STATES + name) })),
  );
  return {
    async apply(host, state, { params = {}, secrets = {}, mode = "apply" } = {}) {
      const result = await runHosts(startAgent, {
        index,
        id: state,
        targets: [await targetOf(hosts, host)],
        mode,
        params,
        secrets: new Map(
          Object.entries(secrets).map(([name, value]) => [name, () => Promise.resolve(value)]),
        ),
        modules,
        files: controllerFiles(),
        onFailure: "end-group",
        signal: new AbortController().signal,
      });
      const [found] = result.hosts;
      if (found === undefined) throw new Error("Assertion failed: there is a result for each host");
      return found;
    },
  };
}

/** What differs from a real server: Debian's PostgreSQL, no systemd, nobody called wwwrun, the stand-in's address. */
export const PARAMS = {
  database_restart: "pg_ctlcluster 15 main restart",
  hba_file: "/etc/postgresql/15/main/pg_hba.conf",
  slot_keep_mb: "64",
  init: "sysv",
  verify_api: "http://127.0.0.1:8080",
};

/** `outcome name: message` of whatever did not simply go well. */
export function faults({ groups, message }: HostResult): string {
  const responses = groups.flatMap(({ steps }) => steps).flatMap(({ responses }) => responses);
  const bad = responses.filter(({ outcome }) => outcome === "failed" || outcome === "unknown");
  return [message, ...bad.map((each) => `${each.outcome} ${each.name}: ${each.message} ${each.stderr}`)].join(
    "\n",
  ).trim();
}

/** `group/step name` of every response that changed something. */
export function changes({ groups }: HostResult): string[] {
  return groups.flatMap(({ steps }) => steps).flatMap(({ id, responses }) =>
    responses.filter(({ outcome }) => outcome === "changed").map(({ name }) => `${id} ${name}`)
  );
}

async function prepareLine(): Promise<string> {
  return `set -eu
put() { mkdir -p "$(dirname "$1")" && cat >"$1"; }
echo 0123456789abcdef0123456789abcdef >/etc/machine-id

pg_ctlcluster 15 main start
put /root/owner.sql <<'END'
create role spacewalk superuser login password '${OWNER_PASSWORD}';
create database susemanager owner spacewalk;
END
put /root/schema.sql <<'END'
${await Deno.readTextFile(TWIN_SCHEMA)}
END
put /root/rows.sql <<'END'
${ROWS}
END
as_superuser() { runuser -u postgres -- psql -Xq -v ON_ERROR_STOP=1 "$@"; }
as_superuser -f - </root/owner.sql
{ echo 'set role spacewalk;'; cat /root/schema.sql /root/rows.sql; } | as_superuser -d susemanager -f -

put /etc/rhn/rhn.conf <<'END'
db_backend = postgresql
db_name = susemanager
db_user = spacewalk
db_password = ${OWNER_PASSWORD}
END
chmod 640 /etc/rhn/rhn.conf
openssl genrsa 2048 2>/dev/null | openssl rsa -pubout 2>/dev/null | put /etc/salt/pki/master/master.pub
for folder in minions minions_pre minions_rejected minions_denied; do mkdir -p /etc/salt/pki/master/$folder; done
chmod 700 /etc/salt/pki/master
echo key | put /etc/salt/pki/master/minions/web-1
echo pillar | put /srv/susemanager/pillar_data/pillar_web-1.yml
echo '{}' | put /var/lib/cobbler/collections/systems/web-1.json
echo metadata | put /var/cache/rhn/repodata/sles15/repomd.xml

put /usr/sbin/spacewalk-service <<'END'
${SERVICE}
END
put /usr/local/bin/uyuni <<'END'
${UYUNI}
END
chmod 755 /usr/sbin/spacewalk-service /usr/local/bin/uyuni
spacewalk-service start`;
}

const ROWS = `
insert into web_customer (id, name) values (1, 'Organization');
insert into web_contact (id, org_id, login, login_uc, password) values (1, 1, 'admin', 'ADMIN', 'x');
insert into rhnServerGroup (id, name, description, group_type, org_id) values (1, 'Salt', 'Salt', 1, 1);
insert into rhnServerGroup (id, name, description, org_id) values (2, 'Berlin', 'Berlin', 1);
insert into rhnChannel (id, org_id, channel_arch_id, label, basedir, name, summary) values
  (101, null, 1, 'sles15', '/dev/null', 'SLES 15', 'SLES 15'), (102, 1, 1, 'own', '/dev/null', 'Own', 'Own');
insert into rhnChannel (id, parent_channel, org_id, channel_arch_id, label, basedir, name, summary) values
  (103, 102, 1, 1, 'own-child', '/dev/null', 'Own child', 'Own child');

-- Uyuni's own functions, as far as these tables go.
create function delete_server(server_id_in numeric) returns void language plpgsql as $$
begin
  delete from rhnServerGroupMembers where server_id = server_id_in;
  delete from rhnServerChannel where server_id = server_id_in;
  delete from rhnServerInfo where server_id = server_id_in;
  delete from rhnServer where id = server_id_in;
end $$;
create function delete_channel(channel_id_in numeric) returns void language plpgsql as $$
begin
  delete from rhnServerChannel where channel_id = channel_id_in;
  delete from rhnChannel where id = channel_id_in;
end $$;`;

const SERVICE = `#!/bin/sh
pid_file=/run/uyuni.pid
case $1 in
start)
  start-stop-daemon --start --oknodo --background --make-pidfile --pidfile $pid_file --exec /usr/bin/python3 -- /usr/local/bin/uyuni
  for tenth in $(seq 100); do [ -e /run/uyuni.up ] && exit 0; sleep 0.1; done
  exit 1
  ;;
stop) start-stop-daemon --stop --oknodo --retry 10 --remove-pidfile --pidfile $pid_file; rm -f /run/uyuni.up ;;
status) start-stop-daemon --status --pidfile $pid_file ;;
esac`;

const UYUNI = `import signal, subprocess
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

session = subprocess.Popen(["runuser", "-u", "postgres", "--", "psql", "-Xqd", "susemanager"], stdin=subprocess.PIPE)

def end(*_):
    session.stdin.close()
    session.wait()
    raise SystemExit(0)

class Handler(SimpleXMLRPCRequestHandler):
    rpc_paths = ("/rpc/api",)

signal.signal(signal.SIGTERM, end)
server = SimpleXMLRPCServer(("127.0.0.1", 8080), Handler, logRequests=False)
server.register_function(lambda: "29", "api.getVersion")
server.register_function(lambda: "5.2.1", "api.systemVersion")
open("/run/uyuni.up", "w").close()
server.serve_forever()`;
