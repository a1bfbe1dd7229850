"""The same random programs of system calls on the host's kernel (in runc's namespaces) and in a sandbox: tools/fuzz diff.

Results, errnos, what the calls put into memory, how the process ends and the tree of files it leaves are compared.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
KNOWN = os.path.join(HERE, "known_differences.txt")
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]
PATIENCE = 600


class Bundle:
    """A bundle of one static program, with a tmpfs to work in."""

    def __init__(self, program):
        self.path = tempfile.mkdtemp(prefix="cloister-fuzz-")
        self.root = os.path.join(self.path, "rootfs")
        for name in ("proc", "dev", "work", "in"):
            os.makedirs(os.path.join(self.root, name))
        shutil.copy(program, os.path.join(self.root, "diff_run"))

    def remove(self):
        shutil.rmtree(self.path)

    def write_input(self, text):
        with open(os.path.join(self.root, "in", "program"), "w", encoding="latin-1") as out:
            out.write(text)

    def run(self, runtime, args):
        config = {
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["/diff_run", *args], "env": [], "cwd": "/work",
                        "capabilities": {kind: CAPS for kind in ("bounding", "effective", "permitted")},
                        "noNewPrivileges": True},
            "root": {"path": "rootfs", "readonly": True},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
                       {"destination": "/work", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755", "size=64m"]}],
            "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "network")]},
        }
        with open(os.path.join(self.path, "config.json"), "w", encoding="utf-8") as out:
            json.dump(config, out)
        name = f"fuzz-diff-{uuid.uuid4().hex[:12]}"
        with tempfile.TemporaryDirectory(prefix="cloister-fuzz-state-") as state:
            done = subprocess.run([runtime, "--root", state, "run", "--bundle", self.path, name], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        if done.returncode != 0:
            raise SystemExit(f"fuzz: {runtime}: {done.stderr.decode(errors='replace')[-500:]}")
        return done.stdout.decode("latin-1")


def split(text):
    """Programs by title: the lines of each."""
    programs = {}
    for line in text.splitlines():
        if line.startswith("program "):
            lines = programs[line[8:]] = []
        else:
            lines.append(line)
    return programs


def first_difference(host, sandbox):
    """(line of the host, line of the sandbox) or None. What follows a call that waits on both sides is not looked at."""
    for theirs, ours in zip(host + [""], sandbox + [""]):
        if theirs != ours:
            return theirs, ours
        if theirs == "waits":
            return None
    return None


class KnownDifferences:
    """known_differences.txt: `pattern of the host's line => pattern of the sandbox's line   # reason`, one a line."""

    def __init__(self):
        self.entries = []
        if not os.path.exists(KNOWN):
            return
        with open(KNOWN, encoding="utf-8") as source:
            for line in source:
                rule = line.split("#")[0].strip()
                if rule:
                    host, sandbox = rule.split(" => ")
                    self.entries.append((re.compile(host.strip()), re.compile(sandbox.strip())))

    def explain(self, difference):
        return any(host.search(difference[0]) and sandbox.search(difference[1]) for host, sandbox in self.entries)


class Comparison:
    def __init__(self, program, runtimes):
        self.bundle = Bundle(program)
        self.program = program
        self.runtimes = runtimes  # the host's, the sandbox's
        self.known = KnownDifferences()

    def of_text(self, lines):
        self.bundle.write_input("\n".join(lines) + "\n")
        host, sandbox = (list(split(self.bundle.run(runtime, ["/in/program"])).values())[0] for runtime in self.runtimes)
        return first_difference(host, sandbox)

    def minimise(self, seed):
        text = subprocess.run([self.program, "--print", seed], check=True, stdout=subprocess.PIPE).stdout.decode("latin-1")
        lines = text.splitlines()
        found = self.of_text(lines)
        if found is None:
            return None, None
        call = found[0].split(" ")[1:2]
        at = len(lines) - 1
        while at >= 0:
            shorter = lines[:at] + lines[at + 1:]
            now = self.of_text(shorter) if shorter else None
            if now is not None and now[0].split(" ")[1:2] == call and not self.known.explain(now):
                lines, found = shorter, now
            at -= 1
        return lines, found

    def run(self, first, count):
        """Titles of programs with an unexplained difference, with the difference."""
        host, sandbox = (split(self.bundle.run(runtime, [str(first), str(count)])) for runtime in self.runtimes)
        different = []
        for title, lines in host.items():
            found = first_difference(lines, sandbox.get(title, []))
            if found is not None and not self.known.explain(found):
                different.append((title, found))
        return different


def main(program, runsc, first, count, shown=5, batch=200):
    comparison = Comparison(program, ("runc", runsc))
    unexplained = 0
    try:
        for start in range(first, first + count, batch):
            different = comparison.run(start, min(batch, first + count - start))
            unexplained += len(different)
            for title, found in different:
                if shown == 0:
                    print(f"program {title}: {found[0]!r} on the host, {found[1]!r} in the sandbox")
                    continue
                shown -= 1
                lines, found = comparison.minimise(title)
                if lines is None:
                    print(f"program {title}: differs among others alone, or not each time")
                    continue
                print(f"program {title}: {found[0]!r} on the host, {found[1]!r} in the sandbox:")
                print("\n".join("  " + line for line in lines))
            sys.stdout.flush()
    finally:
        comparison.bundle.remove()
    print(f"{count} programs, {unexplained} with an unexplained difference")
    return 1 if unexplained else 0
