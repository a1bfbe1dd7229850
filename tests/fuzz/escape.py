"""A hostile guest in real sandboxes, on both platforms: tools/fuzz escape.

A sandbox may go on, or end: then its log has to say that it did so since a process of the guest had died. Sentry and
gofer may not fail, nothing of the host may be touched, and the next sandbox has to work.
"""
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import tempfile
import time
import uuid

ATTACKS = 40  # of one sandbox
TIMEOUT = 90
FINISHED = 42
# The last thing that the log says of a sandbox whose guest has ended a host process of its own.
GUESTS_OWN_DEATH = re.compile(r"stub \d+ was killed from outside; the sandbox ends")


class Canary:
    """Files beside the bundle, the runtime itself, and a process: nothing inside may reach them."""

    def __init__(self, runsc):
        self.path = tempfile.mkdtemp(prefix="cloister-fuzz-canary-")
        self.runsc = runsc
        for name in ("secret", "program"):
            with open(os.path.join(self.path, name), "w", encoding="utf-8") as out:
                out.write(uuid.uuid4().hex)
        self.process = subprocess.Popen(["sleep", "100000"], cwd=self.path)
        self.before = self.look()

    def look(self):
        seen = {}
        for path in [self.runsc] + [os.path.join(self.path, name) for name in sorted(os.listdir(self.path))]:
            with open(path, "rb") as source:
                seen[path] = hashlib.sha256(source.read()).hexdigest(), os.stat(path).st_mode, os.stat(path).st_ctime_ns
        return seen

    def problems(self):
        found = [] if self.process.poll() is None else [f"the canary's process ended with {self.process.returncode}"]
        return found + ([] if self.look() == self.before else ["something of the host was changed"])

    def remove(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.path)


class Escape:
    def __init__(self, program, runsc):
        self.runsc = runsc
        self.bundle = tempfile.mkdtemp(prefix="cloister-fuzz-")
        root = os.path.join(self.bundle, "rootfs")
        for name in ("proc", "dev", "work"):
            os.makedirs(os.path.join(root, name))
        shutil.copy(program, os.path.join(root, "escape_guest"))
        self.state = tempfile.mkdtemp(prefix="cloister-fuzz-state-")
        self.canary = Canary(runsc)

    def remove(self):
        self.canary.remove()
        for path in (self.bundle, self.state):
            shutil.rmtree(path)

    def configure(self, args):
        config = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/escape_guest", *args], "env": [], "cwd": "/work"},
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
                       {"destination": "/work", "type": "tmpfs", "source": "tmpfs"}],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
        }
        with open(os.path.join(self.bundle, "config.json"), "w", encoding="utf-8") as out:
            json.dump(config, out)

    def run(self, platform, args):
        """(status, output, log); status None: it did not end."""
        self.configure(args)
        log = os.path.join(self.bundle, "log")
        name = f"fuzz-escape-{uuid.uuid4().hex[:12]}"
        global_flags = [self.runsc, "--root", self.state, f"--platform={platform}", f"--debug-log={log}"]
        with open(os.path.join(self.bundle, "out"), "w+", encoding="latin-1") as out:
            process = subprocess.Popen([*global_flags, "run", "--bundle", self.bundle, name], stdin=subprocess.DEVNULL,
                                       stdout=out, stderr=subprocess.STDOUT)
            try:
                status = process.wait(TIMEOUT)
            except subprocess.TimeoutExpired:
                status = None
                process.kill()
                process.wait()
            subprocess.run([*global_flags, "delete", "--force", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=False, timeout=TIMEOUT)
            out.seek(0)
            said = out.read()
        with open(log, encoding="latin-1") as records:
            told = records.read()
        os.unlink(log)
        return status, said, told

    def problems(self, platform, seed):
        """What is wrong after one sandbox, and how it ended."""
        status, said, log = self.run(platform, [str(seed), str(ATTACKS)])
        last = log.strip().splitlines()[-1:] or [""]
        found = []
        if status is None:
            found.append(f"the sandbox did not end within {TIMEOUT} s")
        elif status != FINISHED and not GUESTS_OWN_DEATH.search(last[0]):
            found.append(f"the sandbox ended with {status}")
        found += self.canary.problems()
        if self.leftovers():
            found.append(f"processes are left: {self.leftovers()}")
        well, text, _ = self.run(platform, ["well"])
        if (well, text) != (0, "well\n"):
            found.append(f"the next sandbox ended with {well} and said {text!r}")
        if found:
            found += ["its output:", said[-2000:], "its log:", log[-2000:]]
        return found, status == FINISHED

    def leftovers(self, patience=5):
        """Processes of the runtime that are still there; some are on their way out."""
        end = time.monotonic() + patience
        while True:
            found = []
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as cmdline:
                        if self.state.encode() in cmdline.read():
                            found.append(int(name))
                except OSError:
                    pass
            if not found or time.monotonic() > end:
                return found
            time.sleep(0.02)  # NOLINT(sleep): polls


def main(program, runsc, seed, seconds, platforms=("systrap", "ptrace")):
    seed = seed or random.randrange(2**32)
    print(f"seed {seed}", flush=True)
    escape = Escape(program, runsc)
    sandboxes, finished, failed = 0, 0, 0
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            for platform in platforms:
                found, whole = escape.problems(platform, seed)
                sandboxes += 1
                finished += whole
                failed += bool(found)
                if found:
                    print(f"FAILED: tools/fuzz escape --platform {platform} --seed {seed} --seconds 1")
                    print("\n".join("  " + line for line in found), flush=True)
            seed += 1
    finally:
        escape.remove()
    print(f"{sandboxes} sandboxes of {ATTACKS} attacks, {finished} went on to the end, {sandboxes - finished} ended by a "
          f"stub's death; {failed} failed")
    return 1 if failed else 0
