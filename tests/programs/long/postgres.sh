#!/bin/bash
# PostgreSQL: initdb, pgbench, sums that must agree, recovery after a crash.
. "$(dirname "$0")/../lib.sh"

chown postgres "$work"
bin=/usr/lib/postgresql/15/bin
as() { su postgres -s /bin/bash -c "cd $work; PATH=$bin:\$PATH; $1"; }
query() { as "psql -h $work -p 7779 -Atc \"$1\" postgres"; }
as "initdb -N -D pg >/dev/null && pg_ctl -D pg -o '-p 7779 -k $work' -l log -w start >/dev/null"
as "pgbench -h $work -p 7779 -i -s1 postgres >/dev/null 2>&1; pgbench -h $work -p 7779 -c2 -j2 -t100 postgres >out 2>&1"
is transactions "$(sed -n 's/^number of transactions actually processed: //p' out)" 200/200
sums() {
  query "select (select sum(abalance) from pgbench_accounts) - (select sum(delta) from pgbench_history),
    (select sum(tbalance) from pgbench_tellers) - (select sum(bbalance) from pgbench_branches), count(*) from pgbench_history"
}
is sums "$(sums)" "0|0|200"
as "pg_ctl -D pg -m immediate stop >/dev/null; pg_ctl -D pg -o '-p 7779 -k $work' -l log -w start >/dev/null"
is recovered "$(grep -c 'redo done' log)" 1
is "sums after the crash" "$(sums)" "0|0|200"
is "parallel query" "$(query "set force_parallel_mode=on; select count(*) from pgbench_accounts" | tail -n 1)" 100000
as "pg_ctl -D pg -m fast stop >/dev/null"
