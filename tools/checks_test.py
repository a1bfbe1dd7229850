"""Tests of tools/lint and tools/layers on small made-up trees."""
import os
import shutil
import subprocess
import tempfile
import unittest

TOOLS = os.path.dirname(os.path.abspath(__file__))


class Tree(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp(prefix="checks-")
        self.addCleanup(shutil.rmtree, self.root)
        for name in ("lint", "layers", "rooms.txt"):
            with open(os.path.join(TOOLS, name), encoding="utf-8") as source:
                self.write(f"tools/{name}", source.read())
        subprocess.run(["git", "init", "-q"], cwd=self.root, check=True)

    def write(self, path, text):
        full = os.path.join(self.root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "w", encoding="utf-8") as out:
            out.write(text)

    def run_tool(self, name):
        done = subprocess.run(["python3", f"tools/{name}"], cwd=self.root, capture_output=True, text=True)
        return done.returncode, done.stdout


class LayersTest(Tree):
    def check(self, package, dep):
        self.write(f"{package}/BUILD.bazel", f'cc_library(name = "x", deps = select({{"a": ["{dep}"]}}) + [":y"])\n')
        return self.run_tool("layers")

    def test_downward_is_fine(self):
        self.assertEqual(self.check("sentry/vfs", "//base/error")[0], 0)

    def test_upward_and_sideways_fail(self):
        status, out = self.check("base/error", "//sentry/vfs:inode")
        self.assertEqual(status, 1)
        self.assertIn("upward", out)
        status, out = self.check("sentry/fs/pipe", "//sentry/fs/tmp")
        self.assertEqual(status, 1)
        self.assertIn("sideways", out)

    def test_include_counts(self):
        self.write("sentry/vfs/BUILD.bazel", "")
        self.write("base/own/BUILD.bazel", "")
        self.write("base/own/ref.h", '#include "sentry/vfs/inode.h"\n')
        self.assertIn("base/own/ref.h:1", self.run_tool("layers")[1])

    def test_unknown_room(self):
        self.write("attic/BUILD.bazel", "")
        self.assertEqual(self.run_tool("layers")[0], 1)


class LintTest(Tree):
    def lint(self, path, text):
        self.write(path, text)
        return self.run_tool("lint")

    def assert_rule(self, rule, path, text):
        status, out = self.lint(path, text)
        self.assertEqual(status, 1, out)
        self.assertIn(f"[{rule}]", out)

    def test_clean(self):
        text = "int F(int a) {\n  if (a) return 1;\n  if (a > 1) {\n    a = 2;\n  } else {\n    a = 3;\n  }\n  return a;\n}\n"
        self.assertEqual(self.lint("base/own/f.cc", text)[0], 0)

    def test_lengths(self):
        self.assert_rule("length", "base/own/f.cc", "\n" * 601)
        self.assert_rule("function", "base/own/f.cc", "int F() const noexcept {\n" + "  a();\n" * 61 + "}\n")
        self.assertEqual(self.lint("base/own/f.cc", "int t[] = {\n" + "  1,\n" * 90 + "};\n")[0], 0)

    def test_else(self):
        self.assert_rule("else", "base/own/f.cc", "int F(int a) {\n  if (a) {\n    return 1;\n  } else {\n    a = 2;\n  }\n}\n")

    def test_words(self):
        self.assert_rule("todo", "base/own/f.cc", "// TO" + "DO: later\n")
        self.assert_rule("sleep", "tests/syscalls/a.cc", "void F() { usl" + "eep(3); }\n")
        self.assert_rule("exception", "base/own/f.cc", "void F() { throw 1; }\n")
        self.assert_rule("log", "base/own/f.cc", "#include <spd" + "log/spdlog.h>\n")
        self.assert_rule("guard", "base/own/f.h", "#pragma once\n")


if __name__ == "__main__":
    unittest.main()
