#!/bin/bash
# 200 MB through pipes.
. "$(dirname "$0")/../lib.sh"

is bytes "$(dd if=/dev/zero bs=4k count=50000 2>/dev/null | cat | wc -c)" 204800000
is sum "$(head -c 20000000 /dev/zero | tr '\0' y | tee >(md5sum >other) | md5sum; eventually test -s other)" "$(head -c 20000000 /dev/zero | tr '\0' y | md5sum)"
is "sum of the other" "$(cat other)" "$(head -c 20000000 /dev/zero | tr '\0' y | md5sum)"
