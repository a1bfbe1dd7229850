#!/bin/bash
# Processes one after the other, many at once, and in a chain.
. "$(dirname "$0")/../lib.sh"

for _ in $(seq 200); do /bin/true; done
pids=() sum=0
for i in $(seq 100); do
  (exit $((i % 7))) &
  pids+=($!)
done
for job in "${pids[@]}"; do
  wait "$job" && status=0 || status=$?
  sum=$((sum + status))
done
is "sum of statuses" "$sum" 297
chain() { if [ "$1" = 0 ]; then echo end; else bash -c "$(declare -f chain); chain $(($1 - 1))"; fi; }
is chain "$(chain 30)" end
