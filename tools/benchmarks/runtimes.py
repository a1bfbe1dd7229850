"""What is compared: the host itself and OCI runtimes, each with a bundle for every measurement."""
import json
import os
import re
import shutil
import subprocess

SCRATCH = "/scratch"
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID"]
# As Docker's default container has them.
WORK_CAPS = CAPS + ["CAP_MKNOD", "CAP_NET_RAW", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE", "CAP_SETFCAP"]
PROC = {"destination": "/proc", "type": "proc", "source": "proc"}
DEV = {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"]}


def libraries(program):
    """The shared libraries of a program, its interpreter included."""
    listed = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout
    return re.findall(r"(/\S+) \(0x", listed)


def copy_into(root, path):
    """The file behind path, as path."""
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copy(os.path.realpath(path), target)


def make_tree(root, micro):
    """A root file system with just what the measured program touches."""
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
        os.makedirs(os.path.join(root, name))
    os.mkdir(root + SCRATCH)
    for name in os.listdir("/etc"):  # readdir reads as much as on the host
        open(os.path.join(root, "etc", name), "w", encoding="utf-8").close()
    for path in ["/bin/true", *libraries("/bin/true")]:
        copy_into(root, path)
    shutil.copy(micro, os.path.join(root, "micro"))


def config(args, root, caps=tuple(CAPS), mounts=(PROC, DEV)):
    """The least config.json that all the runtimes take."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": args,
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "cwd": "/",
            "capabilities": {kind: list(caps) for kind in ("bounding", "effective", "permitted")},
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        },
        "root": {"path": root, "readonly": False},
        "hostname": "bench",
        "mounts": list(mounts),
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
    }


def write_bundle(where, content):
    os.makedirs(where, exist_ok=True)
    with open(os.path.join(where, "config.json"), "w", encoding="utf-8") as out:
        json.dump(content, out)


def make_bundle(where, args):
    write_bundle(where, config(args, os.path.join(os.path.dirname(where), "rootfs")))


class Native:
    """The program as it is, on the host."""

    def __init__(self, work):
        self.work = work
        self.scratch = os.path.join(work, "native")
        os.mkdir(self.scratch)

    def micro_argv(self, prefix):
        return [os.path.join(self.work, "micro"), self.scratch, *prefix]

    def true_argv(self):
        return ["/bin/true"]

    def sweep(self):
        """Nothing of it outlives its run."""


class Container:
    """An OCI runtime with a state directory of its own."""

    def __init__(self, work, name, path, flags=()):
        self.work, self.name, self.path = work, name, path
        self.state = os.path.join(work, f"state-{name}")
        os.mkdir(self.state)
        self.base = [path, "--root", self.state, *flags]
        self.count = 0

    def run_argv(self, bundle):
        self.count += 1
        return [*self.base, "run", "--bundle", os.path.join(self.work, bundle), f"bench-{self.name}-{os.getpid()}-{self.count}"]

    def micro_argv(self, _prefix):
        return self.run_argv("micro-bundle")

    def true_argv(self):
        return self.run_argv("true-bundle")

    def sweep(self):
        """Deletes what a run that was stopped has left."""
        for entry in os.listdir(self.state):
            container = re.match(rf"(?:\.)?(bench-{self.name}-\d+-\d+)", entry)
            if container:
                subprocess.run([*self.base, "delete", "--force", container.group(1)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, timeout=60, check=False)


class Programs:
    """A tree of Debian's programs for a script of workloads: a fresh overlay of it for each run."""

    def __init__(self, work, tree, script, names):
        self.work, self.tree = work, tree
        self.args = ["/bin/bash", "/w/" + os.path.basename(script), *names]
        self.mounts = [
            PROC, DEV,
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666", "mode=0620"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev", "mode=1777"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777"]},
            {"destination": "/w", "type": "bind", "source": os.path.dirname(os.path.abspath(script)), "options": ["rbind", "ro"]},
        ]

    def __enter__(self):
        """The name of the bundle."""
        self.layers = os.path.join(self.work, "layers")
        root = os.path.join(self.layers, "root")
        for name in ("upper", "inner", "root"):
            os.makedirs(os.path.join(self.layers, name))
        options = f"lowerdir={self.tree},upperdir={self.layers}/upper,workdir={self.layers}/inner"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
        write_bundle(os.path.join(self.work, "work-bundle"), config(self.args, root, WORK_CAPS, self.mounts))
        return "work-bundle"

    def __exit__(self, *_):
        subprocess.run(["umount", os.path.join(self.layers, "root")], check=True)
        shutil.rmtree(self.layers)
