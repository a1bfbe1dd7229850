"""Runs programs in one runtime after the other, and keeps what they printed."""
import os
import re
import signal
import statistics
import subprocess
import sys
import time

PATIENCE = 600  # seconds after which a run is taken for stuck
START = "start: run of /bin/true (us)"


def run(argv):
    """(seconds, stdout); a RuntimeError says how it failed."""
    began = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except BaseException as stopped:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(stopped, subprocess.TimeoutExpired):
            raise RuntimeError(f"did not end within {PATIENCE} s") from None
        raise
    seconds = time.monotonic() - began
    if process.returncode != 0:
        last = out.strip().rpartition("\n")[2]
        raise RuntimeError(f"status {process.returncode}: {err.strip() or 'no message'}" + (f" (behind {last!r})" if last else ""))
    return seconds, out


class Results:
    """row → column → measured values, rows in the order they were first seen."""

    def __init__(self, unit):
        self.unit = unit
        self.values = {}
        self.failed = []  # (column, why)

    def add(self, row, column, value):
        self.values.setdefault(row, {}).setdefault(column, []).append(value)

    def median(self, row, column):
        values = self.values.get(row, {}).get(column)
        return statistics.median(values) if values else None

    def ratio(self, row, column, base):
        """How much longer column takes than base; None where one of them has no figure."""
        value, other = self.median(row, column), self.median(row, base)
        return value / other if value is not None and other else None

    def mean_ratio(self, column, base):
        """The geometric mean over all rows that both have."""
        ratios = [ratio for row in self.values if (ratio := self.ratio(row, column, base))]
        return statistics.geometric_mean(ratios) if ratios else None


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(runtimes, results, rounds, step, label):
    """Calls step(column, runtime) in turn; a runtime that fails once is left out of what is left of this measurement."""
    well = dict(runtimes)
    for number in range(1, rounds + 1):
        for column, runtime in list(well.items()):
            if label:
                say(f"{label} {number} of {rounds}: {column}")
            try:
                step(column, runtime)
            except RuntimeError as error:
                results.failed.append((column, str(error)))
                del well[column]
                runtime.sweep()


def measure_micro(runtimes, results, rounds, prefix):
    def step(column, runtime):
        for line in run(runtime.micro_argv(prefix))[1].splitlines():
            measured = re.fullmatch(r"(.+)\t(\d+)", line)
            if measured:
                results.add(measured.group(1), column, int(measured.group(2)))

    measure(runtimes, results, rounds, step, "round")


def measure_start(runtimes, results, starts):
    def step(column, runtime):
        results.add(START, column, run(runtime.true_argv())[0] * 1e6)

    say(f"{starts} starts of /bin/true each")
    measure(runtimes, results, starts, step, None)


def measure_work(runtimes, results, rounds, programs):
    """Lines of a name, milliseconds and the status of each workload."""
    def step(column, runtime):
        with programs as bundle:
            for line in run(runtime.run_argv(bundle))[1].splitlines():
                measured = re.fullmatch(r"(\S+) (\d+) rc=(\d+)", line)
                if measured and measured.group(3) == "0":
                    results.add(measured.group(1), column, int(measured.group(2)))
                elif measured:
                    results.failed.append((column, f"{measured.group(1)}: status {measured.group(3)}"))

    measure(runtimes, results, rounds, step, "programs, round")
