"""Limits that Docker sets, and what they do."""
import os

from docker_cases import DockerCases
from engines import both, place, wait_until

EAT = "python3 -c 'b = bytearray(300 << 20); print(len(b))'"


class Limits(DockerCases):
    def test_memory(self):
        name = self.start(options=("--memory", "64m", "--memory-reservation", "32m"))
        self.assertEqual(str(64 << 20), self.limit(name, "memory", "memory.limit_in_bytes"))
        self.assertEqual(str(32 << 20), self.limit(name, "memory", "memory.soft_limit_in_bytes"))

    def test_out_of_memory(self):
        name = self.start("bash", "-c", EAT, options=("--memory", "64m"))
        self.assertEqual("137", self.ok("wait", name))
        self.assertEqual("true", self.inspect(name, ".State.OOMKilled"))

    def test_memory_is_enough(self):
        self.says(f"{300 << 20}\n", EAT, "--memory", "600m")

    def test_processes(self):
        name = self.start(options=("--pids-limit", "30"))
        self.assertLess(int(self.limit(name, "pids", "pids.max")), 100)
        done = self.docker("exec", name, "bash", "-c", "for i in $(seq 60); do sleep 100 & done")
        self.assertIn("fork", done.err)
        self.assertEqual("alive", self.ok("exec", self.start(), "echo", "alive"))

    def test_cpu(self):
        name = self.start("bash", "-c", "while :; do :; done", options=("--cpus", "0.1", "--cpu-shares", "512"))
        self.assertEqual(("10000", "100000", "512"), tuple(
            self.limit(name, "cpu", file) for file in ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares")))

        def throttled():
            return int(self.limit(name, "cpu", "cpu.stat").split("nr_throttled")[1].split()[0])
        self.assertTrue(wait_until(lambda: throttled() > 0))

    def test_cpu_set(self):
        name = self.start(options=("--cpuset-cpus", "0"))
        self.assertEqual("0", self.limit(name, "cpuset", "cpuset.cpus"))
        self.assertEqual("1", self.inside(name, "nproc"))

    def test_update(self):
        name = self.start(options=("--memory", "64m", "--memory-swap", "64m"))
        self.ok("update", "--memory", "128m", "--memory-swap", "128m", "--cpus", "0.3", "--pids-limit", "77", name)
        self.assertEqual((str(128 << 20), "30000"), (
            self.limit(name, "memory", "memory.limit_in_bytes"), self.limit(name, "cpu", "cpu.cfs_quota_us")))
        self.assertIn(int(self.limit(name, "pids", "pids.max")) - 77, range(60))

    def test_parent_group(self):
        top = os.path.basename(place())
        name = self.start(options=("--cgroup-parent", f"/{top}/mine"))
        self.assertIn(f"/{top}/mine/", self.cgroup_of(name, "memory"))

    def test_nothing_stays(self):
        name = self.start()
        groups = [self.cgroup_of(name, controller) for controller in ("memory", "cpu", "cpuset", "pids", "freezer", "blkio", "devices")]
        self.assertEqual([True] * len(groups), [os.path.isdir(group) for group in groups])
        self.ok("rm", "--force", name)
        self.assertEqual([], [group for group in groups if os.path.exists(group)])

    def test_device_rates_are_accepted(self):
        self.says("ok\n", "echo ok", "--device-read-bps", "/dev/vda:1mb")


both(globals(), Limits)
del Limits
