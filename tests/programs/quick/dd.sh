#!/bin/bash
# Large files: written, read in small pieces, sparse, truncated.
. "$(dirname "$0")/../lib.sh"

dd if=/dev/zero of=big bs=64k count=1000 2>/dev/null
for size in 4k 1M; do is "$size" "$(dd if=big bs=$size 2>/dev/null | md5sum)" "$(head -c 65536000 /dev/zero | md5sum)"; done
dd if=/dev/urandom of=big bs=4k seek=500 count=100 conv=notrunc oflag=dsync 2>/dev/null
is size "$(stat -c %s big)" 65536000
dd if=big of=copy bs=1M iflag=fullblock 2>/dev/null
cmp big copy
truncate -s 10G sparse
is "sparse size" "$(stat -c '%s %b' sparse)" "10737418240 0"
