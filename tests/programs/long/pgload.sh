#!/bin/bash
# PostgreSQL under pgbench for SECONDS_OF_LOAD.
. "$(dirname "$0")/../lib.sh"

chown postgres "$work"
bin=/usr/lib/postgresql/15/bin
as() { su postgres -s /bin/bash -c "cd $work; PATH=$bin:\$PATH; $1"; }
query() { as "psql -h $work -p 7779 -Atc \"$1\" postgres"; }
as "initdb -N -D pg >/dev/null && pg_ctl -D pg -o '-p 7779 -k $work' -l log -w start >/dev/null"
as "pgbench -h $work -p 7779 -i -s2 postgres >/dev/null 2>&1; pgbench -h $work -p 7779 -c8 -j4 -T${SECONDS_OF_LOAD:-30} postgres >out 2>&1"
is failed "$(sed -n 's/^number of failed transactions: \([0-9]*\).*/\1/p' out)" 0
is sums "$(query "select (select sum(abalance) from pgbench_accounts) - (select sum(delta) from pgbench_history),
    (select sum(tbalance) from pgbench_tellers) - (select sum(bbalance) from pgbench_branches)")" "0|0"
as "vacuumdb -h $work -p 7779 -j2 -z postgres >/dev/null 2>&1; pg_dump -h $work -p 7779 postgres | grep -v restrict >dump1; pg_ctl -D pg -m fast stop >/dev/null"
as "pg_ctl -D pg -o '-p 7779 -k $work' -l log -w start >/dev/null; pg_dump -h $work -p 7779 postgres | grep -v restrict >dump2; pg_ctl -D pg -m fast stop >/dev/null"
cmp dump1 dump2
