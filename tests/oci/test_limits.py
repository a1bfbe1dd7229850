"""Control groups: where a sandbox is put, its limits, update and events; what the pid that engines know shows them."""
import json
import os
import subprocess

from harness import OciTest, config

GROUPS = "/sys/fs/cgroup"


def groups_of(pid):
    """Controller → directory, version 1."""
    found = {}
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as text:
        for line in text:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for controller in controllers.split(","):
                found[controller] = os.path.join(GROUPS, controller, path.lstrip("/"))
    return found


class LimitsTest(OciTest):
    def setUp(self):
        super().setUp()
        if not os.path.exists(f"{GROUPS}/memory/memory.limit_in_bytes"):
            self.skipTest("no control groups of version 1")

    def start(self, runtime, resources=None, mounts=(), **linux):
        bundle = self.bundle(["/bin/sleep", "1000"])
        content = config(["/bin/sleep", "1000"], root=self.tree, readonly=True, mounts=list(mounts))
        content["linux"].update({"cgroupsPath": f"/cloister-limits-{os.getpid()}", "resources": resources or {}, **linux})
        self.write_config(bundle, content)
        container = runtime.start_detached(bundle)
        self.addCleanup(runtime.call, "delete", "--force", container)
        return container

    def both(self, check, **options):
        for runtime in (self.other_runtime(), self.runsc):
            with self.subTest(runtime=runtime.name):
                container = self.start(runtime, **options)
                check(runtime, container)
                self.assertEqual(0, runtime.call("delete", "--force", container).status)

    @staticmethod
    def read(runtime, container, controller, file):
        with open(os.path.join(groups_of(runtime.state(container)["pid"])[controller], file), encoding="utf-8") as text:
            return text.read().strip()

    def test_place(self):
        def check(runtime, container):
            groups = groups_of(runtime.state(container)["pid"])
            self.assertEqual({f"cloister-limits-{os.getpid()}"}, {os.path.basename(groups[c]) for c in ("memory", "cpu", "pids", "freezer")})
            runtime.call("delete", "--force", container)
            self.assertEqual([], [group for group in groups.values() if "cloister-limits" in group and os.path.exists(group)])
        self.both(check)

    def test_limits_and_update(self):
        def check(runtime, container):
            self.assertEqual(str(64 << 20), self.read(runtime, container, "memory", "memory.limit_in_bytes"))
            self.assertEqual("50000", self.read(runtime, container, "cpu", "cpu.cfs_quota_us"))
            done = runtime.call("update", "--resources", "-", container, stdin=json.dumps(
                {"memory": {"limit": 128 << 20, "swap": 128 << 20}, "cpu": {"quota": 30000, "period": 100000, "shares": 0}, "blockIO": {"weight": 0}}))
            self.assertEqual(0, done.status, done.err)
            self.assertEqual(str(128 << 20), self.read(runtime, container, "memory", "memory.limit_in_bytes"))
            self.assertEqual(0, runtime.call("update", "--memory", "96M", "--memory-swap=-1", "--cpu-quota", "20000", container).status)
            self.assertEqual(str(96 << 20), self.read(runtime, container, "memory", "memory.limit_in_bytes"))
            self.assertEqual("20000", self.read(runtime, container, "cpu", "cpu.cfs_quota_us"))
            self.assertEqual(1, runtime.call("update", "--memory", "much", container).status)
        self.both(check, resources={"memory": {"limit": 64 << 20, "swap": 64 << 20}, "cpu": {"quota": 50000, "period": 100000}})

    def test_a_limit_that_cannot_be_set(self):
        for runtime in (self.other_runtime(), self.runsc):
            bundle = self.bundle(["/bin/true"])
            content = config(["/bin/true"], root=self.tree, readonly=True)
            content["linux"].update({"cgroupsPath": f"/cloister-limits-{os.getpid()}", "resources": {"cpu": {"cpus": "4000"}}})
            self.write_config(bundle, content)
            done = runtime.run(bundle)
            self.assertEqual(1, done.status)
            self.assertIn("cpuset.cpus", done.err)

    def test_events(self):
        def check(runtime, container):
            event = json.loads(runtime.call("events", "--stats", container).out)
            self.assertEqual(("stats", container), (event["type"], event["id"]))
            self.assertEqual(64 << 20, event["data"]["memory"]["usage"]["limit"])
            self.assertGreater(event["data"]["memory"]["usage"]["usage"], 0)
            self.assertGreater(event["data"]["cpu"]["usage"]["total"], 0)
            self.assertGreater(event["data"]["pids"]["current"], 0)
        self.both(check, resources={"memory": {"limit": 64 << 20}})

    def test_every_process_of_the_sandbox_is_limited(self):
        container = self.start(self.runsc)
        with open(os.path.join(groups_of(self.runsc.state(container)["pid"])["memory"], "cgroup.procs"), encoding="utf-8") as text:
            names = set()
            for pid in text.read().split():
                with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                    names.add(comm.read().strip())
        self.assertLessEqual({"runsc-monitor", "runsc-gofer", "runsc-sentry"}, names)
        self.assertGreater(len(names), 3)

    def test_one_process_without_memory(self):
        script = "python3 -c 'b = bytearray(300 << 20)'; echo $?"
        bundle = self.bundle(["/bin/bash", "-c", script])
        content = config(["/bin/bash", "-c", script], root=self.tree, readonly=True)
        content["linux"].update({"cgroupsPath": f"/cloister-limits-{os.getpid()}",
                                 "resources": {"memory": {"limit": 64 << 20, "swap": 64 << 20}}})
        self.write_config(bundle, content)
        for runtime in (self.other_runtime(), self.runsc):
            done = runtime.run(bundle)
            self.assertEqual((0, "137\n"), (done.status, done.out), done)

    def test_features(self):
        told = json.loads(self.runsc.call("features").out)
        self.assertLessEqual({"prestart", "poststop"}, set(told["hooks"]))
        self.assertIn("CAP_CHOWN", told["linux"]["capabilities"])
        self.assertFalse(told["linux"]["mountExtensions"]["idmap"]["enabled"])

    def test_the_pids_files_are_the_containers(self):
        with open(f"/tmp/cloister-limits-{os.getpid()}", "w", encoding="utf-8") as out:
            out.write("mine\n")
        self.addCleanup(os.unlink, out.name)

        def check(runtime, container):
            pid = runtime.state(container)["pid"]
            seen = subprocess.run(["nsenter", "--target", str(pid), "--mount", "cat", "/etc/debian_version", "/etc/issue"],
                                  stdout=subprocess.PIPE, text=True, check=True).stdout
            with open(os.path.join(self.tree, "etc/debian_version"), encoding="utf-8") as version:
                self.assertEqual(version.read() + "mine\n", seen)
            self.assertFalse(os.path.samefile(f"/proc/{pid}/root", "/"))
        self.both(check, mounts=[{"destination": "/etc/issue", "type": "bind", "source": out.name, "options": ["bind", "ro"]}])
