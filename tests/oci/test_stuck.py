"""Commands of runsc while a process of the sandbox is stopped: each answers, or says in one line that it cannot, in some seconds."""
import json
import os
import signal
import subprocess
import time
import unittest

from harness import OciTest, PATIENCE, wait_until

LIMIT = 15  # seconds for one command; a loaded machine is slow


class StuckTest(OciTest):
    def setUp(self):
        super().setUp()
        if self.runsc.name == "runc":
            self.skipTest("runc has no such processes")

    def pids(self, container):
        with open(os.path.join(self.runsc.root, container, "state.json"), encoding="utf-8") as text:
            state = json.load(text)
        return {name: state[name]["pid"] for name in ("monitor", "sentry", "gofer")}

    def stop(self, pid):
        os.kill(pid, signal.SIGSTOP)

    def begin(self, *args):
        """A command that a test may stop."""
        process = subprocess.Popen(self.runsc.argv(*args), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        return process

    def stopped(self, name):
        """A container that runs, and one of its processes does not."""
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        self.stop(self.pids(container)[name])
        return container

    def timed(self, *args):
        began = time.monotonic()
        # The streams of an exec that failed are the sentry's until it goes on, or ends.
        done = self.runsc.call_quietly(*args) if args[0] == "exec" else self.runsc.call(*args, timeout=PATIENCE)
        self.assertLess(time.monotonic() - began, LIMIT, f"{args}: {done}")
        return done

    def fails_in_one_line(self, said, *args):
        done = self.timed(*args)
        self.assertNotEqual(0, done.status, args)
        self.assertEqual(1, done.err.count("\n"), done.err)
        self.assertIn(said, done.err)

    def gone(self, container, pids):
        self.assertEqual(0, self.timed("delete", "--force", container).status)
        self.assertFalse(os.path.exists(os.path.join(self.runsc.root, container)))
        self.assertTrue(wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids.values())))

    def test_stopped_sentry(self):
        container = self.stopped("sentry")
        pids = self.pids(container)
        self.assertEqual("running", json.loads(self.timed("state", container).out)["status"])
        self.assertEqual("running", json.loads(self.timed("list", "--format", "json").out)[0]["status"])
        self.assertEqual([pids["monitor"]], json.loads(self.timed("ps", "--format", "json", container).out))
        for args in (("kill", container, "TERM"), ("ps", container), ("pause", container), ("exec", container, "true"),
                     ("debug", "tasks", container)):
            self.fails_in_one_line("does not answer in time", *args)
        self.fails_in_one_line("that is not stopped", "delete", container)
        self.gone(container, pids)

    def test_kill_of_a_stopped_sentry(self):
        container = self.stopped("sentry")
        self.assertEqual(0, self.timed("kill", container, "KILL").status)
        self.assertTrue(wait_until(lambda: json.loads(self.timed("state", container).out)["status"] == "stopped"))
        self.assertEqual(0, self.timed("delete", container).status)

    def test_stopped_gofer(self):
        container = self.stopped("gofer")
        pids = self.pids(container)
        self.fails_in_one_line("does not answer in time", "exec", container, "/usr/bin/env")  # its file is not known yet
        self.assertEqual("running", json.loads(self.timed("state", container).out)["status"])
        self.fails_in_one_line("does not answer in time", "kill", container, "TERM")
        self.gone(container, pids)

    def test_stopped_monitor(self):
        container = self.stopped("monitor")
        pids = self.pids(container)
        self.assertEqual("running", json.loads(self.timed("state", container).out)["status"])
        self.assertEqual(0, self.timed("exec", container, "true").status)
        self.gone(container, pids)

    def test_all_stopped(self):
        container = self.stopped("gofer")
        pids = self.pids(container)
        for name in ("sentry", "monitor"):
            self.stop(pids[name])
        self.gone(container, pids)

    def test_stopped_sentry_before_the_start(self):
        container = self.runsc.new_id()
        self.assertEqual(0, self.runsc.call_quietly("create", "--bundle", self.bundle(["/bin/sleep", "1000"]), container).status)
        pids = self.pids(container)
        self.stop(pids["sentry"])
        self.assertEqual("created", json.loads(self.timed("state", container).out)["status"])
        self.fails_in_one_line("does not answer in time", "start", container)
        self.gone(container, pids)

    def test_delete_while_another_command_waits(self):
        """Whoever holds the container's lock gives up when its sandbox is gone."""
        container = self.stopped("sentry")
        pids = self.pids(container)
        waits = self.begin("pause", container)
        self.gone(container, pids)
        self.assertNotEqual(0, waits.wait(PATIENCE))

    def test_delete_while_another_command_is_stopped(self):
        """Whoever holds the container's lock and will not let go is killed."""
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        pids = self.pids(container)
        self.stop(pids["sentry"])  # so that the command has the lock for a while
        holder = self.begin("pause", container)
        lock = os.path.join(self.runsc.root, container, "lock")
        self.assertTrue(wait_until(lambda: self.signature(lock) == holder.pid))
        self.stop(holder.pid)
        self.gone(container, pids)
        self.assertEqual(-signal.SIGKILL, holder.wait(PATIENCE))

    @staticmethod
    def signature(lock):
        with open(lock, encoding="utf-8") as text:
            return int((text.read().split() or ["0"])[0])

    def test_delete_while_it_is_made(self):
        """A create that waits for a stopped sentry ends with an error when the container is deleted."""
        container, bundle = self.runsc.new_id(), self.bundle(["/bin/sleep", "1000"])
        create = self.begin("create", "--bundle", bundle, container)
        self.assertTrue(wait_until(lambda: self.sentry_of(container)))
        pids = self.pids(container)
        self.stop(pids["sentry"])
        self.gone(container, pids)
        create.wait(PATIENCE)

    def sentry_of(self, container):
        try:
            return self.pids(container)["sentry"]
        except (FileNotFoundError, ValueError):
            return 0


if __name__ == "__main__":
    unittest.main()
