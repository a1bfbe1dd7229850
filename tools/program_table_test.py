"""Tests of tools/program_table, on logs and a table of their own."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import tempfile
import unittest

TOOLS = os.path.dirname(os.path.abspath(__file__))


def load():
    loader = importlib.machinery.SourceFileLoader("program_table", os.path.join(TOOLS, "program_table"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("program_table", loader))
    loader.exec_module(module)
    return module


class ProgramTable(unittest.TestCase):
    def setUp(self):
        self.tool = load()
        self.where = tempfile.TemporaryDirectory()
        self.addCleanup(self.where.cleanup)
        self.tool.TARGET = os.path.join(self.where.name, "table.md")
        self.tool.scripts = lambda: {("quick", "one"): "The first.", ("long", "two"): "The second."}
        self.tool.packages = lambda: ["thing 1.0"]

    def log(self, *lines):
        path = os.path.join(self.where.name, "log")
        with open(path, "w", encoding="utf-8") as log:
            log.writelines(line + "\n" for line in lines)
        return path

    def main(self, *args):
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return self.tool.main(list(args)), told.getvalue()

    def test_results_become_rows(self):
        log = self.log("test_one (test_quick.QuickTest.test_one) ... FAIL",
                       "test_two (test_long.LongTest.test_two) ... ok", "noise")
        self.assertEqual((0, ""), self.main(log))
        with open(self.tool.TARGET, encoding="utf-8") as table:
            text = table.read()
        self.assertIn("| one | The first. | quick | fails |\n| two | The second. | long | passes |\n", text)
        self.assertTrue(text.endswith("\nThe packages: thing 1.0.\n"))
        self.assertEqual((0, ""), self.main("--check"))

    def test_what_other_tools_wrote_stays(self):
        with open(self.tool.TARGET, "w", encoding="utf-8") as table:
            table.write("old\n\n# crun's own tests\n\nA table.\n")
        self.main(self.log("test_one (test_quick.QuickTest.test_one) ... ok",
                           "test_two (test_long.LongTest.test_two) ... ok"))
        with open(self.tool.TARGET, encoding="utf-8") as table:
            text = table.read()
        self.assertNotIn("old", text)
        self.assertTrue(text.endswith("thing 1.0.\n\n# crun's own tests\n\nA table.\n"))

    def test_a_program_without_a_result_is_refused(self):
        log = self.log("test_one (test_quick.QuickTest.test_one) ... ok",
                       "test_two (test_long.LongTest.test_two) ... skipped 'not long'")
        with self.assertRaisesRegex(SystemExit, "no result of long/two"):
            self.main(log)

    def test_a_table_that_lacks_a_program_is_told(self):
        with open(self.tool.TARGET, "w", encoding="utf-8") as table:
            table.write("| one | The first. | quick | passes |\n")
        status, told = self.main("--check")
        self.assertEqual(1, status)
        self.assertIn("run tools/test programs-long", told)


if __name__ == "__main__":
    unittest.main()
