#!/bin/sh
# Puts a dump in the place of a database: whole, or not at all.
#
# usage: replace_database.sh DUMP DATABASE COMMAND...
# In: a dump of pg_dump -Fc of a database of that name; COMMAND runs a program as PostgreSQL's superuser.
# R1. The present database is renamed first and dropped last. What ends in the middle is put back by the next call.
# R2. A dump of another release is not taken: its schema is not the programs'.
set -u
dump=$1 database=$2
shift 2
before="${database}_before"

on_server() { "$@" psql -XqAt -v ON_ERROR_STOP=1 -d postgres; }
ask() { sql=$1; shift; echo "$sql" | on_server "$@"; }
is_there() { name=$1; shift; [ "$(ask "select count(*) from pg_database where datname = '$name'" "$@")" = 1 ]; }
# Slots keep a database from being dropped; a new one comes with the agent's next start.
drop() {
  name=$1
  shift
  ask "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '$name'" "$@" >/dev/null &&
    ask "drop database if exists \"$name\" with (force)" "$@"
}
rename() { from=$1 to=$2; shift 2; ask "alter database \"$from\" rename to \"$to\"" "$@"; }
release_of() {
  name=$1
  shift
  echo "select e.version from rhnVersionInfo v join rhnPackageEVR e on e.id = v.evr_id where v.label = 'schema'" |
    "$@" psql -XqAt -v ON_ERROR_STOP=1 -d "$name"
}
put_back() {
  reason=$1
  shift
  drop "$database" "$@" && rename "$before" "$database" "$@"
  echo "Cannot replace $database: $reason; it is as it was" >&2
  exit 1
}

[ -s "$dump" ] || { echo "Cannot replace $database: $dump is missing or empty" >&2; exit 1; }
if is_there "$before" "$@"; then # R1
  drop "$database" "$@" && rename "$before" "$database" "$@" || exit 1
fi
release=$(release_of "$database" "$@") || exit 1
rename "$database" "$before" "$@" || exit 1
"$@" pg_restore --exit-on-error --create -d postgres <"$dump" || put_back "the dump cannot be restored" "$@"
restored=$(release_of "$database" "$@") || put_back "the dump has no release in it" "$@"
[ "$restored" = "$release" ] || put_back "the dump is of release $restored, the server of $release" "$@" # R2
drop "$before" "$@"
