"""The platform ptrace: a container's life on it, and when it is taken without being asked for."""
import os
import signal
import subprocess
import sys
import tempfile
import unittest

import test_kill
import test_lifecycle
import test_terminal
from harness import HERE, OciTest, PATIENCE

PTRACE = "--platform=ptrace"


class OnPtrace:
    """Another test class' tests, on this platform."""

    def setUp(self):
        super().setUp()
        self.runsc.flags.append(PTRACE)


class PtraceKillTest(OnPtrace, test_kill.KillTest):
    pass


class PtraceLifecycleTest(OnPtrace, test_lifecycle.LifecycleTest):
    pass


class PtraceTerminalTest(OnPtrace, test_terminal.TerminalTest):
    pass

class PtraceTest(OnPtrace, OciTest):
    def test_output_and_exit_status(self):
        result = self.run_shell("echo out; echo $((6 * 7)) | sed s/4/x/; exit 3")
        self.assertEqual((3, "out\nx2\n"), (result.status, result.out), result)

    def test_killed_program(self):
        self.assertEqual(128 + signal.SIGSEGV, self.run_shell("/bin/sh -c 'kill -SEGV $$'; exit $?").status)

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
            command = self.runsc.argv("--debug-log", log, *flags, "run", "--bundle", bundle, self.runsc.new_id())
            done = subprocess.run([sys.executable, os.path.join(HERE, "under_a_listener.py"), *command],
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False)
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
