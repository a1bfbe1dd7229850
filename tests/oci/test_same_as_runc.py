"""The same output and exit status as in runc, root file system writable and read-only."""
import re
import unittest

from comparison import Comparison

SHELL = {
    "status": "exit 7",
    "status_of_a_signal": "kill -TERM $BASHPID; echo not reached",
    "pipeline": "seq 1 2000 | grep 7 | sort -rn | awk '{ s += $1 } END { print s, NR }'; echo ${PIPESTATUS[@]}",
    "pipefail": "set -o pipefail; false | true; echo $?; yes | head -n 3; echo ${PIPESTATUS[@]}",
    "here_document": "cat <<E | tr a-z A-Z\nhere $((6 * 7)) document\nE\ncat <<< 'here string'",
    "traps": "trap 'echo bye' EXIT; trap 'echo usr1' USR1; kill -USR1 $$; trap 'echo int' INT; kill -INT $$; echo end",
    "background_jobs": "for i in 1 2 3; do (exit $i) & p[i]=$!; done; for i in 1 2 3; do wait ${p[i]}; echo $?; done; sleep 100 & kill $!; wait $!; echo $?",
    "job_control": """
set -m
sleep 100 & kill -STOP %1; while ! jobs -s | grep -q sleep; do :; done; jobs %1
kill -CONT %1; while ! jobs -r | grep -q sleep; do :; done; jobs %1; kill %1; wait %1; echo $?
(kill -STOP $BASHPID; exit 6); echo stopped $?; fg %% >/dev/null; echo $?
for i in 5 6; do (sleep 0.0$i; exit $i) & done; wait -n; wait -n; echo $?; wait; echo $?; disown -a; jobs
sleep 100 | cat & kill -- -$!; wait $! 2>/dev/null; kill %% 2>/dev/null; wait; echo over""",
    "traps_of_all_kinds": """
trap 'echo debug: $BASH_COMMAND' DEBUG; :; trap - DEBUG
trap 'echo err $?' ERR; false; (exit 3); trap - ERR
trap 'echo exit of the subshell' EXIT; (trap 'echo inner' EXIT; exit 2); echo $?; $(exit 1) || echo substituted
trap '' TERM; (kill -TERM $BASHPID; echo ignored in a child); bash -c 'kill -TERM $$; echo ignored behind exec'; trap - TERM
trap 'echo alarm' ALRM; (sleep 0.1; kill -ALRM $$) & wait $!; wait; echo $?
trap 'echo chld' CHLD; true & wait $!; trap - CHLD
trap 'echo hup; exit 9' HUP; trap -p HUP; kill -HUP $$; echo not reached""",
    "here_documents_of_all_kinds": """
v='a b'; cat <<'Q'; cat <<-T; cat <<E1; cat <<E2
$v stays $(as it is)
Q
\t\tno tabs $v
\tT
${v// /_} $(echo $((1 << 10))) \\$v
E1
E2
wc -c <<< "$(head -c 200000 /dev/zero | tr '\\0' x)"; (cat; cat <&3) <<A 3<<B
to zero
A
to three
B
while read -r x; do echo "<$x>"; cat /proc/self/fd/0 | head -1; break; done <<< $'one\\ntwo'""",
    "statuses_of_signals": """
ulimit -c 0
for s in HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT XCPU XFSZ VTALRM PROF IO PWR SYS RTMIN RTMAX; do
  sh -c "kill -$s \\$\\$" 2>/dev/null; echo $s $?; done
yes 2>/dev/null | head -1; echo ${PIPESTATUS[@]}; nosuchcommand 2>/dev/null; echo $?; /etc/passwd 2>/dev/null; echo $?; sh -c 'exit 300'; echo $?""",
    "big_output": "seq 300000; seq 100000 >&2; head -c 3000000 /dev/zero | tr '\\0' y | fold -w 997 | tail -n 1000",
    "big_input": "head -c 1000; dd bs=1 count=10 2>/dev/null; wc; md5sum < /dev/null; cat",
    "limits": "for l in c d e f i l m n p q r s t u v x; do echo $l $(ulimit -S$l) $(ulimit -H$l); done | grep -v -E '^[ipu] '; ulimit -n 10; exec 9</dev/null; exec 10</dev/null; echo $?; ulimit -f 1; head -c 5000 /dev/zero > /tmp/big; echo $? $(stat -c %s /tmp/big); (ulimit -u 0; ulimit -Su)",
    "limit_of_cpu_time": "(ulimit -c 0; ulimit -St 1; while :; do :; done); echo $?; (ulimit -t 1; trap '' XCPU; while :; do :; done); echo $?; ulimit -t 1; while :; do :; done",
    "names_and_globs": "cd /usr/lib; echo */ | wc -w; shopt -s globstar; ls -d python3*/**/__init__.py | wc -l; echo {a..e}{1..3}; echo /bin/l?[s]; for f in /etc/*.conf; do test -r $f && echo $f; done; echo ~ ~root ~daemon",
    "umask_and_modes": "cd /tmp; for u in 0 022 077 0777; do umask $u; touch f$u; mkdir d$u; stat -c '%n %a' f$u d$u; done; umask 022; umask -S; chmod 6755 f0; stat -c %A f0; chown 5:5 f0; stat -c %A f0; mkdir -m 2775 g; chgrp 7 g; touch g/f; mkdir g/d; stat -c '%A %g' g/f g/d; chmod 1777 g; stat -c %A g",
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
    "more_text": "cd /tmp; seq 1 30 > n; b2sum n; sha1sum n; sha224sum n; sha384sum n; sha512sum n > s; sha512sum -c s; sum n; base32 n | tail -1; basenc --base16 n | head -1; csplit -s n 10 20; wc -l xx*; expand <<< $'a\\tb'; unexpand -a <<< 'a               b'; fmt -w 20 n | head -2; ptx <<< 'a b c' ; pathchk -p 'a:b'; echo $?; truncate -s 3 n; od -An -tx1 n; printf '%s|%5d|%q\\n' a 7 'x y'; echo -e 'a\\x41'; test 1 -lt 2 -a -d / ; echo $?; [ -f /none ]; echo $?; getconf PAGE_SIZE; getopt -o ab: -- -a -b c d; dircolors -b | head -c 9; sdiff -s <(seq 3) <(seq 2 4); cmp <(seq 3) <(seq 4); diff3 <(seq 3) <(seq 3) <(seq 4); strings /bin/true | grep -c GLIBC",
    "more_files": "cd /tmp; mkdir s; (cd s; mkfifo p; mknod n c 1 3; mknod b b 7 99 2>&1; ln -s /none dangling; link /etc/hostname h 2>/dev/null || echo no link; echo x > r; link r r2; unlink r; ls -l --time-style=+ | tail -n +2); cp -r --preserve=all s t; ls -ln --time-style=+ t | tail -n +2; chgrp -R 3 s; chown -h 4:4 s/dangling; stat -c '%n %u:%g %t:%T' s/*; shred -u s/r2; vdir --time-style=+ s | wc -l; dir s; echo y > s/y; cp --sparse=always s/y z; cp -u z s/y; mv -n z s/y; mv -b s/y z; ls; rm -f nothing; rm nothing; echo $?; rmdir s; echo $?; rm -rf s t; ls; df -P . | wc -l; sync -f .; fallocate -l 8192 fa; stat -c '%s %b' fa; chattr +i fa 2>/dev/null; cp --reflink=auto fa fb; cmp fa fb && echo same; namei -m /usr/bin/env | tail -1; mountpoint /proc; mountpoint -q /usr; echo $?; ln -sfn a l; ln -sfn b l; readlink l; touch -r /etc/passwd l2; find . -newermt 2001-01-01 -name fb; install -D -o 3 -g 4 -m 4711 fa q/w/e; stat -c '%a %u %g' q/w/e; date -u -d 2024-02-30 2>/dev/null; echo $?; ls -i fa | wc -w; realpath --relative-to=/usr/lib /etc; mktemp -d -p . X.XXXX | wc -c",
    "more_processes": "arch; whoami; groups; id -nG; logname 2>/dev/null; echo $?; tty; echo $?; users; who; uname -s -m -o; nproc --all > /dev/null && echo ok; chroot / /bin/echo in a root; chroot --userspec=33:33 / id; nice -n 19 nice; ionice; env -u HOME -C /usr pwd; env -S 'A=b printenv A'; timeout --foreground 0.1 sleep 9; echo $?; timeout --preserve-status -k 1 0.1 sleep 9; echo $?; setsid -w sh -c 'exit 4'; echo $?; setpriv --reuid 33 --regid 33 --clear-groups id; su -s /bin/sh -c 'id; echo $HOME' daemon; runuser -u nobody -- id -un; flock /tmp/l sh -c 'flock -n /tmp/l true; echo $?'; taskset -p $$ | wc -l; prlimit --nofile --noheadings; pidof -s bash >/dev/null; echo $?; pgrep -x bash; sleep infinity & until pkill -x sleep; do :; done; wait $!; echo $?; start-stop-daemon -S -b -m -p /tmp/pid -x /bin/sleep -- 50; start-stop-daemon -K -p /tmp/pid; echo $?; lscpu >/dev/null; echo $?; free >/dev/null; echo $?; vmstat >/dev/null; echo $?; uptime >/dev/null; echo $?; top -b -n 1 | sed 1,7d | awk '{ print $2, $12 }' | sort; pstree 2>/dev/null; w -h; kill -l 9; kill -l | head -c 20; dmesg 2>/dev/null | wc -l; mount -t tmpfs t /mnt 2>/dev/null; echo $?; nsenter -t 1 -m true 2>/dev/null; echo $?; sysctl kernel.ostype; fincore /bin/true | wc -l; lsns >/dev/null; echo $?; stty 2>/dev/null; echo $?; watch -v | wc -l; script -qc 'tty >/dev/null && echo on a terminal' /dev/null",
    "text": "cd /tmp; seq 1 20 > n; head -3 n; tail -2 n; cut -c1 n | uniq -c; tac n | head -1; nl n | tail -1; paste -sd+ n; rev n | tail -1; split -l 7 n part; ls part*; cksum n; md5sum n; sha256sum n; od -c n | head -2; tr 1 x < n | head -1; fold -w 3 n | wc; comm -12 n <(seq 5 8); join <(seq 1 3) <(seq 2 4); shuf -i 1-5 | sort; factor 123456789; expr 3 \\* 4; base64 n | head -1",
    "files": "cd /tmp; mkdir -p a/b/c; touch a/f; cp -a a b; mv b/f b/g; ln -s f a/l; ln a/f a/h; readlink -f a/l; rm -r b/b; rmdir -p a/b/c 2>/dev/null; install -m 750 -d d; install -m 640 /etc/hostname d/x; chmod g+w d/x; chown 1:2 d/x; stat -c '%n %a %u %g %h %s %F' d d/x a/l a/h; ls -lnR --time-style=+ d a | grep -v total; truncate -s 5 t; stat -c %s t; dd if=/dev/zero of=z bs=1k count=8 2>/dev/null; stat -c %s z; mktemp -u XXXX >/dev/null && echo ok; realpath a/../d; du -a --apparent-size d | wc -l; test -L a/l && echo link; sync; touch -d @1000 t; stat -c %Y t; basename /a/b.c .c; dirname /a/b",
    "sort_large": "seq 200000 | shuf --random-source=<(yes) | sort -n -S 1M -T /tmp | md5sum",
    "xargs_find": "cd /tmp; for i in $(seq 50); do echo $i > f$i; done; find . -name 'f*' -print0 | sort -z | xargs -0 -n 7 cat | wc -l; find . -newer f10 -type f -name 'f1*' | wc -l >/dev/null; find . -size 2c | sort | head -3; find . -name 'f?' -delete; ls | wc -l",
    "tee_and_env": "cd /tmp; echo x | tee a b >/dev/null; cat a b; env -i A=1 env; printenv HOME; nice -n 5 nice; nohup true 2>/dev/null; echo $?; stdbuf -oL echo ok; date -u -d @86400 +%F; yes | head -c 10 | wc -c; seq -s, 5; numfmt --to=iec 2048; pr -h x -l 20 /etc/debian_version | wc -l; tsort <<< 'a b b c'",
    "tar": "cd /tmp; tar cf t.tar -C /usr/share perl5 2>/dev/null; mkdir x; tar xf t.tar -C x; diff -r /usr/share/perl5 x/perl5 && echo same; tar tf t.tar | wc -l; tar czf t.tgz -C x perl5 && tar tzf t.tgz | wc -l",
}

PROGRAMS = {
    "package_scripts": "update-alternatives --install /usr/bin/thing thing /bin/true 10; update-alternatives --install /usr/bin/thing thing /bin/false 20; update-alternatives --display thing | tail -4; /usr/bin/thing; echo $?; groupadd -r friends; useradd -r -m -d /home/f -s /bin/sh -g friends friend; su friend -c 'id -un; pwd; cd; pwd; touch x; stat -c %U:%G x'; usermod -a -G audio friend; id -nG friend; userdel -r friend; getent passwd friend; echo $?; adduser --system --no-create-home --quiet abc 2>/dev/null; id -nu abc; dpkg-divert --local --rename --add /usr/bin/shuf; ls /usr/bin/shuf*; dpkg-divert --list | grep -c shuf; dpkg-statoverride --add root daemon 2750 /usr/bin/sum; dpkg-statoverride --list; ldconfig; echo $?; ldconfig -p | grep -c libc.so; run-parts --test /etc/cron.daily; savelog -q /etc/hostname; ls /etc/hostname*; deb-systemd-helper enable x 2>/dev/null; update-rc.d x defaults 2>/dev/null; invoke-rc.d x start 2>/dev/null; echo $?; add-shell /bin/x; grep -c /bin/x /etc/shells; ischroot; echo $?; tempfile 2>/dev/null | wc -l; which -a env; iconv -f utf8 -t latin1 <<< é | od -An -c; localedef --help >/dev/null; echo $?; debconf-show debconf 2>/dev/null | wc -l",
    "dpkg_whole": "cd /tmp; dpkg --verify 2>/dev/null | grep -v -E ' (/etc/(hosts|hostname|resolv)|/usr/share/(doc|man|locale))' | head; dpkg -l | md5sum; dpkg -S /bin/ls; dpkg-query -W -f '${Package} ${Status}\\n' bash; dpkg --configure -a; echo $?; dpkg-trigger --check-supported; echo $?; mkdir -p p/DEBIAN p/etc p/usr/lib/x; printf 'Package: conf\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: conf\\nDepends: bash (>= 5)\\n' > p/DEBIAN/control; echo /etc/conf.conf > p/DEBIAN/conffiles; echo one > p/etc/conf.conf; for s in preinst prerm postrm postinst; do printf '#!/bin/sh\\nset -e\\necho %s \"$@\" $DPKG_MAINTSCRIPT_NAME $DPKG_MAINTSCRIPT_PACKAGE\\n' $s > p/DEBIAN/$s; chmod 755 p/DEBIAN/$s; done; for i in $(seq 300); do echo $i > p/usr/lib/x/$i; done; dpkg-deb --root-owner-group -Zxz -b p 1.deb; sed -i 's/Version: 1/Version: 2/' p/DEBIAN/control; echo two > p/etc/conf.conf; rm p/usr/lib/x/7; dpkg-deb --root-owner-group -Zgzip -b p 2.deb; dpkg-deb -c 1.deb | wc -l; dpkg-deb -I 2.deb | grep -c inst; dpkg -i 1.deb; echo changed >> /etc/conf.conf; dpkg -i --force-confold 2.deb 2>&1 | grep -v Preparing; ls /usr/lib/x | wc -l; cat /etc/conf.conf; dpkg -V conf; dpkg -L conf | wc -l; dpkg -r conf; dpkg -s conf | grep Status; dpkg -P conf; ls /usr/lib/x /etc/conf.conf; apt-cache policy bash | head -3; apt-get -s install nosuchpackage; echo $?; apt-get -qq check; echo $?",
    "git_whole": "cd /tmp; export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' HOME=/tmp GIT_PAGER=cat; git config --global user.email a@b; git config --global user.name a; git config --global init.defaultBranch main; git init --bare up.git; git clone -q up.git r 2>&1; cd r; cp -r /usr/share/perl/5.36.0 src; chmod 755 src/strict.pm; ln -s strict.pm src/l; git add -A; git commit -q -m first; git push -q origin main; git log --oneline | cat; git checkout -q -b side; git mv src/strict.pm src/moved.pm; sed -i s/use/USE/ src/warnings.pm; git commit -qam side; git checkout -q main; sed -i '1s/^/# top/' src/moved.pm src/strict.pm 2>/dev/null; git commit -qam main; git merge -q side -m merge; git log --graph --format='%H %s' --stat | md5sum; git checkout -q -b tip HEAD~1; echo y >> src/Symbol.pm; git commit -qam tip; git rebase -q side; git log -1 --format=%s; git checkout -q main; git stash list; echo x >> src/Carp.pm; git stash -q; git stash pop -q; git diff --stat; git checkout -q -- .; git tag -a v1 -m v1; git describe; git rev-parse HEAD; git archive HEAD | tar t | wc -l; git repack -adq; git gc -q --aggressive --prune=now; git fsck --full; git clone -q --depth 1 file:///tmp/r ../c; git -C ../c log --oneline | wc -l; git bisect start HEAD HEAD~1 >/dev/null; git bisect reset -q; git grep -c package src | md5sum; git blame src/Carp.pm | tail -1; git worktree add -q ../w side; git worktree list | wc -l; git submodule status; git status --short | head; git ls-files | wc -l; git reflog | wc -l; git clean -qfdx; git bundle create ../b main 2>/dev/null; git bundle verify ../b >/dev/null; echo $?",
    "tar_whole": "cd /tmp; mkdir -p a/d; echo x > a/f; ln a/f a/h; ln -s f a/l; mkfifo a/p; mknod a/n c 1 3; chown 12:34 a/f; chmod 4755 a/f; touch -d @1000000000.5 a/f; truncate -s 1M a/sparse; mkdir b; tar c a | tar xp -C b; (cd b; ls -lnR --time-style=full-iso a | grep -v -E 'total|^[dp]' | awk '{ $6 = $7 = $8 = \"\"; print }'); stat -c %y b/a/f; tar cSzf s.tgz a; tar tzf s.tgz | sort; tar xzf s.tgz --strip-components=1 -C b; cmp a/sparse b/sparse && echo same; tar cf - -C / usr/bin usr/lib/python3 usr/include 2>/dev/null | md5sum | wc -c; tar cf big.tar -C / usr/lib/python3.11 usr/include; tar xf big.tar; diff -r /usr/include usr/include && echo same; tar df big.tar -C / && echo no difference; tar rf big.tar a/f; tar --delete -f big.tar a/f; tar uf big.tar a/f; tar tf big.tar | tail -1; tar xOf big.tar a/f; find usr | wc -l; find usr -type f -print0 | sort -z | xargs -0 cat | md5sum; tar czf - usr | gzip -d | tar t | wc -l; tar xf /none; echo $?; rm -r usr; ls",
    "find_and_grep": "find / -xdev -type f -perm /6000 | sort; find / -xdev -type l -printf '%p %l\\n' 2>/dev/null | sort | md5sum; find / -xdev -type d -empty 2>/dev/null | grep -v -E '^/(tmp|dev|proc|sys)' | sort; find / -xdev -nouser; find / -xdev -path '/tmp*' -prune -o -type f -size +1M -printf '%p %s %n\\n' | sort; find /usr/lib -maxdepth 2 -name '*.so*' | sort | md5sum; find /usr -xdev -type f -newermt 2000-01-01 -printf '%T+ %p\\n' | sort | md5sum; find /etc -type f -exec md5sum {} + 2>/dev/null | grep -v -E '/etc/(hosts|hostname|resolv.conf|mtab)' | sort -k2 | md5sum; find / -xdev -samefile /usr/bin/perl | sort; grep -r --include='*.py' -l asyncio /usr/lib/python3.11 | sort | md5sum; grep -rnE '^(root|daemon)' /etc 2>/dev/null | sort; grep -rc include /usr/include | grep -v ':0$' | sort | md5sum; grep -rL e /etc/default; du -s --apparent-size /usr/share/perl5 /usr/include; ls -lR --time-style=full-iso /usr/share | grep -v total | md5sum; file=/usr/bin/perl; cmp $file $file && md5sum $file < $file; sha256sum /usr/bin/* 2>/dev/null | sha256sum",
    "perl_whole": """perl -MPOSIX -MSocket -MIO::Select -MFcntl=:flock -MTime::HiRes=usleep,ualarm -MFile::Temp -MFile::Find -MIPC::Open3 -we '
$| = 1; my ($r, $w); pipe $r, $w or die; for my $n (1..5) { if (!fork) { close $r; print $w "child $n\\n"; exit $n } }
close $w; print sort <$r>; my %s; while ((my $p = wait) > 0) { $s{$? >> 8}++ } print join(",", sort keys %s), "\\n";
socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC; syswrite $a, "pair"; sysread $b, my $x, 9; print "$x\\n";
my $sel = IO::Select->new($b); print scalar($sel->can_read(0.05)), "\\n"; local $SIG{USR1} = sub { print "usr1\\n" }; kill USR1 => $$;
local $SIG{ALRM} = sub { die "alarm\\n" }; eval { ualarm 50000; select undef, undef, undef, 9 }; print $@;
sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGUSR1)); kill USR1 => $$; my $p = POSIX::SigSet->new; sigpending($p); print $p->ismember(SIGUSR1), "\\n"; sigprocmask(SIG_UNBLOCK, POSIX::SigSet->new(SIGUSR1));
my $t = File::Temp->new(DIR => "/tmp"); flock $t, LOCK_EX | LOCK_NB or die; print $t "x" x 100; $t->flush; print -s $t, "\\n"; my $n = 0; find(sub { $n++ if /\\.pm$/ }, "/usr/share/perl"); print "$n\\n";
my $pid = open3(my $in, my $out, undef, "sort", "-n"); print $in "3\\n1\\n2\\n"; close $in; print <$out>; waitpid $pid, 0; print `echo backticks; exit 3`, $? >> 8, "\\n"; system "kill -9 \\$\\$"; print $? & 127, "\\n";
local $0 = "renamed"; open my $c, "<", "/proc/self/cmdline"; print substr(<$c>, 0, 7), "\\n"; print join(" ", (getpwnam "daemon")[0, 2, 7]), "\\n"; exec "true"'; echo $?""",
    "gcc_whole": """cd /tmp; mkdir m; cd m; for i in 1 2 3; do printf '#include <math.h>\\nint f%d(int x) { return x + (int)sqrt(x * %d); }\\n' $i $i > f$i.c; done
cat > main.c <<'C'
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
int f1(int), f2(int);
static sigjmp_buf back;
static __thread int own;
static void fault(int s, siginfo_t* i, void* c) { (void)c; printf("signal %d code %d\\n", s, i->si_code); siglongjmp(back, 1); }
static void* work(void* x) { own = (int)(long)x; return (void*)(long)(own * 2); }
int main(int n, char** v) {
  struct sigaction a = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &a, 0); sigaction(SIGFPE, &a, 0); sigaction(SIGILL, &a, 0); sigaction(SIGBUS, &a, 0); sigaction(SIGTRAP, &a, 0);
  if (!sigsetjmp(back, 1)) *(volatile int*)8 = 1;
  if (!sigsetjmp(back, 1)) { volatile int z = 0; printf("%d\\n", 1 / z); }
  if (!sigsetjmp(back, 1)) __builtin_trap();
  if (!sigsetjmp(back, 1)) __asm__("int3");
  if (!sigsetjmp(back, 1)) { char* p = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); *p = 1; }
  FILE* t = tmpfile(); char* m = mmap(0, 4096, PROT_READ, MAP_SHARED, fileno(t), 0);
  if (!sigsetjmp(back, 1)) printf("%d\\n", m[0]);
  pthread_t p[50]; long sum = 0; void* r;
  for (long i = 0; i < 50; i++) pthread_create(&p[i], 0, work, (void*)i);
  for (int i = 0; i < 50; i++) { pthread_join(p[i], &r); sum += (long)r; }
  void* h = dlopen("./libf3.so", RTLD_NOW); int (*f3)(int) = (int (*)(int))dlsym(h, "f3");
  printf("%ld %d %d %d %d %s\\n", sum, f1(9), f2(9), f3(9), n, v[n - 1]);
  fflush(stdout);
  pid_t c = vfork(); if (c == 0) { execl("/bin/echo", "echo", "from a vfork", (char*)0); _exit(1); }
  int s; waitpid(c, &s, 0); c = fork(); if (c == 0) abort();
  waitpid(c, &s, 0); printf("%d %s\\n", WTERMSIG(s), strerror(ENOSYS)); return 5; }
C
for o in -O0 -O2 '-O2 -flto' '-g -fstack-protector-all'; do gcc $o -c f1.c f2.c && ar rcs libf.a f1.o f2.o && gcc -shared -fPIC f3.c -o libf3.so -lm && gcc $o -pthread -rdynamic main.c -o main -L. -lf -lm -ldl && (ulimit -c 0; ./main x y); echo $?; done
gcc -S -O1 f1.c -o - | grep -c sqrt; nm libf.a | grep -c ' T '; readelf -h main | grep Type; ldd main | wc -l; objdump -d libf3.so | grep -c '<f3>:'; strip main; ./main | tail -1; gcc -c nosuch.c; echo $?; echo 'int main(' | gcc -xc - ; echo $?; gcc -no-pie -static-libgcc main.c -o m2 -L. -lf -lm && ./m2 | head -3; gcov --version | head -1""",
    "find": "find / -xdev -not -path '/tmp*' -printf '%p %y %m %u %g\\n' 2>/dev/null | sort | md5sum; find / -xdev -type f -name '*.py' | wc -l",
    "grep": "grep -r --include='*.h' pthread_mutex /usr/include | sort | md5sum; grep -rl Debian /etc 2>/dev/null | sort",
    "perl": "perl -e 'my %h; $h{$_ % 7}++ for 1..100; print join(\",\", map { \"$_=$h{$_}\" } sort keys %h), \"\\n\"; print qx(echo child); my $p = fork // die; if (!$p) { exit 3 } waitpid $p, 0; print $? >> 8, \"\\n\"; $SIG{ALRM} = sub { print \"alarm\\n\"; exit 4 }; alarm 1; select undef, undef, undef, 10'",
    "git": "cd /tmp; export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'; git init -q -b main r; cd r; git config user.email a@b; git config user.name a; for i in $(seq 100); do echo $i > f$i; done; git add .; git commit -qm first; echo change >> f1; git commit -qam second; git log --stat --format=%H | cat; git status --short; git gc -q; git fsck; git branch x; git checkout -q x; git diff main~1 --stat | cat",
    "gcc": "cd /tmp; printf '#include <stdio.h>\\n#include <pthread.h>\\nstatic void* f(void* x) { return x; }\\nint main(void) { pthread_t t; pthread_create(&t, 0, f, 0); pthread_join(t, 0); printf(\"compiled %%d\\\\n\", 6 * 7); return 9; }\\n' > hello.c; gcc -O2 -Wall hello.c -o a.out && ./a.out; echo $?; gcc -static hello.c -o s.out && ./s.out; echo $?",
    "dpkg": "cd /tmp; mkdir -p p/DEBIAN p/usr/local/bin; printf 'Package: tiny\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: tiny\\n' > p/DEBIAN/control; printf '#!/bin/sh\\necho postinst $1\\n' > p/DEBIAN/postinst; chmod 755 p/DEBIAN/postinst; printf '#!/bin/sh\\necho tiny runs\\n' > p/usr/local/bin/tiny; chmod 755 p/usr/local/bin/tiny; dpkg-deb --root-owner-group -b p tiny.deb >/dev/null && dpkg -i tiny.deb; tiny; dpkg -s tiny | grep Status; dpkg -r tiny; dpkg -l | wc -l",
}

PYTHON = {
    "threads_whole": """
import threading, time, signal, os, concurrent.futures as cf, _thread, sys
b = threading.Barrier(10); e = threading.Event(); s = threading.Semaphore(2); c = threading.Condition(); out = []
def work(n):
    b.wait(); e.wait(5)
    with s: out.append(n)
    with c: c.notify_all()
ts = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(10)]
[t.start() for t in ts]; e.set()
with c: print(c.wait_for(lambda: len(out) == 10, 10))
[t.join() for t in ts]; print(sorted(out), threading.active_count())
with cf.ThreadPoolExecutor(16) as pool: print(sum(pool.map(lambda n: n * n, range(2000))))
with cf.ProcessPoolExecutor(3) as pool: print(list(pool.map(pow, range(5), range(5))))
l = threading.Lock(); l.acquire(); print(l.acquire(timeout=0.05)); print(threading.Event().wait(0.02))
t = threading.Timer(0.02, lambda: print('timer')); t.start(); t.join()
threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1)); signal.signal(signal.SIGUSR1, lambda *_: print('usr1 in', threading.current_thread().name))
t = threading.Thread(target=lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)); t.start(); t.join(); time.sleep(0.01)  # NOLINT(sleep): the guest does
signal.setitimer(signal.ITIMER_REAL, 0.02); signal.signal(signal.SIGALRM, lambda *_: print('alarm')); signal.pause()
print(signal.sigtimedwait([signal.SIGUSR2], 0.01)); signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2); print(signal.sigwait([signal.SIGUSR2]))
try: _thread.interrupt_main(); time.sleep(1)  # NOLINT(sleep): the guest does
except KeyboardInterrupt: print('interrupted')
def deep(n): return 0 if n == 0 else 1 + deep(n - 1)
threading.stack_size(64 << 20); sys.setrecursionlimit(60000); r = []; t = threading.Thread(target=lambda: r.append(deep(50000))); t.start(); t.join(); print(r)
pid = os.fork()
if pid == 0: print('child', threading.active_count(), flush=True); os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])); os.abort()""",
    "asyncio_whole": """
import asyncio, os, signal, socket, tempfile
async def main():
    loop = asyncio.get_running_loop(); f = loop.create_future(); loop.add_signal_handler(signal.SIGUSR1, f.set_result, 'signal'); os.kill(os.getpid(), signal.SIGUSR1); print(await f)
    path = tempfile.mkdtemp() + '/s'
    async def echo(r, w):
        data = await r.read(); w.write(data[::-1]); await w.drain(); w.close()
    server = await asyncio.start_unix_server(echo, path)
    async def ask(n):
        r, w = await asyncio.open_unix_connection(path); w.write(b'%03d' % n * 1000); w.write_eof(); d = await r.read(); w.close(); return d[:3], len(d)
    print(sorted(await asyncio.gather(*map(ask, range(30))))); server.close()
    class P(asyncio.DatagramProtocol):
        def connection_made(self, t): self.t = t
        def datagram_received(self, data, addr): self.t.sendto(data.upper(), addr)
    t, _ = await loop.create_datagram_endpoint(P, local_addr=('127.0.0.1', 0)); s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setblocking(False); s.connect(t.get_extra_info('sockname')); await loop.sock_sendall(s, b'datagram'); print(await loop.sock_recv(s, 100)); t.close()
    p = await asyncio.create_subprocess_exec('sh', '-c', 'cat; echo bad >&2; kill -9 $$', stdin=-1, stdout=-1, stderr=-1); print(await p.communicate(b'x' * 300000) == (b'x' * 300000, b'bad\\n'), p.returncode)
    print(await asyncio.gather(*[loop.run_in_executor(None, sum, range(n)) for n in range(10)]))
    ps = [await asyncio.create_subprocess_exec('sh', '-c', f'exit {n}') for n in range(10)]; print([await p.wait() for p in ps])
    server = await asyncio.start_server(echo, '127.0.0.1', 0); r, w = await asyncio.open_connection(*server.sockets[0].getsockname()); big = os.urandom(1 << 19); w.write(big); w.write_eof(); print((await r.read()) == big[::-1]); w.close()
    try: await asyncio.open_connection('127.0.0.1', 1)
    except OSError as e: print(e.errno)
    async with asyncio.timeout(5):
        async with asyncio.TaskGroup() as g: ts = [g.create_task(asyncio.sleep(0.01 * n, n)) for n in range(5)]  # NOLINT(sleep): the guest's own timers
    print([t.result() for t in ts])
asyncio.run(main())""",
    "multiprocessing_whole": """
import multiprocessing as mp, os, signal, sys, time
def square(n): return n * n
def die(): os.kill(os.getpid(), signal.SIGKILL)
def talk(c): c.send({'pid': os.getpid() > 1, 'got': c.recv()}); c.close()
def bump(l, v, a, b):
    b.wait()
    for i in range(200):
        with l: v.value += 1; a[i % 5] += 1
if __name__ == '__main__':
    for kind in ('fork', 'spawn', 'forkserver'):
        if kind != 'fork' and '__file__' not in globals():
            open('/tmp/m.py', 'w').write(open('/proc/self/cmdline').read().split(chr(0))[2]); os.execv('/usr/bin/python3', ['python3', '/tmp/m.py'])
        c = mp.get_context(kind)
        with c.Pool(3) as p: print(kind, p.map(square, range(5)), p.apply_async(square, (9,)).get(20), sorted(p.imap_unordered(square, range(6))))
        a, b = c.Pipe(); p = c.Process(target=talk, args=(b,)); p.start(); a.send([1, 'two']); print(a.recv()); p.join(); print(p.exitcode)
        p = c.Process(target=die); p.start(); p.join(20); print(p.exitcode)
        l = c.Lock(); v = c.Value('i', 0, lock=False); arr = c.Array('i', 5); bar = c.Barrier(3); ps = [c.Process(target=bump, args=(l, v, arr, bar)) for _ in range(3)]; [p.start() for p in ps]; [p.join(30) for p in ps]; print(v.value, list(arr), [p.exitcode for p in ps])
        q = c.JoinableQueue(); q.put('x' * 100000); print(len(q.get())); q.task_done(); q.join(); q.close()
        with c.Manager() as m: d = m.dict(); d['a'] = 1; print(dict(d))
    print('over', flush=True)""",
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


class SameAsRunc(Comparison):
    def test_ps(self):
        def columns(text):  # user and command of every process: the rest varies
            lines = [line.split(None, 10) for line in text.splitlines()]
            return [(words[0], words[10]) for words in lines]

        self.compare(["/bin/bash", "-c", "sleep 100 & ps aux; kill $!"], normalise=columns)

    def test_process_files(self):
        self.compare(["/bin/bash", "-c", "tr '\\0' ' ' < /proc/self/cmdline; echo; cut -d' ' -f2 /proc/self/stat; "
                      "grep -E '^(Name|PPid|Uid|Gid|Groups|Threads|CapEff|CapBnd|NoNewPrivs)' /proc/self/status; "
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
        args = ["/bin/sh", "-c", "touch /x; echo $?; echo 1 > /proc/sys/kernel/panic; echo $?; wc -c < /proc/keys; touch /proc/keys; echo $?; "
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
