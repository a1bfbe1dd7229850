#!/bin/bash
# Redis under redis-benchmark; its data comes back after a restart.
. "$(dirname "$0")/../lib.sh"

serve() {
  redis-server --port 7777 --dir "$work" --save '' --appendonly yes --daemonize yes >/dev/null
  eventually redis-cli -p 7777 ping
}
serve
redis-benchmark -p 7777 -q -t set,get,incr,lpush,lrange_100 -n 3000 -c 20 >out
is "requests per second" "$(tr '\r' '\n' <out | grep -c 'requests per second')" 6
is counter "$(redis-cli -p 7777 get counter:__rand_int__)" 3000
redis-cli -p 7777 bgrewriteaof >/dev/null
eventually bash -c 'redis-cli -p 7777 info persistence | grep aof_rewrite_in_progress:0'
is "list's length" "$(redis-cli -p 7777 llen mylist)" "$(redis-cli -p 7777 eval 'return redis.call("llen", "mylist")' 0)"
before=$(redis-cli -p 7777 debug digest 2>/dev/null || true)
keys=$(redis-cli -p 7777 dbsize)
redis-cli -p 7777 shutdown
serve
is keys "$(redis-cli -p 7777 dbsize)" "$keys"
is digest "$(redis-cli -p 7777 debug digest 2>/dev/null || true)" "$before"
is "counter after a restart" "$(redis-cli -p 7777 get counter:__rand_int__)" 3000
redis-cli -p 7777 shutdown
eventually bash -c '! redis-cli -p 7777 ping'
