#!/bin/bash
# find and grep over the tree.
. "$(dirname "$0")/../lib.sh"

is "files counted twice" "$(find /usr -xdev | wc -l)" "$(find /usr -xdev -printf 'x' | wc -c)"
is "names listed" "$(find /usr/include -type f | wc -l)" "$(ls -lR /usr/include | grep -c '^-')"
at_least "mutexes" "$(grep -r pthread_mutex /usr/include | wc -l)" 50
is "grep and grep" "$(grep -rl pthread_mutex /usr/include | sort | md5sum)" \
  "$(find /usr/include -type f -print0 | xargs -0 -n 20 grep -l pthread_mutex | sort | md5sum)"
