"""kill -9 of the shim and of containerd at random moments of a container's life: containerd comes to itself, and nothing is left.

Environment: CLOISTER_ENGINE_KILLS: how many in all (default 4); CLOISTER_SEED: moments of an earlier run.
"""
import os
import random
import signal
import subprocess
import time
import unittest

from engines import EngineTest, cgroups, command, containerd, image_reference, must, place, remove_groups, runsc, shim, shims, wait_until
from harness import processes
from test_shim import RUNTIMES

KILLS = int(os.environ.get("CLOISTER_ENGINE_KILLS", "4"))


class EngineKills(EngineTest):
    """A containerd of its own, which is started again when it is killed."""

    def setUp(self):
        reach = containerd()  # which has the image
        shim()
        self.space = os.path.basename(place()) + "-kills"
        self.addCleanup(remove_groups, self.space)
        self.socket, archive = place("kills/containerd.sock"), place("kills.oci")
        os.makedirs(place("kills"), exist_ok=True)
        with open(place("kills/config.toml"), "w", encoding="utf-8") as out:
            out.write(f'version = 2\nroot = "{place("kills/root")}"\nstate = "{place("kills/state")}"\n'
                      f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\n  address = "{self.socket}"\n')
        self.daemon = None
        self.start_daemon()
        self.addCleanup(self.stop_daemon)
        must(*reach, "image", "export", archive, image_reference(), timeout=120)
        must(*self.reach, "image", "import", archive, timeout=240)
        os.unlink(archive)

    @property
    def reach(self):
        return ("ctr", "--address", self.socket, "--namespace", self.space)

    def start_daemon(self):
        with open(place("kills/log"), "a", encoding="utf-8") as log:
            self.daemon = subprocess.Popen(["containerd", "--config", place("kills/config.toml")], stdout=log, stderr=log, cwd=place(),
                                           env={**os.environ, "PATH": f"{place()}:{os.environ['PATH']}"})
        if not wait_until(lambda: command(*self.reach, "version").status == 0, seconds=60):
            with open(place("kills/log"), encoding="utf-8") as log:
                raise AssertionError(f"containerd does not start: {log.read()[-3000:]}")

    def stop_daemon(self):
        self.daemon.terminate()
        self.daemon.wait(timeout=30)

    def life(self, name):
        """The commands of a container's life, one after the other."""
        for args in (("run", "--detach", "--runtime", RUNTIMES["runsc"], image_reference(), name, "sleep", "1000"),
                     ("task", "exec", "--exec-id", "one", name, "true"), ("task", "kill", "--signal", "SIGKILL", name),
                     ("task", "delete", name), ("container", "delete", name)):
            yield [*self.reach, *args]

    def whole_life(self, name):
        began = time.monotonic()
        for argv in self.life(name):
            command(*argv)
        return time.monotonic() - began

    def killed(self, victim, name, moment):
        """Lives until that moment, and on as far as that goes; whether there was somebody to kill."""
        done, due, rest = False, time.monotonic() + moment, list(self.life(name))
        for argv in rest:
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
                while client.poll() is None:
                    if not done and time.monotonic() > due:
                        done = self.kill(victim, name)
                    time.sleep(0.002)  # NOLINT(sleep): the moment is what is tested
        return done

    def kill(self, victim, name):
        pids = {self.daemon.pid} if victim == "containerd" else shims("-id", name)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if victim == "containerd":
            self.daemon.wait()
            self.start_daemon()
        return bool(pids)

    def sweep(self, name):
        """What an operator does: by force, until containerd has noticed what happened."""
        def gone():
            command(*self.reach, "task", "rm", "--force", name)
            command(*self.reach, "container", "rm", name)
            left = must(*self.reach, "container", "list", "--quiet") + must(*self.reach, "task", "list", "--quiet")
            return left == ""
        self.assertTrue(wait_until(gone, seconds=60), command(*self.reach, "task", "list"))

    def left(self):
        """Processes, mounts, control groups, and files below containerd's state and runsc's."""
        ours = [line for line in processes().values() if line.startswith("runsc") or runsc() in line or "-shim-runsc-v1" in line]
        with open("/proc/mounts", encoding="utf-8") as text:
            mounts = [line for line in text if place("kills/state") in line]
        groups = [group for group in cgroups(self.space) if os.path.basename(group) != self.space]
        bundles = place("kills/state/io.containerd.runtime.v2.task", self.space)
        roots = os.path.join("/run/containerd/runsc", self.space)
        return ours + mounts + groups + [path for top in (bundles, roots) if os.path.isdir(top) for path in os.listdir(top)]

    def test_nothing_is_left_of_what_was_killed(self):
        seed = int(os.environ.get("CLOISTER_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
        print(f"CLOISTER_SEED={seed}", end=" ", flush=True)
        choice = random.Random(seed)
        whole = self.whole_life("first")
        self.sweep("first")
        kills, number = 0, 0
        while kills < KILLS:
            number += 1
            victim, moment, name = choice.choice(("shim", "containerd")), choice.uniform(0, whole), f"life-{number}"
            done = self.killed(victim, name, moment)
            kills += done
            with self.subTest(seed=seed, victim=victim, moment=f"{moment:.3f} of {whole:.3f} s", done=done):
                self.sweep(name)
                self.assertTrue(wait_until(lambda: not self.left(), seconds=30), self.left())


if __name__ == "__main__":
    unittest.main()
