"""linux.seccomp: profiles of the shapes that engines write, each action and operator, and what is wrong in one."""
import json
import unittest

from comparison import Comparison
from harness import RUNSC

# Prints what raw system calls give: "NAME result errno".
PROBE = r"""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
for line in sys.argv[1:]:
    name, *numbers = line.split()
    ctypes.set_errno(0)
    result = libc.syscall(*[ctypes.c_long(int(n, 0)) for n in numbers])
    print(name, result if result < 0 else "ok", ctypes.get_errno())
"""

CALLS = [
    "getpid 39", "gettid 186", "getppid 110", "sched_yield 24", "umask 95 022",
    "personality_8 135 8", "personality_7 135 7", "personality_ask 135 0xffffffff",
    "unshare 272 0x10000000", "clone_user 56 0x10000000", "clone3 435 0 0", "mount 165 0 0 0 0 0", "keyctl 250 0 0",
    "acct 163 0", "past_the_last 448 0", "far_past 600", "nowhere 100000", "x32_getpid 0x40000027",
    "socket_vsock 41 40 1 0",
]

# What bash and python3 need, and more; an engine's own list is longer.
ALLOWED = """
access arch_prctl bind brk capget capset chdir chmod chown clock_getres clock_gettime clock_nanosleep close close_range
connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd eventfd2
execve execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchown fchownat fcntl
fdatasync fgetxattr flock fork fstat fstatfs fsync ftruncate futex getcpu getcwd getdents getdents64 getegid geteuid
getgid getgroups getitimer getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
get_robust_list getrusage getsid getsockname getsockopt gettid gettimeofday getuid inotify_add_watch inotify_init1
ioctl kill lchown link linkat listen lseek lstat madvise membarrier memfd_create mincore mkdir mkdirat mlock mmap
mprotect mremap msync munmap nanosleep newfstatat open openat openat2 pause pidfd_open pipe pipe2 poll ppoll prctl
pread64 preadv prlimit64 pselect6 pwrite64 pwritev read readlink readlinkat readv recvfrom recvmsg rename renameat
renameat2 restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait sched_getaffinity sched_yield seccomp select sendfile sendmsg sendto set_robust_list
set_tid_address setgid setgroups setitimer setpgid setpriority setresgid setresuid setsid setsockopt setuid shutdown
sigaltstack socketpair socketcall splice stat statfs statx symlink symlinkat sync sysinfo tgkill time times tkill
truncate umask uname unlink unlinkat utimensat vfork wait4 waitid waitpid write writev _llseek arm_fadvise64_64
a_call_that_nobody_knows
""".split()

ARCHITECTURES = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]


def allow(names, *args):
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(args)}


def arg(index, op, value, second=0):
    return {"index": index, "value": value, "valueTwo": second, "op": f"SCMP_CMP_{op}"}


def like_docker():
    """EPERM for what is not listed; clone(2) without new namespaces, judged by a mask; ENOSYS for clone3(2)."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "architectures": ARCHITECTURES,
        "syscalls": [
            allow(ALLOWED),
            allow(["socket"], arg(0, "NE", 40)),
            *[allow(["personality"], arg(0, "EQ", value)) for value in (0, 8, 0x20000, 0x20008, 0xffffffff)],
            allow(["clone"], arg(0, "MASKED_EQ", 0x7e020000)),
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    }


def like_podman():
    """ENOSYS for what is not listed, EPERM for what is known to be refused."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "defaultErrno": "ENOSYS",
        "architectures": ARCHITECTURES,
        "syscalls": [
            {"names": ["acct", "keyctl", "mount", "unshare", "personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EPERM"},
            allow(ALLOWED),
            allow(["clone"], arg(0, "MASKED_EQ", 0x7e020000)),
            allow(["socket"], arg(0, "LT", 40)),
            allow(["socket"], arg(0, "GT", 40)),
        ],
    }


def denying(*rules):
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": list(rules)}


class SeccompTest(Comparison):
    def profiled(self, args, profile, runtime, **changes):
        where = self.bundle(args, **changes)
        with open(f"{where}/config.json", encoding="utf-8") as text:
            content = json.load(text)
        content["linux"]["seccomp"] = profile
        self.write_config(where, content)
        return runtime.run(where)

    def probe(self, profile, calls=CALLS, **changes):
        """The same of both runtimes."""
        self.same(lambda runtime: self.profiled(["/usr/bin/python3", "-c", PROBE, *calls], profile, runtime, **changes))

    def outcome(self, profile, *calls):
        done = self.profiled(["/usr/bin/python3", "-c", PROBE, *calls], profile, self.runsc)
        self.assertEqual(0, done.status, done.err)
        return done.out.splitlines()

    def test_docker(self):
        self.probe(like_docker())
        # Not only the same: it is what the profile says.
        self.assertEqual(["unshare -1 1", "clone3 -1 38", "getpid ok 0", "personality_7 -1 1", "personality_8 ok 0", "far_past -1 38"],
                         self.outcome(like_docker(), "unshare 272 0x10000000", "clone3 435 0 0", "getpid 39", "personality_7 135 7",
                                      "personality_8 135 8", "far_past 600"))

    def test_podman(self):
        self.probe(like_podman())

    def test_without_new_privileges(self):
        self.probe(like_docker(), noNewPrivileges=True)

    def test_an_ordinary_user(self):
        self.probe(like_docker(), user={"uid": 1000, "gid": 1000}, caps=[])

    def test_status(self):
        show = ["/bin/grep", "-E", "^(Seccomp|NoNewPrivs)", "/proc/self/status"]
        for profile in (like_docker(), like_podman(), {}, None, {"defaultAction": "SCMP_ACT_ALLOW"}):
            for no_new_privileges in (False, True):
                with self.subTest(profile=str(profile)[:40], no_new_privileges=no_new_privileges):
                    self.same(lambda runtime: self.profiled(show, profile, runtime, noNewPrivileges=no_new_privileges))

    def test_operators(self):
        calls = [f"umask_{value} 95 {value}" for value in (0, 1, 0x11, 0x12, 0x13, 0x20, 0x112)]
        for op, *values in (("NE", 0x12), ("LT", 0x12), ("LE", 0x12), ("EQ", 0x12), ("GE", 0x12), ("GT", 0x12), ("MASKED_EQ", 0xf0, 0x10)):
            with self.subTest(op):
                self.probe(denying({"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": [arg(0, op, *values)]}), calls)

    def test_conditions(self):
        calls = ["a 140 1 2", "b 140 1 3", "c 140 2 2", "d 140 0x100000001 2"]  # getpriority(2)
        for args in ([arg(0, "EQ", 1), arg(1, "EQ", 2)], [arg(0, "EQ", 1), arg(0, "EQ", 2)], [arg(0, "EQ", 0x100000001)]):
            with self.subTest(args):
                self.probe(denying({"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77, "args": args}), calls)

    def test_actions(self):
        for action in ("ERRNO", "TRAP", "TRACE", "LOG", "KILL", "KILL_THREAD", "KILL_PROCESS", "ALLOW"):
            with self.subTest(action):
                self.probe(denying({"names": ["umask"], "action": f"SCMP_ACT_{action}"}), ["umask 95 022"])

    def test_every_process_of_the_container(self):
        where = self.bundle(["/bin/sleep", "1000"])
        with open(f"{where}/config.json", encoding="utf-8") as text:
            content = json.load(text)
        content["linux"]["seccomp"] = like_docker()
        self.write_config(where, content)
        container = self.runsc.start_detached(where)
        done = self.runsc.call("exec", container, "/usr/bin/python3", "-c", PROBE, "unshare 272 0x10000000", "getpid 39")
        self.assertEqual("unshare -1 1\ngetpid ok 0\n", done.out, done.err)
        done = self.runsc.call("exec", container, "/bin/grep", "-h", "Seccomp:", "/proc/self/status", "/proc/1/status")
        self.assertEqual("Seccomp:\t2\nSeccomp:\t2\n", done.out, done.err)

    def test_wrong_profiles_are_refused(self):
        if self.runsc.name == "runc":
            self.skipTest("runc does not name the field")
        rule = {"names": ["umask"], "action": "SCMP_ACT_ERRNO"}
        wrong = {
            "linux.seccomp.defaultAction": {"defaultAction": "SCMP_ACT_NONE"},
            "linux.seccomp.syscalls[0].action": denying({**rule, "action": "deny"}),
            "linux.seccomp.syscalls[0].names": denying({**rule, "names": []}),
            "linux.seccomp.syscalls[0].args[0].op": denying({**rule, "args": [arg(0, "IS", 1)]}),
            "linux.seccomp.syscalls[0].args[0].index": denying({**rule, "args": [arg(6, "EQ", 1)]}),
            "linux.seccomp.architectures[0]": {**denying(rule), "architectures": ["SCMP_ARCH_Z80"]},
            "linux.seccomp.flags[0]": {**denying(rule), "flags": ["SECCOMP_FILTER_FLAG_NONE"]},
            "linux.seccomp.listenerPath": {**denying(rule), "listenerPath": "/run/agent.sock"},
            "linux.seccomp.syscalls[1].action": denying(rule, {**rule, "action": "SCMP_ACT_NOTIFY"}),
        }
        for path, profile in wrong.items():
            with self.subTest(path):
                done = self.profiled(["/bin/true"], profile, self.runsc)
                self.assertNotEqual(0, done.status)
                self.assertEqual(1, len(done.err.splitlines()), done.err)
                self.assertIn(path, done.err)

    def test_features(self):
        if self.runsc.name == "runc":
            self.skipTest("runc's own list")
        features = json.loads(self.runsc.call("features").out)["linux"]["seccomp"]
        self.assertTrue(features["enabled"])
        self.assertIn("SCMP_ACT_KILL_PROCESS", features["actions"])
        self.assertNotIn("SCMP_ACT_NOTIFY", features["actions"])
        self.assertIn("SCMP_CMP_MASKED_EQ", features["operators"])
        self.assertIn("SCMP_ARCH_X86_64", features["archs"])
        # What it lists it takes.
        for flag in features["supportedFlags"]:
            done = self.profiled(["/bin/true"], {**like_docker(), "flags": [flag]}, self.runsc)
            self.assertEqual(0, done.status, done.err)


if __name__ == "__main__":
    print(f"runsc: {RUNSC}")
    unittest.main()
