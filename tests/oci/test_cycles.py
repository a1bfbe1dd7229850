"""Many lives of a container, at once and cut short by kill -9 at random moments: nothing of them may stay.

Environment: CLOISTER_CYCLES, CLOISTER_KILLS: how many (default 200 and 100); CLOISTER_SEED: moments of an earlier run.
"""
import ctypes
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from harness import OciTest, PATIENCE, RUNSC, RUNSC_FLAGS, Runtime, config, processes, wait_until

CYCLES = int(os.environ.get("CLOISTER_CYCLES", "200"))
KILLS = int(os.environ.get("CLOISTER_KILLS", "100"))
AT_ONCE = 8
GROUPS = "/sys/fs/cgroup"
SO_NETNS_COOKIE = 71
CLONE_NEWNET = 0x40000000


def network_cookie(pid):
    """The number of a process's network namespace, which no other gets after it; None for one that is gone."""
    found = []

    def enter():
        try:
            with open(f"/proc/{pid}/ns/net", "rb") as namespace:
                if ctypes.CDLL(None).setns(namespace.fileno(), CLONE_NEWNET) != 0:
                    return
            with socket.socket() as probe:
                found.append(int.from_bytes(probe.getsockopt(socket.SOL_SOCKET, SO_NETNS_COOKIE, 8), "little"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            pass  # process 1's may be out of reach

    thread = threading.Thread(target=enter)  # which alone moves
    thread.start()
    thread.join()
    return found[0] if found else None


def command_name(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as text:
            return text.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


class CyclesTest(OciTest):
    """Each container has a network namespace and control groups of its own, and a limit on processes."""

    def setUp(self):
        super().setUp()
        if self.runsc.name == "runc":
            self.skipTest("looks for processes by runsc's names")
        # A program of its own, so that its processes are told from all others.
        self.place = f"/var/tmp/cloister-cycles-{os.getpid()}-{self._testMethodName}"
        os.mkdir(self.place)
        self.addCleanup(shutil.rmtree, self.place)
        program = os.path.join(self.place, "runsc")
        shutil.copy(RUNSC, program)
        self.runtime = Runtime(program, RUNSC_FLAGS)
        self.addCleanup(self.runtime.close)
        self.group = os.path.basename(self.place)
        self.addCleanup(self.remove_groups)

    def groups(self):
        """Those of this test's containers in every hierarchy, children last."""
        tops = [os.path.join(place, self.group) for place, names, _ in os.walk(GROUPS) if self.group in names]
        return [os.path.join(place, name) for top in tops for place, names, _ in os.walk(top) for name in names]

    def remove_groups(self):
        """runsc leaves the parents."""
        for top in [os.path.join(place, self.group) for place, names, _ in os.walk(GROUPS) if self.group in names]:
            for place, _, _ in os.walk(top, topdown=False):
                os.rmdir(place)

    def running(self):
        """pid → name of this program's processes."""
        found = {}
        for pid in processes():
            try:
                if os.readlink(f"/proc/{pid}/exe").startswith(self.runtime.path):
                    found[pid] = command_name(pid)
            except OSError:
                pass
        return found

    def new_bundle(self, container):
        bundle = self.bundle(["/bin/sleep", "1000"])
        self.rename(bundle, container)
        return bundle

    def rename(self, bundle, container):
        """The bundle as it is for a container of this name."""
        settings = config(["/bin/sleep", "1000"], root=self.tree, readonly=True)
        settings["linux"].update(cgroupsPath=f"/{self.group}/{container}", resources={"pids": {"limit": 100}})
        self.write_config(bundle, settings)

    def call(self, *args):
        done = self.runtime.call_quietly(*args)
        return done.status, done.err

    def check_nothing_left(self, bundles, mounts, cookies=()):
        """Of this program: the processes get a moment to end."""
        self.assertTrue(wait_until(lambda: not self.running(), seconds=5), self.running())
        self.assertEqual([], self.groups())
        self.assertEqual([], os.listdir(self.runtime.root))
        with open("/proc/mounts", encoding="utf-8") as text:
            self.assertFalse([line for line in text if any(word in line for word in mounts)])
        for bundle in bundles:
            self.assertEqual(["config.json"], os.listdir(bundle))
        networks = {network_cookie(pid) for pid in processes()} if cookies else set()
        self.assertFalse(networks & set(cookies))


class AtOnceTest(CyclesTest):
    def cycle(self, bundle):
        container = self.runtime.new_id()
        self.rename(bundle, container)
        self.assertEqual((0, ""), self.call("create", "--bundle", bundle, container))
        pid = self.runtime.state(container)["pid"]
        cookie = network_cookie(pid)
        self.assertEqual((0, ""), self.call("start", container))
        self.assertEqual((0, ""), self.call("kill", container, "KILL"))
        self.assertTrue(wait_until(lambda: self.runtime.state(container)["status"] == "stopped"))
        self.assertEqual((0, ""), self.call("delete", container))
        return cookie

    def test_nothing_is_left_of_many(self):
        bundles = [self.new_bundle("") for _ in range(AT_ONCE)]

        def series(number):
            return [self.cycle(bundles[number]) for _ in range(number, CYCLES, AT_ONCE)]

        with ThreadPoolExecutor(AT_ONCE) as pool:
            cookies = [cookie for part in pool.map(series, range(AT_ONCE)) for cookie in part]
        self.assertEqual(CYCLES, len(set(cookies) - {None, network_cookie("self")}), "each has a network of its own")
        self.check_nothing_left(bundles, [self.place, self.runtime.root], cookies)


class RandomKillTest(CyclesTest):
    """Whatever is killed, and when: delete --force succeeds and nothing is left."""
    STEPS = ("create", "start", "exec", "kill", "delete")

    def arguments(self, step, bundle, container):
        return {"create": ("create", "--bundle", bundle, container), "start": ("start", container),
                "exec": ("exec", container, "/bin/true"), "kill": ("kill", container, "KILL"),
                "delete": ("delete", "--force", container)}[step]

    def begin(self, step, bundle, container):
        return subprocess.Popen(self.runtime.argv(*self.arguments(step, bundle, container)), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def life(self, bundle, container, begun=lambda: None):
        """All steps, whatever comes of them; how long each took."""
        took = {}
        for step in self.STEPS:
            start = time.monotonic()
            with self.begin(step, bundle, container) as process:
                begun()
                process.wait(PATIENCE)
            took[step] = time.monotonic() - start
        return took

    def kill_runsc(self, bundle, container, took):
        """Within one of the commands."""
        last = self.random.choice(self.STEPS)
        moment = self.random.uniform(0, took[last])
        for step in self.STEPS:
            with self.begin(step, bundle, container) as process:
                if step == last:
                    time.sleep(moment)  # NOLINT(sleep): the moment is what is tested
                    process.kill()
                    return f"runsc {step} after {moment * 1000:.1f} ms"
                process.wait(PATIENCE)
        return None

    def kill_process(self, name, bundle, container, took):
        """The first of this name from some moment on; the commands go on as if nothing were."""
        moment = self.random.uniform(0, sum(took.values()))
        life = threading.Thread(target=self.life, args=(bundle, container))
        life.start()
        time.sleep(moment)  # NOLINT(sleep): the moment is what is tested
        killed = None
        while killed is None and life.is_alive():
            for pid in [pid for pid, found in self.running().items() if found == name]:
                try:
                    os.kill(pid, 9)
                    killed = f"{name} after {moment * 1000:.1f} ms"
                    break
                except ProcessLookupError:
                    pass
        life.join()
        return killed

    def test_nothing_is_left_where_the_groups_were_just_made(self):
        container = self.runtime.new_id()
        bundle = self.new_bundle(container)
        self.life(bundle, container)
        parents = [os.path.join(place, self.group) for place, names, _ in os.walk(GROUPS) if self.group in names]
        for parent in parents:
            with self.subTest(parent=parent):
                with self.begin("create", bundle, container) as process:
                    while process.poll() is None and not os.path.exists(os.path.join(parent, container)):
                        pass
                    process.kill()
                self.assertEqual((0, ""), self.call("delete", "--force", container))
                self.check_nothing_left([bundle], [self.place, self.runtime.root])

    def test_nothing_is_left_of_what_was_killed(self):
        seed = int(os.environ.get("CLOISTER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
        print(f"CLOISTER_SEED={seed}", end=" ", flush=True)
        self.random = random.Random(seed)
        container = self.runtime.new_id()
        bundle = self.new_bundle(container)
        took = self.life(bundle, container)
        kills = 0
        while kills < KILLS:
            name = self.random.choice(("runsc", "runsc-sentry", "runsc-gofer", "runsc-monitor"))
            if name == "runsc":
                killed = self.kill_runsc(bundle, container, took)
            else:
                killed = self.kill_process(name, bundle, container, took)
            if killed is None:
                continue  # its time was over
            kills += 1
            with self.subTest(seed=seed, kill=kills, killed=killed):
                self.assertEqual((0, ""), self.call("delete", "--force", container))
                self.check_nothing_left([bundle], [self.place, self.runtime.root])


if __name__ == "__main__":
    unittest.main()
