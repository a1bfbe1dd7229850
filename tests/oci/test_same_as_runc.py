"""The same output and exit status as in runc, root file system writable and read-only."""
import re
import unittest

from harness import OciTest

SHELL = {
    "status": "exit 7",
    "status_of_a_signal": "kill -TERM $BASHPID; echo not reached",
    "pipeline": "seq 1 2000 | grep 7 | sort -rn | awk '{ s += $1 } END { print s, NR }'; echo ${PIPESTATUS[@]}",
    "pipefail": "set -o pipefail; false | true; echo $?; yes | head -n 3; echo ${PIPESTATUS[@]}",
    "here_document": "cat <<E | tr a-z A-Z\nhere $((6 * 7)) document\nE\ncat <<< 'here string'",
    "traps": "trap 'echo bye' EXIT; trap 'echo usr1' USR1; kill -USR1 $$; trap 'echo int' INT; kill -INT $$; echo end",
    "background_jobs": "for i in 1 2 3; do (exit $i) & done; for p in $(jobs -p); do wait $p; echo $?; done; sleep 100 & kill $!; wait $!; echo $?",
    "process_substitution": "diff <(seq 1 5) <(seq 2 6); echo $?; while read -r x; do echo got $x; done < <(printf '1\\n2\\n')",
    "coprocess": "coproc cat; echo through >&${COPROC[1]}; read -r line <&${COPROC[0]}; echo $line",
    "functions_and_arrays": "f() { local -a a=(\"$@\"); echo ${#a[@]} ${a[@]: -1}; }; f a 'b c' d; declare -A m=([k]=v); echo ${m[k]}",
    "redirections": "exec 5>/tmp/x; echo five >&5; exec 5>&-; cat /tmp/x; ls /none 2>&1 >/dev/null | wc -l; echo a > /dev/null; echo more >> /tmp/x; wc -c < /tmp/x",
    "standard_input": "read -r a; echo \"got $a\"; cat",
    "fifo": "mkfifo /tmp/f; echo through a fifo > /tmp/f & cat /tmp/f; wait; stat -c '%F %a' /tmp/f",
    "identity": "id; umask; pwd; hostname; echo $HOME $PATH; ulimit -n; nproc >/dev/null && echo ok",
    "timeout": "timeout 0.2 sleep 10; echo $?; timeout -s KILL 0.2 sleep 10; echo $?",
    "standard_streams": "echo out; echo err >&2; ls -l /proc/self/fd/0 | grep -c pipe",
}

COREUTILS = {
    "text": "cd /tmp; seq 1 20 > n; head -3 n; tail -2 n; cut -c1 n | uniq -c; tac n | head -1; nl n | tail -1; paste -sd+ n; rev n | tail -1; split -l 7 n part; ls part*; cksum n; md5sum n; sha256sum n; od -c n | head -2; tr 1 x < n | head -1; fold -w 3 n | wc; comm -12 n <(seq 5 8); join <(seq 1 3) <(seq 2 4); shuf -i 1-5 | sort; factor 123456789; expr 3 \\* 4; base64 n | head -1",
    "files": "cd /tmp; mkdir -p a/b/c; touch a/f; cp -a a b; mv b/f b/g; ln -s f a/l; ln a/f a/h; readlink -f a/l; rm -r b/b; rmdir -p a/b/c 2>/dev/null; install -m 750 -d d; install -m 640 /etc/hostname d/x; chmod g+w d/x; chown 1:2 d/x; stat -c '%n %a %u %g %h %s %F' d d/x a/l a/h; ls -lnR --time-style=+ d a | grep -v total; truncate -s 5 t; stat -c %s t; dd if=/dev/zero of=z bs=1k count=8 2>/dev/null; stat -c %s z; mktemp -u XXXX >/dev/null && echo ok; realpath a/../d; du -a --apparent-size d | wc -l; test -L a/l && echo link; sync; touch -d @1000 t; stat -c %Y t; basename /a/b.c .c; dirname /a/b",
    "sort_large": "seq 200000 | shuf --random-source=<(yes) | sort -n -S 1M -T /tmp | md5sum",
    "xargs_find": "cd /tmp; for i in $(seq 50); do echo $i > f$i; done; find . -name 'f*' -print0 | sort -z | xargs -0 -n 7 cat | wc -l; find . -newer f10 -type f -name 'f1*' | wc -l >/dev/null; find . -size 2c | sort | head -3; find . -name 'f?' -delete; ls | wc -l",
    "tee_and_env": "cd /tmp; echo x | tee a b >/dev/null; cat a b; env -i A=1 env; printenv HOME; nice -n 5 nice; nohup true 2>/dev/null; echo $?; stdbuf -oL echo ok; date -u -d @86400 +%F; yes | head -c 10 | wc -c; seq -s, 5; numfmt --to=iec 2048; pr -h x -l 20 /etc/debian_version | wc -l; tsort <<< 'a b b c'",
    "tar": "cd /tmp; tar cf t.tar -C /usr/share perl5 2>/dev/null; mkdir x; tar xf t.tar -C x; diff -r /usr/share/perl5 x/perl5 && echo same; tar tf t.tar | wc -l; tar czf t.tgz -C x perl5 && tar tzf t.tgz | wc -l",
}

PROGRAMS = {
    "find": "find / -xdev -not -path '/tmp*' -printf '%p %y %m %u %g\\n' 2>/dev/null | sort | md5sum; find / -xdev -type f -name '*.py' | wc -l",
    "grep": "grep -r --include='*.h' pthread_mutex /usr/include | sort | md5sum; grep -rl Debian /etc 2>/dev/null | sort",
    "perl": "perl -e 'my %h; $h{$_ % 7}++ for 1..100; print join(\",\", map { \"$_=$h{$_}\" } sort keys %h), \"\\n\"; print qx(echo child); my $p = fork // die; if (!$p) { exit 3 } waitpid $p, 0; print $? >> 8, \"\\n\"; $SIG{ALRM} = sub { print \"alarm\\n\"; exit 4 }; alarm 1; select undef, undef, undef, 10'",
    "git": "cd /tmp; export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'; git init -q -b main r; cd r; git config user.email a@b; git config user.name a; for i in $(seq 100); do echo $i > f$i; done; git add .; git commit -qm first; echo change >> f1; git commit -qam second; git log --stat --format=%H | cat; git status --short; git gc -q; git fsck; git branch x; git checkout -q x; git diff main~1 --stat | cat",
    "gcc": "cd /tmp; printf '#include <stdio.h>\\n#include <pthread.h>\\nstatic void* f(void* x) { return x; }\\nint main(void) { pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); printf(\"compiled %%d\\\\n\", 6 * 7); return 9; }\\n' > hello.c; gcc -O2 -Wall hello.c -o a.out && ./a.out; echo $?; gcc -static hello.c -o s.out && ./s.out; echo $?",
    "dpkg": "cd /tmp; mkdir -p p/DEBIAN p/usr/local/bin; printf 'Package: tiny\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: tiny\\n' > p/DEBIAN/control; printf '#!/bin/sh\\necho postinst $1\\n' > p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst; printf '#!/bin/sh\\necho tiny runs\\n' > p/usr/local/bin/tiny; chmod 755 p/usr/local/bin/tiny; dpkg-deb --root-owner-group -b p tiny.deb >/dev/null && dpkg -i tiny.deb; tiny; dpkg -s tiny | grep Status; dpkg -r tiny; dpkg -l | wc -l",
}

PYTHON = {
    "threads": """
import threading, queue
q = queue.Queue(); total = [0]; lock = threading.Lock()
def work():
    while (n := q.get()) is not None:
        with lock: total[0] += n
ts = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in ts]
[q.put(n) for n in range(10000)]
[q.put(None) for _ in ts]
[t.join() for t in ts]
print(total[0])""",
    "subprocess": """
import subprocess, signal, os
print(subprocess.run(['sort', '-r'], input=b'a\\nb\\nc\\n', stdout=subprocess.PIPE).stdout)
p = subprocess.Popen(['sleep', '100']); p.terminate(); print(p.wait())
print(subprocess.run('exit 5', shell=True).returncode)
print([subprocess.run(['true']).returncode for _ in range(20)])
try: subprocess.run(['sleep', '10'], timeout=0.1)
except subprocess.TimeoutExpired: print('timeout')
try: subprocess.run(['/no/such'])
except FileNotFoundError as e: print(e)
r, w = os.pipe(); subprocess.run(['sh', '-c', f'echo through >&{w}'], pass_fds=[w]); print(os.read(r, 100))""",
    "asyncio": """
import asyncio
async def serve(r, w):
    while data := await r.readline(): w.write(data.upper()); await w.drain()
    w.close()
async def client(port, n):
    r, w = await asyncio.open_connection('127.0.0.1', port)
    w.write(f'hello {n}\\n'.encode()); line = await r.readline(); w.close(); return line.decode().strip()
async def main():
    s = await asyncio.start_server(serve, '127.0.0.1', 0); port = s.sockets[0].getsockname()[1]
    print(await asyncio.gather(*[client(port, n) for n in range(20)]))
    p = await asyncio.create_subprocess_shell('echo child; exit 3', stdout=asyncio.subprocess.PIPE)
    print(await p.stdout.read(), await p.wait())
    try: await asyncio.wait_for(asyncio.sleep(10), 0.05)  # NOLINT(sleep): the guest does
    except asyncio.TimeoutError: print('timeout')
asyncio.run(main())""",
    "multiprocessing": """
import multiprocessing as mp
def square(n): return n * n
def put(q, n): q.put(n)
if __name__ == '__main__':
    with mp.Pool(4) as pool: print(sum(pool.map(square, range(1000))))
    q = mp.Queue(); ps = [mp.Process(target=put, args=(q, n)) for n in range(5)]
    [p.start() for p in ps]; print(sorted(q.get() for _ in ps)); [p.join() for p in ps]
    v = mp.Value('i', 0)
    def add(v):
        for _ in range(1000):
            with v.get_lock(): v.value += 1
    ps = [mp.Process(target=add, args=(v,)) for _ in range(4)]
    [p.start() for p in ps]; [p.join() for p in ps]; print(v.value)
    from multiprocessing import shared_memory
    m = shared_memory.SharedMemory(create=True, size=100); m.buf[0] = 7
    n = shared_memory.SharedMemory(name=m.name); print(n.buf[0]); n.close(); m.close(); m.unlink()""",
    "files": """
import os, mmap, tempfile, select, socket, fcntl, time
with tempfile.NamedTemporaryFile() as f:
    f.write(b'x' * 8192); f.flush(); m = mmap.mmap(f.fileno(), 0); m[0:5] = b'hello'; m.flush(); print(open(f.name,'rb').read(6))
    fcntl.flock(f, fcntl.LOCK_EX); os.ftruncate(f.fileno(), 10); print(os.stat(f.name).st_size)
a, b = socket.socketpair(); a.send(b'x'); print(select.select([b], [], [], 1)[0] == [b])
e = select.epoll(); e.register(b, select.EPOLLIN); print(len(e.poll(1)))
print(sorted(os.listdir('/')) != [], os.getpid() > 0, time.monotonic() > 0)
print([os.get_terminal_size.__name__], os.cpu_count() >= 1, len(os.urandom(5)))""",
}


class SameAsRunc(OciTest):
    def compare(self, args, stdin="", normalise=None):
        for writable in (True, False):
            with self.subTest(writable=writable):
                other = self.other_runtime()
                want = other.run(self.bundle(args, writable=writable), stdin=stdin, timeout=120)
                got = self.runsc.run(self.bundle(args, writable=writable), stdin=stdin, timeout=120)
                if normalise:
                    want.out, got.out = normalise(want.out), normalise(got.out)
                self.assertEqual(want.out, got.out, got.err)
                self.assertEqual(want.status, got.status, got.err)

    def test_ps(self):
        def columns(text):  # user and command of every process: the rest varies
            lines = [line.split(None, 10) for line in text.splitlines()]
            return [(words[0], words[10]) for words in lines]

        self.compare(["/bin/bash", "-c", "sleep 100 & ps aux; kill $!"], normalise=columns)

    def test_process_files(self):
        self.compare(["/bin/bash", "-c", "tr '\\0' ' ' < /proc/self/cmdline; echo; cut -d' ' -f2 /proc/self/stat; "
                      "grep -E '^(Name|Tgid|PPid|Uid|Gid|Groups|Threads|CapEff|CapBnd|NoNewPrivs)' /proc/self/status; "
                      "readlink /proc/self/exe /proc/self/cwd /proc/self/root; ls /proc/self/task | wc -l"])

    def test_mount_table_names_the_mounts(self):
        self.compare(["/bin/sh", "-c", "awk '{ print $2, $3 }' /proc/mounts"],
                     normalise=lambda text: sorted(line for line in text.splitlines()
                                                   if re.match(r"/(proc|dev|dev/pts|dev/shm|sys|tmp) ", line)))

    def test_users(self):
        for user in ({"uid": 1234, "gid": 4321}, {"uid": 1234, "gid": 4321, "additionalGids": [5, 6], "umask": 0o77}):
            args = ["/bin/sh", "-c", "id -u; id -g; id -G; umask; touch /tmp/x && stat -c '%u %g %a' /tmp/x; cat /etc/shadow; echo $?; kill -0 1"]
            other = self.other_runtime()
            want = other.run(self.bundle(args, user=user))
            self.assertEqual(want, self.runsc.run(self.bundle(args, user=user)))

    def test_process_settings(self):
        changes = {"cwd": "/usr/share", "env": ["PATH=/bin:/usr/bin", "A=b c", "EMPTY="], "noNewPrivileges": True,
                   "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 123, "hard": 456}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
                   "caps": ["CAP_CHOWN", "CAP_KILL"]}
        args = ["sh", "-c", "pwd; env | grep -v -E '^(PWD|SHLVL|_|HOME)='; ulimit -Sn; ulimit -Hn; ulimit -c; "
                "grep -E 'NoNewPrivs|Cap(Eff|Bnd|Prm)' /proc/self/status; chroot / true; echo $?"]
        other = self.other_runtime()
        want = other.run(self.bundle(args, **changes))
        self.assertEqual(want, self.runsc.run(self.bundle(args, **changes)))

    def test_read_only_and_masked(self):
        args = ["/bin/sh", "-c", "touch /x; echo $?; echo 1 > /proc/sys/kernel/panic; echo $?; wc -c < /proc/kcore; wc -c < /proc/timer_list; "
                "ls /sys/firmware | wc -l; touch /tmp/ok && echo writable"]
        other = self.other_runtime()
        want = other.run(self.bundle(args))
        self.assertEqual(want, self.runsc.run(self.bundle(args)))


def add_cases(group, cases, make_args):
    for name, text in cases.items():
        def test(self, text=text):
            self.compare(make_args(text), stdin="first line\nsecond line\n")
        setattr(SameAsRunc, f"test_{group}_{name}", test)


add_cases("shell", SHELL, lambda text: ["/bin/bash", "-c", text])
add_cases("coreutils", COREUTILS, lambda text: ["/bin/bash", "-c", text])
add_cases("program", PROGRAMS, lambda text: ["/bin/bash", "-c", text])
add_cases("python", PYTHON, lambda text: ["/usr/bin/python3", "-c", text])

if __name__ == "__main__":
    unittest.main()
