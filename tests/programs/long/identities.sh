#!/bin/bash
# Users: useradd, su, setuid and setgid binaries, dropped groups and capabilities, file permissions between users.
. "$(dirname "$0")/../lib.sh"

useradd --create-home --home-dir "$work/home" --shell /bin/bash guest
trap 'status=$?; cd /; userdel guest; rm -rf "$work"; exit $status' EXIT
id=$(id -u guest)
is "user by su" "$(su guest -c 'id -u; id -un; echo $HOME' | xargs)" "$id guest $work/home"
is "login by su" "$(su - guest -c pwd)" "$work/home"
is "back to root by su" "$(su guest -c 'su -c id' </dev/null 2>&1 | tail -n 1)" "Password: su: Authentication failure"
echo "guest:secret" | chpasswd
is "password" "$(python3 - <<'END'
import os, pty
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("setpriv", ["setpriv", "--reuid=65534", "--clear-groups", "su", "guest", "-c", "id -un"])
seen = b""
try:
    while chunk := os.read(terminal, 1024):
        seen += chunk
        if seen.endswith(b"Password: "):
            os.write(terminal, b"secret\n")
except OSError:
    pass
print(seen.decode().split()[-1])
END
)" guest

cp /usr/bin/id setuid-id
chown guest setuid-id
chmod 4755 setuid-id
is "setuid" "$(setpriv --reuid=65534 --clear-groups ./setuid-id -u)" "$id"
is "real user" "$(setpriv --reuid=65534 --clear-groups ./setuid-id -ru)" 65534
is "setuid without new privileges" "$(setpriv --no-new-privs --reuid=65534 --clear-groups ./setuid-id -u)" 65534
chown root:guest setuid-id
chmod 2755 setuid-id
is "setgid" "$(setpriv --reuid=65534 --regid=65534 --clear-groups ./setuid-id -g)" "$(id -g guest)"
is "groups" "$(setpriv --reuid=guest --regid=guest --groups=4,20 id -G)" "$(id -g guest) 4 20"

echo secret >owned
chmod 600 owned
is "another's file" "$(su guest -c 'cat owned' 2>&1)" "cat: owned: Permission denied"
chown guest owned
is "his file" "$(su guest -c 'cat owned')" secret
su guest -c 'chown root owned' 2>err && fail "a user gave a file away"
is "capabilities of a user" "$(su guest -c "grep CapEff /proc/self/status" | cut -f 2)" 0000000000000000
is "without CAP_CHOWN" "$(setpriv --bounding-set=-chown --inh-caps=-chown chown guest owned 2>&1 | tail -c 24)" "Operation not permitted"
is "kill another's process" "$(su guest -c "kill $$" 2>&1 | grep -c 'not permitted')" 1
