#!/bin/bash
# Java: start, and keytool as a program of its own.
. "$(dirname "$0")/../lib.sh"

java -Xshare:auto -version 2>version
is version "$(grep -c OpenJDK version)" 2
for gc in Serial G1 Z; do java "-XX:+Use${gc}GC" -Xmx64m -version 2>/dev/null; done
keytool -genkeypair -alias a -keyalg RSA -keysize 2048 -dname CN=sandbox -storepass secret -keystore k 2>/dev/null
is keys "$(keytool -list -storepass secret -keystore k 2>/dev/null | grep -c PrivateKeyEntry)" 1
keytool -exportcert -rfc -alias a -storepass secret -keystore k 2>/dev/null >cert
is "owner" "$(keytool -printcert -file cert | sed -n 's/^Owner: //p')" CN=sandbox
