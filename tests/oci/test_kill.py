"""kill -9 of any one process of a sandbox takes all of it down and leaves nothing (checked by the base class)."""
import os
import signal
import subprocess
import unittest

from harness import OciTest, PATIENCE, family, processes, wait_until


class KillTest(OciTest):
    WORK = ["/bin/bash", "-c", "sleep 1000 & echo ready; while :; do read -t 1 x < <(sleep 0.05); done"]

    def start(self):
        process = subprocess.Popen(self.runsc.argv("run", "--bundle", self.bundle(self.WORK), self.runsc.new_id()),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.assertEqual("ready\n", process.stdout.readline())
        return process

    def members(self, before):
        """Processes of this sandbox: those of the command's family and those that a step to a session of its own has cut off."""
        return sorted(set(processes()) - set(before))

    def kill_one(self, choose):
        before = processes()
        process = self.start()
        victims = self.members(before)
        victim = choose(process, victims)
        if victim is None:
            process.kill()
            process.wait(PATIENCE)
            return False
        os.kill(victim, signal.SIGKILL)
        process.wait(PATIENCE)
        if victim == process.pid:  # nobody deletes it then: the next command does
            self.sweep()
        self.assertTrue(wait_until(lambda: not [pid for pid in victims if pid in processes()]),
                        {pid: line for pid, line in processes().items() if pid in victims})
        return True

    def test_runsc_itself(self):
        self.kill_one(lambda process, victims: process.pid)

    def test_each_other_process_in_turn(self):
        if self.runsc.name == "runc":
            self.skipTest("there the workload's own processes are meant to die alone")
        for index in range(12):
            with self.subTest(index=index):
                if not self.kill_one(lambda process, victims, i=index: dict(enumerate(pid for pid in victims if pid != process.pid)).get(i)):
                    return

    def test_family_of_the_command_is_all_there_is(self):
        process = self.start()
        self.assertGreaterEqual(len(family(process.pid)), 2)
        process.terminate()
        process.wait(PATIENCE)


if __name__ == "__main__":
    unittest.main()
