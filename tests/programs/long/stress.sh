#!/bin/bash
# stress-ng, every stressor for STRESS_SECONDS, with its own verification.
. "$(dirname "$0")/../lib.sh"

seconds=${STRESS_SECONDS:-10}
for stressor in ${STRESSORS:-cpu vm fork pipe futex poll mmap sock timer signal shm sem sem-sysv msg mq}; do
  case $stressor in signal) stressor=sigfd ;; esac
  stress-ng --temp-path "$work" --"$stressor" 2 --timeout "$seconds" --verify --metrics-brief >"$stressor" 2>&1 ||
    { grep -v -e metrc "$stressor" | tail -n 15; fail "$stressor"; }
  at_least "operations of $stressor" "$(awk -v s="$stressor" '$4 == s { print $5; exit }' "$stressor")" 1
done
