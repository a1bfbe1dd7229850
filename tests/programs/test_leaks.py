"""Programs again and again in one sandbox: sentry and gofer neither grow nor keep descriptors, processes or threads."""
import os
import subprocess
import unittest

from programs import LONG, ProgramTest, harness, scripts

ROUNDS = int(os.environ.get("CLOISTER_ROUNDS", "10"))
WARM_UP = 6  # caches of names and open files fill, and the allocator finds its size


def measure(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        fields = dict(line.split(":", 1) for line in status)
    return {
        "KiB": int(fields["VmRSS"].split()[0]),
        "threads": int(fields["Threads"]),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
        "family": len(harness.family(pid)),
    }


@unittest.skipUnless(LONG, "CLOISTER_PROGRAMS is not long")
class LeakTest(ProgramTest):
    half = "quick"

    def start(self):
        """The container, its ID, and the pids of its sentry and gofer."""
        container = self.runsc.new_id()
        command = ["/bin/bash", "-c", "echo ready; exec sleep infinity"]
        process = subprocess.Popen(self.runsc.argv("run", "--bundle", self.program_bundle(command), container),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait, harness.PATIENCE)
        self.addCleanup(process.kill)
        self.assertEqual("ready\n", process.stdout.readline())
        names = {line: pid for pid, line in harness.processes().items() if pid in harness.family(process.pid)}
        return container, {name: names[f"runsc-{name}"] for name in ("sentry", "gofer")}

    def round(self, container, place):
        for name in scripts(self.half):
            result = self.runsc.call("exec", "--env", f"WORK={place}", container, "/bin/bash",
                                     f"/programs/{self.half}/{name}.sh", timeout=300)
            self.assertEqual(0, result.status, (name, result))
        ps = lambda: self.runsc.call("ps", "--format", "json", container).out
        self.assertTrue(harness.wait_until(lambda: ps().count(",") == 0, seconds=20), ps())

    def check(self, place):
        container, pids = self.start()
        seen = []
        for number in range(WARM_UP + ROUNDS):
            self.round(container, place)
            seen.append({name: measure(pid) for name, pid in pids.items()})
            print(number, seen[-1], flush=True)
        first, last = seen[WARM_UP], seen[-1]
        for name in pids:
            for what in ("threads", "descriptors", "family"):
                self.assertLessEqual(last[name][what], first[name][what] + 3, (name, what, seen))
            self.assertLess(last[name]["KiB"], first[name]["KiB"] * 1.1 + 1024, (name, seen))

    def test_in_the_root(self):
        self.check("/var/tmp")

    def test_in_memory(self):
        self.check("/tmp")


if __name__ == "__main__":
    unittest.main()
