#!/bin/bash
# Archives with compressors, unpacked and compared.
. "$(dirname "$0")/../lib.sh"

from=/usr/lib/python3.11
tar cf t.tar -C $from .
mkdir x
tar xf t.tar -C x
diff -r --no-dereference $from x
is owners "$(cd x && find . -printf '%p %m %U:%G %TY%Tj%TH%TM %l\n' | sort | md5sum)" "$(cd $from && find . -printf '%p %m %U:%G %TY%Tj%TH%TM %l\n' | sort | md5sum)"
for how in gzip bzip2 xz; do
  tar cf "t.$how" --"$how" -C $from email json
  is "$how" "$(tar xOf "t.$how" | md5sum)" "$(tar cf - -C $from email json | tar xOf - | md5sum)"
done
