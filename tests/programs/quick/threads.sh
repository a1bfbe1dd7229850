#!/bin/bash
# sysbench: threads with locks, mutexes, memory.
. "$(dirname "$0")/../lib.sh"

events() { sed -n 's/^ *total number of events: *//p'; }
is threads "$(sysbench threads --threads=4 --time=60 --events=300 --thread-locks=2 run | events)" 300
is mutexes "$(sysbench mutex --threads=4 --mutex-num=8 --mutex-locks=2000 --mutex-loops=10 run | events)" 4
is cpu "$(sysbench cpu --threads=2 --time=60 --events=200 run | events)" 200
sysbench fileio --file-num=8 --file-total-size=4M prepare >/dev/null
is files "$(sysbench fileio --file-num=8 --file-total-size=4M --file-test-mode=rndrw --threads=4 --time=60 --events=500 run | grep -c 'total number of events')" 1
