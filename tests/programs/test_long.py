"""Programs that need a larger tree or minutes: package managers, further languages, servers under load, stress-ng."""
import unittest

from programs import LONG, ProgramTest, one_test_for_each


@unittest.skipUnless(LONG, "CLOISTER_PROGRAMS is not long")
class LongTest(ProgramTest):
    half = "long"


one_test_for_each(LongTest, timeout=900)

if __name__ == "__main__":
    unittest.main()
