"""The same random programs of system calls on the host's kernel (in runc's namespaces) and in a sandbox: tools/fuzz diff.

Many programs are run in one container, each in a process and a directory of its own; one that differs is run once more in
a container of its own, where only that counts. Results, errnos, what the calls put into memory, how the process ends and the tree of files it leaves are compared.
"""
import collections
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
KNOWN = os.path.join(HERE, "known_differences.txt")
CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE",
        "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]
# Milliseconds for which a call may sleep before it is taken to wait for ever: in a batch, and alone.
HASTY, PATIENT = "12", "300"
TIMEOUT = 600


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
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
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


def kind(difference):
    """What a difference is about: the call, and both results."""
    host, sandbox = (line.split(" ") for line in difference)
    if len(host) != 5 or len(sandbox) != 5:
        return ("the end", *(line.strip() for line in difference))
    return host[1], host[3], sandbox[3] if host[3] != sandbox[3] else "other memory"


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
        self.bundles = [Bundle(program) for _ in runtimes]
        self.program = program
        self.runtimes = runtimes  # the host's, the sandbox's
        self.known = KnownDifferences()

    def remove(self):
        for bundle in self.bundles:
            bundle.remove()

    def run(self, args):
        """The programs on both sides at once: two lists of lines by title."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            runs = [pool.submit(bundle.run, runtime, args) for bundle, runtime in zip(self.bundles, self.runtimes)]
            return [split(run.result()) for run in runs]

    def unexplained(self, host, sandbox):
        found = first_difference(host, sandbox)
        return found if found is not None and not self.known.explain(found) else None

    def of_text(self, lines):
        for bundle in self.bundles:
            bundle.write_input("\n".join(lines) + "\n")
        return self.unexplained(*(list(side.values())[0] for side in self.run([PATIENT, "/in/program"])))

    def minimise(self, seed):
        """The shortest program found that differs in the same way, and how; (None, None) if it does not by itself."""
        text = subprocess.run([self.program, "--print", seed], check=True, stdout=subprocess.PIPE).stdout.decode("latin-1")
        lines = text.splitlines()
        found = self.of_text(lines)
        if found is None:
            return None, None
        wanted, size = kind(found), len(lines)
        while size >= 1:
            at = 0
            while at < len(lines):
                shorter = lines[:at] + lines[at + size:]
                now = self.of_text(shorter) if shorter else None
                if now is not None and kind(now) == wanted:
                    lines, found = shorter, now
                else:
                    at += size
            size //= 2
        return lines, found

    def batch(self, first, count):
        """(title, difference) of the programs of these seeds that differ when they are run alone, too."""
        host, sandbox = self.run([HASTY, str(first), str(count)])
        for title, lines in host.items():
            if self.unexplained(lines, sandbox.get(title, [])) is None:
                continue
            alone = self.unexplained(*(side[title] for side in self.run([PATIENT, title, "1"])))
            if alone is not None:
                yield title, alone


def report(comparison, title):
    lines, found = comparison.minimise(title)
    if lines is None:
        print(f"program {title}: not each time")
        return
    print(f"program {title}: {found[0]!r} on the host, {found[1]!r} in the sandbox:")
    print("\n".join("  " + line for line in lines), flush=True)


def main(program, runsc, first, count, shown, size=1000):
    comparison = Comparison(program, ("runc", runsc))
    kinds = collections.Counter()
    began = time.monotonic()
    try:
        for start in range(first, first + count, size):
            for title, found in comparison.batch(start, min(size, first + count - start)):
                kinds[kind(found)] += 1
                if kinds[kind(found)] == 1 and len(kinds) <= shown:
                    report(comparison, title)
    finally:
        comparison.remove()
    for (call, host, sandbox), times in kinds.most_common():
        print(f"{times:6} times: {call}: {host} on the host, {sandbox} in the sandbox")
    print(f"{count} programs, {sum(kinds.values())} with an unexplained difference, {time.monotonic() - began:.0f} s")
    return 1 if kinds else 0
