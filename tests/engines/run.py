#!/usr/bin/python3
"""All tests of this folder, engines side by side, with the time of each case.

usage: run.py [PART...]    parts: see PARTS; without arguments all

Each part is a process of its own, so it has an engine of its own (see engines.isolate) and tests in it run one after
the other. The last lines are those of unittest.
"""
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = {"docker-life": "test_docker_l*.py", "docker": "test_docker_[!l]*.py", "podman": "test_podman*.py",
         "containerd": "test_[!dp]*.py", "pods": "test_pods*.py"}


class TimedResult(unittest.TextTestResult):
    """As with -v, and how long it took; cases are counted by runtime."""

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        unittest.TestResult.addSuccess(self, test)
        self.stream.writeln(f"ok {time.monotonic() - self.began:6.1f} s")
        self.stream.flush()


def run_part(part):
    suite = unittest.TestLoader().discover(HERE, pattern=PARTS[part])
    done = unittest.TextTestRunner(sys.stdout, verbosity=2, resultclass=TimedResult, warnings="ignore").run(suite)
    return 0 if done.wasSuccessful() else 1


def show(log):
    """What a part wrote but for its last lines; its numbers of tests, bad ones and skipped ones."""
    text = log.read()
    ran = re.findall(r"^Ran (\d+) tests? in", text, re.M)
    print(re.sub(r"^(Ran \d+ tests? in.*|OK.*|FAILED \(.*)\n", "", text, flags=re.M), flush=True)
    skipped = re.findall(r"skipped=(\d+)", text)
    bad = len(re.findall(r"^(?:FAIL|ERROR): ", text, re.M))
    return int(ran[-1]) if ran else 0, bad if ran else bad + 1, int(skipped[-1]) if skipped else 0


def main(parts):
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        sys.exit(f"no part {unknown[0]} (one of: {' '.join(PARTS)})")
    began, running, totals, text = time.monotonic(), {}, [], ""
    for part in parts or PARTS:
        log = tempfile.TemporaryFile("w+", errors="backslashreplace")  # pylint: disable=consider-using-with
        running[part] = subprocess.Popen([sys.executable, __file__, "--part", part], stdin=subprocess.DEVNULL, stdout=log, stderr=log), log
    for part, (process, log) in running.items():
        process.wait()
        log.seek(0)
        print(f"== {part} ==")
        totals.append(show(log))
        log.seek(0)
        text += log.read()
        log.close()
    ran, bad, skipped = (sum(column) for column in zip(*totals))
    cases = {runtime: len(set(re.findall(rf"^test_\w+ \((\w+\.\w+{runtime}\.\w+)\)", text, re.M))) for runtime in ("Runc", "Runsc")}
    print(f"{cases['Runsc']} cases with runsc, {cases['Runc']} of them also with runc")
    print(f"Ran {ran} tests in {time.monotonic() - began:.0f} s\n")
    print(("FAILED" if bad else "OK") + f" (skipped={skipped})")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(run_part(sys.argv[2]) if sys.argv[1:2] == ["--part"] else main(sys.argv[1:]))
