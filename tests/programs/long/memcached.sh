#!/bin/bash
# memcached with four threads and many clients.
. "$(dirname "$0")/../lib.sh"

memcached -u root -p 7792 -t 4 -m 64 & server=$!
cat >all.py <<'P'
import socket, threading
def client(n):
    with socket.create_connection(("127.0.0.1", 7792)) as s:
        f = s.makefile("rwb")
        for i in range(200):
            value = f"{n}.{i}".encode() * 50
            f.write(b"set k%d.%d 0 0 %d\r\n%s\r\n" % (n, i, len(value), value)); f.flush()
            assert f.readline() == b"STORED\r\n"
            f.write(b"get k%d.%d\r\nincr c 1\r\n" % (n, i)); f.flush()
            assert f.readline().startswith(b"VALUE") and f.readline() == value + b"\r\n" and f.readline() == b"END\r\n"
            int(f.readline())
with socket.create_connection(("127.0.0.1", 7792)) as s:
    s.sendall(b"set c 0 0 1\r\n0\r\n"); s.recv(100)
    threads = [threading.Thread(target=client, args=(n,)) for n in range(20)]
    for t in threads: t.start()
    for t in threads: t.join()
    s.sendall(b"get c\r\n"); print(s.recv(100).split()[4].decode())
P
eventually bash -c ': </dev/tcp/127.0.0.1/7792'
is count "$(python3 all.py)" 4000
kill $server
wait $server || true
