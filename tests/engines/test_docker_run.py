"""docker run: the first process, its streams, its user and rights."""
import json

from docker_cases import DockerCases
from engines import IMAGE, both, place


class Run(DockerCases):
    def test_output_and_status(self):
        done = self.shell("echo out; echo err >&2; exit 42")
        self.assertEqual((42, "out\n", "err\n"), (done.status, done.out, done.err))

    def test_status_of_a_signal(self):
        self.assertEqual(137, self.shell("kill -KILL $BASHPID & wait $!; exit $?").status)
        self.assertEqual(143, self.docker("run", "--rm", "--init", "--runtime", self.runtime, IMAGE, "bash", "-c", "kill -TERM $$").status)

    def test_missing_command(self):
        for argv, status in ((["/no/such"], 127), (["no-such"], 127), (["/etc/passwd"], 126), (["/etc"], 126)):
            done = self.run_container(IMAGE, *argv)
            self.assertEqual(status, done.status, f"{argv}: {done}")

    def test_standard_input(self):
        self.says("3\n", "wc -l", stdin="a\nb\nc\n")
        self.says("", "cat")

    def test_large_output(self):
        done = self.shell("seq 200000; seq 5 >&2")
        self.assertEqual((200000, 5), (done.out.count("\n"), done.err.count("\n")))

    def test_environment_and_place(self):
        self.says("1 /srv/new\n", "echo $A $PWD", "--env", "A=1", "--workdir", "/srv/new")
        self.says("args: x y\n", 'echo "args: x y"', "--entrypoint", "")
        self.assertEqual("hi there\n", self.run_container("--entrypoint", "/bin/echo", IMAGE, "hi", "there").out)

    def test_host_name(self):
        self.says("box box\n", "echo $(hostname) $(cat /etc/hostname)", "--hostname", "box")
        self.says("box.example.org\n", "hostname --fqdn", "--hostname", "box.example.org")
        self.says("example.org\n", "cat /proc/sys/kernel/domainname", "--domainname", "example.org")

    def test_user(self):
        self.says("1000 1000 1000\n", "echo $(id -u) $(id -g) $(id -G)", "--user", "1000:1000")
        self.says("2 2\n", "echo $(id -u) $(id -g)", "--user", "bin")
        self.says("0 0 7\n", "echo $(id -u) $(id -G)", "--group-add", "7")

    def test_capabilities(self):
        show = "grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status"
        sets = "CapInh:\t{0}\nCapPrm:\t{1}\nCapEff:\t{1}\nCapBnd:\t{2}\nCapAmb:\t{0}\n"
        self.says(sets.format("0" * 16, "00000000a80425fb", "00000000a80425fb"), show)
        self.says(sets.format("0" * 16, "0" * 16, "0" * 16), show, "--cap-drop", "ALL")
        self.says(sets.format("0" * 16, "0" * 13 + "400", "0" * 13 + "400"), show, "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE")
        self.says(sets.format("0" * 16, "0" * 16, "00000000a80425fb"), show, "--user", "1000")

    def test_no_new_privileges(self):
        self.says("NoNewPrivs:\t0\n", "grep NoNewPrivs /proc/self/status")
        self.says("NoNewPrivs:\t1\n", "grep NoNewPrivs /proc/self/status", "--security-opt", "no-new-privileges")

    def test_seccomp_default(self):
        self.says("Seccomp:\t2\n", "grep Seccomp: /proc/self/status")
        self.says("Seccomp:\t0\n", "grep Seccomp: /proc/self/status", "--security-opt", "seccomp=unconfined")

    def test_seccomp_profile(self):
        profile = place("profile.json")
        with open(profile, "w", encoding="utf-8") as out:
            json.dump({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
                {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            ]}, out)
        option = ("--security-opt", f"seccomp={profile}")
        done = self.shell("mkdir /tmp/x", *option)
        self.assertEqual(1, done.status)
        self.assertIn("Operation not supported", done.err)
        self.says("-1 1\n", "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); print(l.personality(8), c.get_errno())'", *option)
        self.says("0\n", "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); print(l.personality(0xffffffff))'", *option)

    def test_limits_of_a_process(self):
        self.says("100\n", "ulimit -n", "--ulimit", "nofile=100:200")
        self.says("200\n", "ulimit -Hn", "--ulimit", "nofile=100:200")

    def test_oom_score(self):
        self.says("500\n", "cat /proc/self/oom_score_adj", "--oom-score-adj", "500")

    def test_init(self):
        done = self.shell("cat /proc/1/comm; (setsid sleep 0.01 &); while [ $(ls -d /proc/[0-9]* | wc -l) -gt 4 ]; do :; done", "--init")
        self.assertEqual((0, "docker-init\n"), (done.status, done.out), done.err)

    def test_masked_paths(self):
        self.says("0\n0\n", "ls -A /sys/firmware | wc -l; wc -c </proc/keys")
        self.assertIn("Read-only", self.shell("echo 1 >/proc/sys/kernel/domainname").err)

    def test_sysctl(self):
        self.says("99\n", "cat /proc/sys/kernel/msgmax", "--sysctl", "kernel.msgmax=99")
        self.says("1024\n", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start", "--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")
        self.assertNotEqual(0, self.run_container("--sysctl", "kernel.panic=1", IMAGE, "true").status)

    def test_devices(self):
        self.says("ok\n", "echo x >/dev/mine && echo ok", "--device", "/dev/null:/dev/mine")
        self.says("full null ptmx random tty urandom zero\n",
                  "cd /dev; for f in null zero full random urandom tty ptmx; do [ -c $f ] && echo $f; done | sort | xargs")

    def test_set_user_id(self):
        self.says("0\n", "cp /usr/bin/id /id; chmod 4755 /id; setpriv --reuid 1000 /id -u")

    def test_many_at_once(self):
        names = [self.start("bash", "-c", f"echo {i}; exit {i}") for i in range(6)]
        self.assertEqual([str(i) for i in range(6)], [self.ok("wait", name) for name in names])
        self.assertEqual([str(i) for i in range(6)], [self.ok("logs", name) for name in names])


both(globals(), Run)
del Run
