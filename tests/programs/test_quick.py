"""Programs as they come from Debian, each with a check of what it made."""
import unittest

from programs import ProgramTest, one_test_for_each


class QuickTest(ProgramTest):
    half = "quick"


one_test_for_each(QuickTest, timeout=120)

if __name__ == "__main__":
    unittest.main()
