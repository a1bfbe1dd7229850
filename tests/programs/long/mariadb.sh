#!/bin/bash
# MariaDB under load for SECONDS_OF_LOAD, killed and recovered.
. "$(dirname "$0")/../lib.sh"

mariadb-install-db --no-defaults --user=root --datadir="$work/db" --auth-root-authentication-method=normal >log 2>&1 || { tail log; fail install; }
serve() {
  mariadbd --no-defaults --user=root --datadir="$work/db" --socket="$work/s" --port=7794 --pid-file="$work/p" --innodb-buffer-pool-size=64M >>log 2>&1 & server=$!
  eventually mariadb-admin --no-defaults -uroot -S "$work/s" ping
}
query() { mariadb --no-defaults -uroot -S "$work/s" -BNe "$1" test; }
serve
mariadb --no-defaults -uroot -S "$work/s" -e 'create database if not exists test'
query 'create table t(id int primary key, n int) engine=innodb; create table h(a int, b int); insert into t select seq, 100 from seq_1_to_1000'
end=$((SECONDS + ${SECONDS_OF_LOAD:-30}))
client() {
  while [ $SECONDS -lt $end ]; do
    for _ in $(seq 50); do
      a=$((RANDOM % 1000 + 1)) b=$((RANDOM % 1000 + 1))
      echo "begin; update t set n = n - 1 where id = $a; update t set n = n + 1 where id = $b; insert into h values($a, $b); commit;"
    done | mariadb --no-defaults --force -uroot -S "$work/s" test 2>>deadlocks
  done
}
pids=()
for _ in 1 2 3; do client & pids+=($!); done
wait "${pids[@]}"
grep -v -e 1213 deadlocks >&2 || true
is sum "$(query 'select sum(n) from t')" 100000
rows=$(query 'select count(*) from h')
at_least transfers "$rows" 100
kill -KILL $server
wait $server || true
serve
is "sum after the crash" "$(query 'select sum(n) from t')" 100000
is "rows after the crash" "$(query 'select count(*) from h')" "$rows"
is check "$(mariadb-check --no-defaults -uroot -S "$work/s" test | grep -vc OK || true)" 0
mariadb-admin --no-defaults -uroot -S "$work/s" shutdown
wait $server
