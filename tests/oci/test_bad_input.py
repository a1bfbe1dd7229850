"""Bad input: one clear line each, not zero, and nothing left behind (checked by the base class)."""
import json
import os
import unittest

from harness import OciTest, config


class BadInputTest(OciTest):
    def refuse(self, result, *words, status=None):
        self.assertNotEqual(0, result.status, result)
        if status is not None:
            self.assertEqual(status, result.status, result)
        lines = [line for line in result.err.splitlines() if line.strip()]
        self.assertTrue(lines, "no message")
        if self.runsc.name != "runc":
            self.assertEqual(1, len(lines), result)
        for word in words:
            self.assertIn(word, result.err)

    def run_config(self, content):
        where = self.bundle(["/bin/true"])
        self.write_config(where, content)
        return self.runsc.run(where)

    def test_missing_config(self):
        where = self.bundle(["/bin/true"])
        os.unlink(os.path.join(where, "config.json"))
        self.refuse(self.runsc.run(where), "config.json")

    def test_missing_bundle(self):
        self.refuse(self.runsc.run("/no/such/bundle"))

    def test_malformed_config(self):
        for text in ("", "{", "[]", "null", '"text"', '{"process": 5}', '{"process": {"args": "sh"}}', "\0" * 100, "{" * 100000,
                     '{"ociVersion": "1.0.2", "root": {"path": ""}}'):
            with self.subTest(text=text[:40]):
                self.refuse(self.run_config(text))

    def test_wrong_fields_are_named(self):
        if self.runsc.name == "runc":
            self.skipTest("runc does not name them all")
        for path, value in (("process.args", []), ("process.cwd", "relative"), ("process.user.uid", -1), ("process.user.uid", "root"),
                            ("root.path", None), ("mounts", [{"destination": 7}]), ("process.rlimits", [{"type": "RLIMIT_NONE", "soft": 1, "hard": 1}]),
                            ("linux.namespaces", [{"type": "nonsense"}])):
            content = config(["/bin/true"], root=self.tree, readonly=True)
            *parents, last = path.split(".")
            place = content
            for name in parents:
                place = place[name]
            place[last] = value
            with self.subTest(path=path, value=value):
                self.refuse(self.run_config(content), last if path != "linux.namespaces" else "namespace")

    def test_root_that_does_not_exist(self):
        self.refuse(self.runsc.run(self.bundle(["/bin/true"], root="/no/such/tree")), "/no/such/tree")

    def test_root_that_is_a_file(self):
        self.refuse(self.runsc.run(self.bundle(["/bin/true"], root="/etc/passwd")))

    def test_unknown_platform(self):
        if self.runsc.name == "runc":
            self.skipTest("runc has no platforms")
        self.refuse(self.runsc.call("--platform=nonsense", "run", "--bundle", self.bundle(["/bin/true"]), self.runsc.new_id()),
                    "--platform", "systrap", "ptrace")

    def test_unknown_command_and_flags(self):
        self.refuse(self.runsc.call("no-such-command")) if self.runsc.name != "runc" else None
        result = self.runsc.call("run", "--no-such-flag")
        self.assertNotEqual(0, result.status)
        self.assertNotEqual(0, self.runsc.call("state").status)

    def test_program_not_found(self):
        result = self.runsc.run(self.bundle(["no-such-program"]))
        self.refuse(result, "no-such-program", "executable file not found")
        result = self.runsc.run(self.bundle(["/no/such/program"]))
        self.refuse(result, "/no/such/program", "no such file or directory")

    def test_not_executable(self):
        self.refuse(self.runsc.run(self.bundle(["/etc/passwd"])), "/etc/passwd", "permission denied")
        self.refuse(self.runsc.run(self.bundle(["/etc"])), "/etc")

    def test_working_directory_that_is_a_file(self):
        self.refuse(self.runsc.run(self.bundle(["/bin/true"], cwd="/etc/passwd")))

    def test_mount_source_that_does_not_exist(self):
        self.refuse(self.runsc.run(self.bundle(["/bin/true"], mounts=[
            {"destination": "/mnt", "type": "bind", "source": "/no/such/source", "options": ["bind"]}])), "/no/such/source")

    def test_duplicate_id(self):
        bundle = self.bundle(["/bin/sleep", "1000"])
        container = self.runsc.start_detached(bundle)
        self.refuse(self.runsc.call("run", "--bundle", bundle, container), "already exists" if self.runsc.name != "runc" else "exist")
        self.assertEqual("running", self.runsc.state(container)["status"])

    def test_bad_ids(self):
        bundle = self.bundle(["/bin/true"])
        for container in ("", "../escape", "a/b", "a b", "." * 2, "x" * 2000):
            with self.subTest(container=container[:20]):
                self.refuse(self.runsc.call("run", "--bundle", bundle, container))

    def test_unknown_id(self):
        for args in (("kill", "never-was", "TERM"), ("start", "never-was"), ("state", "never-was"), ("delete", "never-was"),
                     ("ps", "never-was"), ("exec", "never-was", "true")):
            with self.subTest(args=args):
                self.refuse(self.runsc.call(*args), "does not exist")

    def test_bad_signal(self):
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        self.refuse(self.runsc.call("kill", container, "NONSENSE"))
        self.refuse(self.runsc.call("kill", container, "999"))

    def test_terminal_without_a_console(self):
        bundle = self.bundle(["/bin/true"], terminal=True)
        self.refuse(self.runsc.call_quietly("create", "--bundle", bundle, self.runsc.new_id()))

    def test_error_goes_to_the_log_as_json(self):
        where = self.bundle(["no-such-program"])
        log = os.path.join(where, "log.json")
        result = self.runsc.call("--log", log, "--log-format", "json", "run", "--bundle", where, self.runsc.new_id())
        self.assertNotEqual(0, result.status)
        with open(log, encoding="utf-8") as text:
            entries = [json.loads(line) for line in text]
        self.assertEqual("error", entries[-1]["level"])
        self.assertIn("no-such-program", entries[-1]["msg"])


if __name__ == "__main__":
    unittest.main()
