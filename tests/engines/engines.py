"""Docker, containerd and Podman for the tests of this folder, in namespaces that take everything along when they end.

A test's command line runs twice: once more, inside, by isolate(), in mount, network, pid and IPC namespaces of its
own. There /run is empty and /etc may be written, and nothing that an engine starts outlives the tests.

By hand: `engines.py COMMAND…` runs a command inside, with dockerd up and DOCKER_HOST set.
Environment: RUNSC, CLOISTER_ROOTFS or CLOISTER_CACHE as in tests/oci; RUNSC_FLAGS are added to every call of RUNSC.
"""
import atexit
import contextlib
import functools
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../oci"))
INSIDE = "CLOISTER_ENGINES_INSIDE"  # the directory that is ours
GROUPS = "/sys/fs/cgroup"
PODMAN = "libpod_parent"
IMAGE = "debian"
DOCKER = "/usr/bin/docker"  # Debian's, whatever else is in the PATH
PRUNED = ["./dev/*", "./usr/include", "./usr/lib/gcc", "./usr/lib/git-core", "./usr/lib/x86_64-linux-gnu/*.a",
          "./usr/libexec", "./usr/share/doc", "./usr/share/locale", "./usr/share/man", "./var/cache"]


def cgroups(name):
    """Those below a top-level group of this name, in every hierarchy, children last."""
    tops = [os.path.join(GROUPS, hierarchy, name) for hierarchy in os.listdir(GROUPS)] + [os.path.join(GROUPS, name)]
    return [place for top in tops for place, _, _ in os.walk(top)]


def remove_groups(name):
    """The processes in them may still be on their way out."""
    for _ in range(200):
        for group in reversed(cgroups(name)):
            with contextlib.suppress(OSError):
                os.rmdir(group)
        if not cgroups(name):
            return
        time.sleep(0.05)  # NOLINT(sleep): polls
    raise AssertionError(f"in use: {cgroups(name)}")


def isolate():
    """Runs this very command line inside and ends as it does; inside, sets things up and returns."""
    if os.environ.get(INSIDE):
        set_up()
        return
    place = f"/var/lib/cloister-engines-{os.getpid()}"
    podman_was_here = cgroups(PODMAN)
    os.mkdir(place, 0o755)
    try:
        status = subprocess.run(["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc",
                                 sys.executable, *sys.orig_argv[1:]], env={**os.environ, INSIDE: place}, check=False).returncode
    finally:
        remove_groups(os.path.basename(place))
        if not podman_was_here:
            for group in reversed(cgroups(PODMAN)):
                with contextlib.suppress(OSError):  # the group of others that run at the same time
                    os.rmdir(group)
        shutil.rmtree(place)
    os._exit(status if status >= 0 else 128 - status)


@functools.lru_cache(maxsize=None)
def set_up():
    place = os.environ[INSIDE]
    etc, groups = os.path.join(place, "etc"), os.path.join(place, "cgroup")

    def mount(*args):
        subprocess.run(["mount", *args], check=True)
    for path in (etc, groups):
        os.mkdir(path)
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    # /sys of the new network namespace, with the cgroups as they were.
    mount("--rbind", GROUPS, groups)
    mount("-t", "sysfs", "sysfs", "/sys")
    mount("--move", groups, GROUPS)
    mount("-t", "tmpfs", "tmpfs", etc)
    for name in ("upper", "work"):
        os.mkdir(os.path.join(etc, name))
    mount("-t", "overlay", "overlay", "-o", f"lowerdir=/etc,upperdir={etc}/upper,workdir={etc}/work", "/etc")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


if os.geteuid() == 0:
    isolate()
from harness import PATIENCE, RUNSC, Result, processes, rootfs, wait_until  # noqa: E402  pylint: disable=wrong-import-position


def command(*argv, stdin="", timeout=PATIENCE):
    """To its end. What it leaves running may keep its streams."""
    with tempfile.TemporaryFile("w+") as source, tempfile.TemporaryFile("w+", errors="backslashreplace") as out, \
            tempfile.TemporaryFile("w+", errors="backslashreplace") as err:
        source.write(stdin)
        source.seek(0)
        try:
            status = subprocess.run(argv, stdin=source, stdout=out, stderr=err, timeout=timeout, check=False).returncode
        except subprocess.TimeoutExpired:
            status = f"none after {timeout} s"
        for stream in (out, err):
            stream.seek(0)
        return Result(status, out.read(), err.read())


def must(*argv, **options):
    done = command(*argv, **options)
    if done.status != 0:
        raise AssertionError(f"{shlex.join(argv)}: {done}")
    return done.out.strip()


def place(*names):
    return os.path.join(os.environ[INSIDE], *names)


@functools.lru_cache(maxsize=None)
def runsc():
    """A copy of RUNSC, or where there are RUNSC_FLAGS a script that adds them."""
    path, flags = place("runsc"), os.environ.get("RUNSC_FLAGS", "")
    if flags:
        with open(path, "w", encoding="utf-8") as script:
            script.write(f'#!/bin/sh\nexec {shlex.quote(os.path.realpath(RUNSC))} {flags} "$@"\n')
    else:
        shutil.copyfile(RUNSC, path)
    os.chmod(path, 0o755)
    return path


@functools.lru_cache(maxsize=None)
def shim():
    """A copy of runsc's shim for containerd, beside runsc()'s, which it starts."""
    path = place("containerd-shim-runsc-v1")
    shutil.copyfile(os.path.join(os.path.dirname(os.path.realpath(RUNSC)), "shim/containerd-shim-runsc-v1"), path)
    os.chmod(path, 0o755)
    runsc()
    return path


@functools.lru_cache(maxsize=None)
def image_file():
    """The tests' image: the Debian tree of tests/oci, without what nobody runs."""
    path = place("image.tar")
    must("tar", "-C", rootfs(), *(f"--exclude={name}" for name in PRUNED), "-cf", path, ".")
    return path


class Dockerd:
    """The daemon, with a containerd of its own."""

    def __init__(self):
        self.socket = f"unix://{place('docker.sock')}"
        self.containerd = place("exec/containerd/containerd.sock")
        self.settings = {
            "data-root": place("data"), "exec-root": place("exec"), "pidfile": place("docker.pid"),
            "hosts": [self.socket], "runtimes": {"runsc": {"path": runsc()}},
            "cgroup-parent": "/" + os.path.basename(place()), "shutdown-timeout": 1,
        }
        self.configure()
        shim()
        os.environ["PATH"] = f"{place()}:{os.environ['PATH']}"  # where containerd looks for shims
        with open(place("dockerd.log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(["dockerd", "--config-file", place("daemon.json")], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, cwd=place())
        atexit.register(self.stop)
        if not wait_until(lambda: command(DOCKER, "version").status == 0, seconds=30):
            with open(place("dockerd.log"), encoding="utf-8") as log:
                raise AssertionError(f"dockerd does not start: {log.read()[-3000:]}")
        must(DOCKER, "import", image_file(), IMAGE)

    def configure(self, **changes):
        self.settings.update(changes)
        with open(place("daemon.json"), "w", encoding="utf-8") as out:
            json.dump(self.settings, out)
        os.environ["DOCKER_HOST"] = self.socket

    def use_by_default(self, runtime):
        """For "docker build", which takes no --runtime."""
        self.configure(**{"default-runtime": runtime})
        self.process.send_signal(signal.SIGHUP)
        wanted = lambda: command(DOCKER, "info", "--format", "{{.DefaultRuntime}}").out.strip() == runtime  # noqa: E731
        if not wait_until(wanted):
            raise AssertionError(f"dockerd does not take {runtime} as its default")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()


@functools.lru_cache(maxsize=None)
def dockerd():
    return Dockerd()


def image_reference():
    """The image's name in containerd()."""
    return f"docker.io/library/{IMAGE}:latest"


@functools.lru_cache(maxsize=None)
def containerd():
    """dockerd's containerd with the tests' image; the arguments that reach it."""
    reach = ("ctr", "--address", dockerd().containerd, "--namespace", os.path.basename(place()))
    archive = place("image.oci")
    must(DOCKER, "save", "--output", archive, IMAGE)
    must(*reach, "image", "import", archive, timeout=120)
    os.unlink(archive)
    return reach


def shims(*words):
    """pids of the shims with these words side by side on their command line."""
    return {pid for pid, line in processes().items() if "containerd-shim-run" in line and f" {' '.join(words)} " in f"{line} "}


class EngineTest(unittest.TestCase):
    """Cases are written once and run with both runtimes: see both()."""
    runtime = ""
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        if not os.access(RUNSC, os.X_OK):
            raise unittest.SkipTest(f"no runsc in {RUNSC}")


def both(names, cases):
    """Puts CasesRunc and CasesRunsc into a module: what does not pass with runc is no case."""
    for runtime in ("runc", "runsc"):
        name = cases.__name__ + runtime.capitalize()
        names[name] = type(name, (cases, EngineTest), {"runtime": runtime, "__module__": cases.__module__})


if __name__ == "__main__":
    dockerd()
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
