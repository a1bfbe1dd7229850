#!/bin/bash
# PostgreSQL: initdb, pgbench, sums that must agree, recovery after a crash.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../postgres_lib.sh"

make_database 1
as "pgbench -h $work -p 7779 -c2 -j2 -t100 postgres >out 2>&1"
is transactions "$(sed -n 's/^number of transactions actually processed: //p' out)" 200/200
is sums "$(sums)" "0|0"
stop_server immediate
start_server
is recovered "$(grep -c 'redo done' log)" 1
is "sums after the crash" "$(sums)" "0|0"
is history "$(query "select count(*) from pgbench_history")" 200
is "parallel query" "$(query "set force_parallel_mode=on; select count(*) from pgbench_accounts" | tail -n 1)" 100000
stop_server fast
