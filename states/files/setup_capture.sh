#!/bin/sh
# `salar-node setup` as the owner of Uyuni's tables, whom only Uyuni's configuration knows.
#
# usage: setup_capture.sh RHN_CONF [--dry-run]
# The password is in a file of root's for as long as this runs: the agent takes none from arguments or the environment.
set -eu
rhn_conf=$1
shift
value_of() { sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$rhn_conf" | tail -n 1; }

umask 077
password=$(mktemp /etc/salar/.owner.XXXXXX)
trap 'rm -f "$password"' EXIT
value_of db_password >"$password"
/opt/salar/node-agent/salar-node setup --config /etc/salar/node.json --database-user "$(value_of db_user)" \
  --database-password-file "$password" "$@"
