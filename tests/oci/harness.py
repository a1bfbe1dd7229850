"""Bundles, runtimes and what they leave behind: shared by the end-to-end tests. Runs as root, on plain python3.

Environment: RUNSC (the command under test), RUNC (the one to compare with), RUNSC_FLAGS (global flags for
RUNSC), CLOISTER_ROOTFS or CLOISTER_CACHE (see make_rootfs).
"""
import copy
import ctypes
import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
RUNSC = os.environ.get("RUNSC") or os.path.join(HERE, "../../bazel-bin/runsc/runsc")
RUNC = os.environ.get("RUNC", "runc")
RUNSC_FLAGS = os.environ.get("RUNSC_FLAGS", "").split()
PATIENCE = 60  # seconds after which a command is taken for stuck

DEFAULT_CAPS = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
]

MOUNTS = [
    {"destination": "/proc", "type": "proc", "source": "proc"},
    {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
    {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
     "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
    {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "mode=1777"]},
]

MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


@functools.lru_cache(maxsize=None)
def rootfs():
    """The Debian tree; not to be written."""
    return subprocess.run([os.path.join(HERE, "make_rootfs")], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def config(args, **changes):
    """A config.json as Docker would write it. Keys of `changes`: env, cwd, terminal, readonly, user, rlimits, mounts, root, caps, process."""
    caps = changes.get("caps", DEFAULT_CAPS)
    return copy.deepcopy({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": changes.get("terminal", False),
            "user": changes.get("user", {"uid": 0, "gid": 0}),
            "args": list(args),
            "env": changes.get("env", ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                                       "TERM=xterm", "LC_ALL=C.UTF-8"]),
            "cwd": changes.get("cwd", "/"),
            "capabilities": {kind: caps for kind in ("bounding", "effective", "permitted")},
            "rlimits": changes.get("rlimits", [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}]),
            "noNewPrivileges": changes.get("noNewPrivileges", False),
            **changes.get("process", {}),
        },
        "root": {"path": changes.get("root", "rootfs"), "readonly": changes.get("readonly", False)},
        "hostname": "sandbox",
        "mounts": MOUNTS + changes.get("mounts", []),
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")],
            "maskedPaths": MASKED,
            "readonlyPaths": READONLY,
        },
    })


def reap_orphans():
    """Goes on in a child; the parent reaps whatever a runtime leaves to it, as an init would.

    Where process 1 is not an init (in a container, say), dead orphans would stay and look like leftovers.
    """
    child = os.fork()
    if child == 0:
        return
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pid, status = os.wait()
        if pid == child:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def __eq__(self, other):
        return (self.status, self.out) == (other.status, other.out)


class Runtime:
    """One of the two commands, with a state directory of its own."""
    numbers = itertools.count()

    def __init__(self, path, flags=()):
        self.path, self.flags = path, list(flags)
        self.name = os.path.basename(path)
        self.root = tempfile.mkdtemp(prefix=f"cloister-{self.name}-")

    def argv(self, *args):
        return [self.path, "--root", self.root, *self.flags, *args]

    def new_id(self):
        return f"cloister-{os.getpid()}-{next(self.numbers)}"

    def call(self, *args, stdin="", cwd=None, timeout=PATIENCE):
        """Any subcommand, to its end."""
        process = subprocess.Popen(self.argv(*args), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, errors="backslashreplace", cwd=cwd, start_new_session=True)
        try:
            out, err = process.communicate(stdin, timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            err += f"\n(stopped after {timeout} s)"
        return Result(process.returncode, out, err)

    def run(self, bundle, **options):
        return self.call("run", "--bundle", bundle, self.new_id(), **options)

    def state(self, container):
        result = self.call("state", container)
        return json.loads(result.out) if result.status == 0 else None

    def call_quietly(self, *args):
        """As call, for commands whose streams a container goes on holding: nothing comes in, errors go through a file."""
        with tempfile.TemporaryFile("w+", errors="backslashreplace") as err:
            done = subprocess.run(self.argv(*args), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                                  timeout=PATIENCE, check=False)
            err.seek(0)
            return Result(done.returncode, "", err.read())

    def start_detached(self, bundle, container=None):
        """create and start; the container's standard streams are /dev/null. Answers the ID."""
        container = container or self.new_id()
        for args in (("create", "--bundle", bundle, container), ("start", container)):
            done = self.call_quietly(*args)
            if done.status != 0:
                raise AssertionError(f"{self.name} {args[0]}: {done.err}")
        return container

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


def wait_until(condition, seconds=10):
    """Whether the condition comes true in time; for states of other processes that nothing announces."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # NOLINT(sleep): polls
    return True


def processes():
    """pid → command line of every process of the host, zombies left out."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    continue
            with open(f"/proc/{name}/cmdline", "rb") as cmdline:
                found[int(name)] = cmdline.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def family(pid):
    """The process and all its descendants, from /proc."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if fields[0] != "Z":
                children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


class Leftovers:
    """What was there before: processes that name the runtime, mounts, cgroups, files in its state directory."""

    def __init__(self, runtime):
        self.runtime = runtime
        self.before = self.look()

    def look(self):
        mine = os.path.realpath(self.runtime.path)
        running = set()
        for pid, line in processes().items():
            try:
                exe = os.path.realpath(f"/proc/{pid}/exe")
            except OSError:
                exe = ""
            if exe.startswith(mine) or self.runtime.root in line:
                running.add((pid, line))
        with open("/proc/mounts", encoding="utf-8") as mounts:
            mounted = set(mounts.read().splitlines())
        # Every container of a test has this process's number in its name, and so have its groups.
        groups = {os.path.join(place, name) for place, names, _ in os.walk("/sys/fs/cgroup") for name in names
                  if f"-{os.getpid()}" in os.path.join(place, name)}
        return running, mounted, groups, set(os.listdir(self.runtime.root))

    def problems(self):
        """What is there now and was not before; waits a little for processes on their way out."""
        wait_until(lambda: self.look()[0] <= self.before[0], seconds=5)
        now = self.look()
        kinds = ("processes", "mounts", "cgroups", "state files")
        return [f"{kind}: {sorted(new - old)}" for kind, old, new in zip(kinds, self.before, now) if new - old]


class OciTest(unittest.TestCase):
    """A test with bundles, the runtime under test, and a check that nothing stays behind."""
    maxDiff = 4000

    @classmethod
    def setUpClass(cls):
        if os.geteuid() != 0:
            raise unittest.SkipTest("needs root")
        if not os.access(RUNSC, os.X_OK):
            raise unittest.SkipTest(f"no runsc in {RUNSC}")
        cls.tree = rootfs()

    def setUp(self):
        self.runsc = Runtime(RUNSC, RUNSC_FLAGS)
        self.addCleanup(self.runsc.close)
        leftovers = Leftovers(self.runsc)
        self.addCleanup(lambda: self.assertEqual([], leftovers.problems()))
        self.addCleanup(self.sweep)

    def sweep(self):
        """Deletes the test's containers, whatever their state."""
        for container in os.listdir(self.runsc.root):
            self.runsc.call("delete", "--force", container)

    def other_runtime(self):
        if not shutil.which(RUNC):
            self.skipTest("no runc to compare with")
        runtime = Runtime(RUNC)
        self.addCleanup(runtime.close)
        return runtime

    def bundle(self, args, tree=None, **changes):
        """A bundle directory. The tree is the shared one, read-only unless writable=True: then an overlay on it."""
        where = tempfile.mkdtemp(prefix="cloister-bundle-")
        self.addCleanup(shutil.rmtree, where, ignore_errors=True)
        writable = changes.pop("writable", False)
        changes.setdefault("readonly", not writable)
        if writable:
            root = self.overlay(where)
        else:
            root = tree or self.tree
        changes.setdefault("root", root)
        self.write_config(where, config(args, **changes))
        return where

    def overlay(self, where):
        upper, work, merged = (os.path.join(where, name) for name in ("upper", "work", "rootfs"))
        for path in (upper, work, merged):
            os.mkdir(path)
        os.chmod(upper, 0o755)
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.tree},upperdir={upper},workdir={work}", merged],
                       check=True)
        self.addCleanup(subprocess.run, ["umount", merged], check=False)
        return merged

    @staticmethod
    def write_config(where, content):
        with open(os.path.join(where, "config.json"), "w", encoding="utf-8") as out:
            if isinstance(content, str):
                out.write(content)
            else:
                json.dump(content, out)

    def run_shell(self, script, runtime=None, stdin="", timeout=PATIENCE, **changes):
        bundle = self.bundle(["/bin/bash", "-c", script], **changes)
        return (runtime or self.runsc).run(bundle, stdin=stdin, timeout=timeout)


if os.geteuid() == 0:
    reap_orphans()
