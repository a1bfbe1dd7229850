# Sourced after lib.sh by tests of PostgreSQL: a server of the test's own in $work/pg, on port 7779.

chown postgres "$work"
as() { su postgres -s /bin/bash -c "cd $work; PATH=/usr/lib/postgresql/15/bin:\$PATH; $1"; }
query() { as "psql -h $work -p 7779 -Atc \"$1\" postgres"; }
start_server() { as "pg_ctl -D pg -o '-p 7779 -k $work' -l log -w start >/dev/null"; }
stop_server() { as "pg_ctl -D pg -m $1 stop >/dev/null"; } # how: fast, immediate
# A database of pgbench's, filled to a scale.
make_database() {
  as "initdb -N -D pg >/dev/null" && start_server
  as "pgbench -h $work -p 7779 -i -s$1 postgres >/dev/null 2>&1"
}
# What has to agree after any number of pgbench's transactions: 0|0.
sums() {
  query "select (select sum(abalance) from pgbench_accounts) - (select sum(delta) from pgbench_history),
    (select sum(tbalance) from pgbench_tellers) - (select sum(bbalance) from pgbench_branches)"
}
