#!/usr/bin/env bash
# usage: run_in_sandbox.sh runsc platform known-differences program
# RUNSC_FLAGS: further options of runsc.
# The tests listed in known-differences ("Suite.Test reason") are left out.
set -eu
runsc=$1 platform=$2 differences=$3 program=$(realpath "$4")
left_out=$(awk '!/^#/ && NF { printf "%s%s", sep, $1; sep = ":" }' "$differences")
root=$(mktemp -d /tmp/runsc-root.XXXXXX)
trap 'rm -rf "$root"' EXIT
"$PWD/$runsc" --root "$root" --platform="$platform" ${RUNSC_FLAGS:-} do -- \
  /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$program" --gtest_color=no --gtest_filter="-$left_out"
