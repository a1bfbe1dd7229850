#!/bin/bash
# nginx with two workers under wrk; what it serves, reload, end.
. "$(dirname "$0")/../lib.sh"

mkdir n
echo hello >n/index.html
head -c 3000000 /dev/zero | tr '\0' x >n/large
chmod -R a+rX .
printf 'worker_processes 2; error_log %s/errors; pid %s/pid; events{} http{sendfile on; access_log off; server{listen 7778; root %s/n;}}' \
  "$work" "$work" "$work" >n.conf
nginx -c "$work/n.conf"
eventually curl -sf http://127.0.0.1:7778/
wrk -t1 -c8 -d1s http://127.0.0.1:7778/ >out
at_least requests "$(awk '/requests in/ { print $1 }' out)" 100
is "errors of wrk" "$(grep -c -e Socket -e Non-2xx out || true)" 0
is page "$(curl -s http://127.0.0.1:7778/)" hello
is "large file" "$(curl -s http://127.0.0.1:7778/large | md5sum)" "$(md5sum <n/large)"
is missing "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:7778/none)" 404
echo changed >n/index.html
kill -HUP "$(cat pid)"
is "page after a reload" "$(curl -s http://127.0.0.1:7778/)" changed
kill -QUIT "$(cat pid)"
eventually test ! -e pid
is "errors of nginx" "$(grep -v -e notice -e "No such file" errors || true)" ""
