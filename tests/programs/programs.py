"""What the tests of this directory share. Each program is a script in quick/ or long/ that checks its own results.

Environment, beside that of ../oci/harness.py: CLOISTER_PROGRAMS=long (the long half, too), CLOISTER_NATIVE=1
(the programs in runc: shows that their checks are right).
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../oci"))
import harness  # pylint: disable=wrong-import-position

LONG = os.environ.get("CLOISTER_PROGRAMS") == "long"
NATIVE = bool(os.environ.get("CLOISTER_NATIVE"))


def scripts(half):
    """Names of the programs of a half: the files of its directory."""
    return sorted(name[:-3] for name in os.listdir(os.path.join(HERE, half)) if name.endswith(".sh"))


class ProgramTest(harness.OciTest):
    """A test with a tree of programs. The root file system is writable, and gone afterwards."""
    half = "quick"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tree = subprocess.run([os.path.join(HERE, "make_rootfs"), cls.half], check=True, stdout=subprocess.PIPE,
                                  text=True).stdout.strip()

    def program_bundle(self, args, **changes):
        mounts = [{"destination": "/programs", "type": "bind", "source": HERE, "options": ["bind", "ro"]}]
        return self.bundle(args, writable=True, mounts=mounts, **changes)

    def check_program(self, name, timeout=120):
        runtime = self.other_runtime() if NATIVE else self.runsc
        result = runtime.run(self.program_bundle(["/bin/bash", f"/programs/{self.half}/{name}.sh"]), timeout=timeout)
        self.assertEqual(0, result.status, result)


def one_test_for_each(cls, timeout):
    """Adds test_NAME to the class for each program of its half."""
    for name in scripts(cls.half):
        def test(self, name=name):
            self.check_program(name, timeout)
        setattr(cls, f"test_{name}", test)
    return cls
