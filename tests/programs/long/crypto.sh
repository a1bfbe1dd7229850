#!/bin/bash
# openssl and ssh-keygen.
. "$(dirname "$0")/../lib.sh"

openssl speed -seconds 1 -bytes 1024 -multi 2 sha256 >out 2>&1
is speed "$(grep -c '^sha256' out)" 1
openssl genrsa -out key 2048 2>/dev/null
openssl req -new -x509 -key key -subj /CN=sandbox -days 2 -out cert
is verified "$(openssl verify -CAfile cert cert)" "cert: OK"
head -c 1000000 /dev/urandom | base64 >data
openssl enc -aes-256-cbc -pbkdf2 -k secret -in data | openssl enc -d -aes-256-cbc -pbkdf2 -k secret | cmp - data
openssl s_server -accept 7791 -key key -cert cert -WWW >/dev/null 2>&1 & server=$!
get() { curl -s --cacert cert --resolve sandbox:7791:127.0.0.1 https://sandbox:7791/data; }
eventually get
is "over TLS" "$(get | md5sum)" "$(md5sum <data)"
kill $server
for kind in rsa ed25519 ecdsa; do
  ssh-keygen -q -t $kind -N '' -f "k_$kind"
  is "$kind" "$(ssh-keygen -y -f "k_$kind" | cut -d' ' -f2)" "$(cut -d' ' -f2 "k_$kind.pub")"
  ssh-keygen -q -Y sign -f "k_$kind" -n file data 2>/dev/null
  is "signature of $kind" "$(ssh-keygen -Y check-novalidate -n file -s data.sig <data | cut -d' ' -f1)" Good
  rm data.sig
done
eval "$(ssh-agent)" >/dev/null
ssh-add -q k_ed25519
is agent "$(ssh-add -l | wc -l)" 1
kill "$SSH_AGENT_PID"
