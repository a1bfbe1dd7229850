"""kill -9 of any one process of a sandbox takes all of it down and leaves nothing (checked by the base class)."""
import json
import os
import signal
import subprocess
import unittest

from harness import OciTest, PATIENCE, family, processes, wait_until


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as text:
        return text.read().strip()


def zombies(parent):
    """Dead children that the process has not reaped."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                state, ppid = stat.read().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state == "Z" and int(ppid) == parent:
            found.append(int(pid))
    return found


class KillTest(OciTest):
    # Nothing comes and goes in it: what is found can still be killed.
    WORK = ["/bin/bash", "-c", "sleep 1000 & sleep 1001 & echo ready; wait"]

    def start(self):
        process = subprocess.Popen(self.runsc.argv("run", "--bundle", self.bundle(self.WORK), self.runsc.new_id()),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        self.assertEqual("ready\n", process.stdout.readline())
        return process

    def members_of(self, process):
        """The sandbox's processes, once none is on its way in or out: spares are made, shells fork."""
        seen = []

        def settled():
            seen.append(sorted(family(process.pid)))
            return len(seen) > 20 and all(other == seen[-1] for other in seen[-20:])

        self.assertTrue(wait_until(settled), seen[-3:])
        return seen[-1]

    def check_end(self, process, members, victim):
        status = process.wait(PATIENCE)
        self.assertNotEqual(0, status)
        gone = lambda: not set(members) & set(processes())
        self.assertTrue(wait_until(gone), {pid: line for pid, line in processes().items() if pid in members})
        if victim == process.pid:  # nobody deletes it then: the next command does
            self.sweep()
        self.assertEqual([], os.listdir(self.runsc.root))

    def kill_named(self, name):
        process = self.start()
        members = self.members_of(process)
        victim = next(pid for pid in members if name_of(pid) == name)
        os.kill(victim, signal.SIGKILL)
        self.check_end(process, members, victim)

    def need_sandbox(self):
        if self.runsc.name == "runc":
            self.skipTest("runc has no such processes")

    def test_runsc_itself(self):
        self.need_sandbox()
        process = self.start()
        members = self.members_of(process)
        process.kill()
        self.check_end(process, members, process.pid)

    def test_gofer(self):
        self.need_sandbox()
        self.kill_named("runsc-gofer")

    def test_sentry(self):
        self.need_sandbox()
        self.kill_named("runsc-sentry")

    def test_monitor(self):
        self.need_sandbox()
        self.kill_named("runsc-monitor")

    def test_monitor_of_what_has_not_started(self):
        self.need_sandbox()
        container = self.runsc.new_id()
        self.assertEqual(0, self.runsc.call_quietly("create", "--bundle", self.bundle(self.WORK), container).status)
        with open(os.path.join(self.runsc.root, container, "state.json"), encoding="utf-8") as text:
            state = json.load(text)
        members = {name: state[name]["pid"] for name in ("monitor", "sentry", "gofer")}
        os.kill(members["monitor"], signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not set(members.values()) & set(processes())))

    def test_zygote_and_each_stub(self):
        self.need_sandbox()
        index, found = 0, 1
        while index < found:  # the zygote, spares, and one for each process of the guest
            process = self.start()
            members = self.members_of(process)
            sentry = next(pid for pid in members if name_of(pid) == "runsc-sentry")
            stubs = sorted(set(family(sentry)) - {sentry})
            self.assertGreaterEqual(len(stubs), 4)
            found = len(stubs)
            with self.subTest(index=index):
                os.kill(stubs[min(index, found - 1)], signal.SIGKILL)
                self.check_end(process, members, None)
            index += 1

    def test_exec_dies_with_its_command_and_alone(self):
        self.need_sandbox()
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        with subprocess.Popen(self.runsc.argv("exec", container, "/bin/sh", "-c", "echo ready; exec sleep 1002"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as command:
            self.assertEqual("ready\n", command.stdout.readline())
            command.kill()
            command.wait(PATIENCE)
        self.assertTrue(wait_until(lambda: "1002" not in self.runsc.call("exec", container, "/bin/ps", "axo", "args").out))
        self.assertEqual("running", self.runsc.state(container)["status"])

    def test_no_dead_child_stays(self):
        self.need_sandbox()
        process = self.start()
        self.assertEqual([], zombies(process.pid))
        members = self.members_of(process)
        process.send_signal(signal.SIGTERM)  # bash as pid 1 has no handler for it
        wait_until(lambda: zombies(process.pid), seconds=0.3)
        self.assertEqual([], zombies(process.pid))
        os.kill(next(pid for pid in members if name_of(pid) == "runsc-sentry"), signal.SIGKILL)
        process.wait(PATIENCE)
        # Reaped by runsc itself: none has come to this process, which reaps for all others.
        self.assertFalse(set(members) & set(map(int, filter(str.isdigit, os.listdir("/proc")))))


if __name__ == "__main__":
    unittest.main()
