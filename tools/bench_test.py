"""Tests of tools/bench on a made-up program and made-up runtimes."""
import glob
import os
import re
import shutil
import subprocess
import tempfile
import unittest

TOOLS = os.path.dirname(os.path.abspath(__file__))

# Prints what the arguments ask for, as a program of measurements does.
MICRO = r"""
#include <stdio.h>
#include <string.h>
int main(int argc, char** argv) {
  const char* prefix = argc > 2 ? argv[2] : "";
  if (!strncmp("first call", prefix, strlen(prefix))) printf("first call\t1200\n");
  if (!strncmp("second", prefix, strlen(prefix))) printf("second\t%d\n", fopen("/etc/passwd", "r") != NULL);
  return 0;
}
"""

# Takes runc's command line and runs the bundle's program in a plain chroot.
RUNTIME = """#!/usr/bin/env python3
import json, os, sys
bundle = sys.argv[sys.argv.index("--bundle") + 1]
with open(os.path.join(bundle, "config.json"), encoding="utf-8") as text:
    config = json.load(text)
os.chroot(config["root"]["path"])
os.chdir(config["process"]["cwd"])
os.execv(config["process"]["args"][0], config["process"]["args"])
"""


@unittest.skipUnless(os.geteuid() == 0 and shutil.which("gcc"), "needs root and gcc")
class Bench(unittest.TestCase):
    def setUp(self):
        self.where = tempfile.mkdtemp(prefix="bench-test-")
        self.addCleanup(shutil.rmtree, self.where)
        self.micro = self.write("micro.c", MICRO)
        self.runtime = self.write("runtime", RUNTIME)
        os.chmod(self.runtime, 0o755)

    def write(self, name, text):
        path = os.path.join(self.where, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        return path

    def bench(self, *args):
        temp = os.path.join(self.where, "tmp")
        os.makedirs(temp, exist_ok=True)
        done = subprocess.run([os.path.join(TOOLS, "bench"), "--micro", self.micro, "--runc", self.runtime, "--rounds", "2",
                               "--starts", "2", *args], capture_output=True, text=True, check=False,
                              env={**os.environ, "TMPDIR": temp})
        self.assertEqual([], glob.glob(os.path.join(temp, "*")), "left behind")
        return done.returncode, [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "|" in line]

    def test_table(self):
        status, rows = self.bench("--runsc", self.runtime)
        self.assertEqual(0, status)
        self.assertEqual(["operation (ns)", "native", "runc", "cloister", "cloister/runc"], rows[0])
        self.assertEqual(["first call", "1,200", "1,200", "1,200", "1.00"], rows[2])
        self.assertEqual(["second", "1", "1", "1", "1.00"], rows[3])
        self.assertTrue(all(re.fullmatch(r"[\d,]+", cell) for cell in rows[4][1:4]), rows[4])

    def test_runtime_that_fails_has_no_figures(self):
        status, rows = self.bench("--runsc", "/bin/false", "--prefix", "first")
        self.assertEqual(1, status)
        self.assertEqual(["first call", "1,200", "1,200", "-", "-"], rows[2])
        self.assertEqual(["-", "-"], rows[3][3:])

    def test_columns(self):
        status, rows = self.bench("--only", "native")
        self.assertEqual((0, ["operation (ns)", "native"]), (status, rows[0]))
        for wrong in (["--only", "native,vmware"], ["--micro", "/nonexistent"], ["--only", "runc", "--runc", "/nonexistent"]):
            self.assertEqual((1, []), self.bench(*wrong), wrong)


if __name__ == "__main__":
    unittest.main()
