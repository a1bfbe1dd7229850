"""The platform ptrace: a container's life on it, and when it is taken without being asked for."""
import ctypes
import os
import signal
import struct
import subprocess
import tempfile
import unittest

from harness import OciTest, PATIENCE
from test_terminal import Screen

PTRACE = "--platform=ptrace"

# seccomp(2) and its filter, for x86-64.
SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 317, 1, 8
PR_SET_NO_NEW_PRIVS = 38
ALLOW_ALL = struct.pack("HBBI", 0x06, 0, 0, 0x7FFF0000)  # BPF_RET, SECCOMP_RET_ALLOW


def take_the_listener():
    """In a child before exec: a filter with a listener, so that none of its descendants can have another."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(ALLOW_ALL)
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    listener = libc.syscall(SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER, program)
    if listener < 0:
        raise OSError(ctypes.get_errno(), "seccomp")


class PtraceTest(OciTest):
    def setUp(self):
        super().setUp()
        self.runsc.flags.append(PTRACE)

    def test_output_and_exit_status(self):
        result = self.run_shell("echo out; echo $((6 * 7)) | sed s/4/x/; exit 3")
        self.assertEqual((3, "out\nx2\n"), (result.status, result.out), result)

    def test_killed_program(self):
        self.assertEqual(128 + signal.SIGSEGV, self.run_shell("kill -SEGV $$").status)

    def test_exec_in_a_running_container(self):
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        result = self.runsc.call("exec", container, "/bin/sh", "-c", "tr '\\0' ' ' </proc/1/cmdline; exit 5")
        self.assertEqual((5, "/bin/sleep 1000 "), (result.status, result.out), result)
        self.assertEqual(0, self.runsc.call("kill", container, "KILL").status)

    def test_terminal(self):
        bundle = self.bundle(["/bin/bash", "--norc"], terminal=True)
        screen = Screen(self.runsc.argv("run", "--bundle", bundle, self.runsc.new_id()))
        screen.type("PS1='READY'$((1+1))'> '\n")
        screen.expect("READY2> ")
        screen.type("sleep 1000\n")
        screen.expect("sleep 1000")
        screen.type("\x03")
        screen.expect("READY2> ")
        screen.type("echo status=$?; exit 7\n")
        screen.expect("status=130")
        self.assertEqual(7, screen.process.wait(PATIENCE))

    def test_threads(self):
        script = ("import threading\nlock = threading.Lock()\nseen = []\n"
                  "def work(n):\n  for i in range(200):\n    with lock: seen.append(n)\n"
                  "threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]\n"
                  "[t.start() for t in threads]\n[t.join() for t in threads]\nprint(len(seen))\n")
        result = self.runsc.run(self.bundle(["/usr/bin/python3", "-c", script]))
        self.assertEqual((0, "1600\n"), (result.status, result.out), result)

    def test_fork_bomb_ends_with_its_container(self):
        limits = [{"type": "RLIMIT_NPROC", "soft": 60, "hard": 60}, {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}]
        user = {"uid": 1000, "gid": 1000}
        bundle = self.bundle(["/bin/sh", "-c", "echo begun; b() { b | b & }; b; sleep 1000"], rlimits=limits, user=user)
        with subprocess.Popen(self.runsc.argv("run", "--bundle", bundle, "bomb"), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            self.assertEqual("begun\n", process.stdout.readline())
            self.assertEqual(0, self.runsc.call("kill", "bomb", "KILL").status)
            self.assertEqual(128 + signal.SIGKILL, process.wait(PATIENCE))


class FallbackTest(OciTest):
    """Under a filter that has a seccomp listener already."""

    def run_under_a_listener(self, *flags):
        with tempfile.TemporaryDirectory() as where:
            log = os.path.join(where, "log")
            bundle = self.bundle(["/bin/sh", "-c", "echo $((40 + 2))"])
            done = subprocess.run(self.runsc.argv("--debug-log", log, *flags, "run", "--bundle", bundle, self.runsc.new_id()),
                                  preexec_fn=take_the_listener, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=PATIENCE, check=False)
            with open(log, encoding="utf-8") as lines:
                return done, [line for line in lines if "platform" in line]

    def test_ptrace_is_taken_and_the_log_says_why(self):
        done, said = self.run_under_a_listener()
        self.assertEqual((0, "42\n"), (done.returncode, done.stdout), done)
        self.assertEqual(1, len(said), said)
        self.assertRegex(said[0], "ptrace.*another filter of this process has one already")

    def test_systrap_by_name_is_refused(self):
        done, _ = self.run_under_a_listener("--platform=systrap")
        self.assertNotEqual(0, done.returncode)
        self.assertIn("no seccomp listener", done.stderr)

    def test_systrap_is_taken_where_there_is_a_listener(self):
        with tempfile.TemporaryDirectory() as where:
            log = os.path.join(where, "log")
            result = self.runsc.call("--debug-log", log, "run", "--bundle", self.bundle(["/bin/true"]), self.runsc.new_id())
            self.assertEqual(0, result.status, result)
            with open(log, encoding="utf-8") as lines:
                self.assertNotIn("ptrace", lines.read())


if __name__ == "__main__":
    unittest.main()
