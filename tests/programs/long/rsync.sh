#!/bin/bash
# rsync: local, again, deletions, and through its daemon.
. "$(dirname "$0")/../lib.sh"

mkdir a
cp -a /usr/lib/python3.11/email /usr/lib/python3.11/json a/
ln -s email a/link
ln a/json/__init__.py a/hard
head -c 3000000 /dev/urandom >a/big
rsync -aHAX a/ b/
same() { diff -r --no-dereference a "$1" && is "$1" "$(cd "$1" && find . -printf '%p %m %U:%G %TH%TM %n %l\n' | sort)" "$(cd a && find . -printf '%p %m %U:%G %TH%TM %n %l\n' | sort)"; }
same b
is "second time" "$(rsync -aHAX --stats a/ b/ | sed -n 's/^Number of regular files transferred: //p')" 0
echo more >>a/big; rm a/json/tool.py
rsync -aHAX --delete --no-whole-file a/ b/
same b
printf 'port = 7793\nuse chroot = no\nmunge symlinks = no\n[m]\npath = %s/c\nread only = no\nuid = root\ngid = root\n' "$work" >conf
mkdir c
rsync --daemon --no-detach --config=conf & server=$!
eventually rsync rsync://127.0.0.1:7793/
rsync -aH a/ rsync://127.0.0.1:7793/m/
same c
kill $server
wait $server || true
