#!/bin/bash
# PostgreSQL under pgbench for SECONDS_OF_LOAD.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../postgres_lib.sh"

dump() { as "pg_dump -h $work -p 7779 postgres | grep -v restrict >$1"; }
make_database 2
as "pgbench -h $work -p 7779 -c8 -j4 -T${SECONDS_OF_LOAD:-30} postgres >out 2>&1"
is failed "$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' out)" 0
is sums "$(sums)" "0|0"
as "vacuumdb -h $work -p 7779 -j2 -z postgres >/dev/null 2>&1"
dump dump1
stop_server fast
start_server
dump dump2
stop_server fast
cmp dump1 dump2
