#!/usr/bin/env bash
# usage: run_on_host.sh program. As root, as in the sandbox; the environment is the same in both.
set -eu
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$PWD/$1" --gtest_color=no
