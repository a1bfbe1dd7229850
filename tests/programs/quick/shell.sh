#!/bin/bash
# Pipelines and substitutions.
. "$(dirname "$0")/../lib.sh"

for _ in $(seq 60); do is pipeline "$(echo a b c | sed s/a/d/ | tr b e | wc -c)" 6; done
is sum "$(seq 20000 | grep -v 7 | awk '{ s += $1 } END { print s }')" "$(awk 'BEGIN { for (i = 1; i <= 20000; i++) if (i !~ 7) s += i; print s }')"
is sorted "$(seq 50000 | sort -R --random-source=/dev/zero | sort -n | md5sum)" "$(seq 50000 | md5sum)"
is calculator "$(echo '2^300 % 1000007' | bc)" 385027
