"""runsc install and uninstall: files of engines, all below /tmp."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import RUNSC

CONTAINERD = """# of the machine's owner
version = 2

[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"  # stays
"""


class Install(unittest.TestCase):
    def setUp(self):
        if not os.access(RUNSC, os.X_OK):
            self.skipTest(f"no runsc in {RUNSC}")
        self.place = tempfile.mkdtemp(prefix="cloister-install-")
        self.addCleanup(shutil.rmtree, self.place)
        self.docker = os.path.join(self.place, "daemon.json")
        self.containerd = os.path.join(self.place, "config.toml")
        self.files = ("--config_file", self.docker, "--containerd_config_file", self.containerd)

    def runsc(self, *args):
        return subprocess.run([RUNSC, *args], capture_output=True, text=True, check=False)

    def ok(self, *args):
        done = self.runsc(*args)
        self.assertEqual((0, ""), (done.returncode, done.stderr))
        return done.stdout

    def write(self, path, text):
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)

    def read(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def look(self):
        return {name: self.read(os.path.join(self.place, name)) for name in os.listdir(self.place)
                if not name.endswith(".before-runsc")}

    def test_files_that_are_not_there_come_and_go(self):
        said = self.ok("install", *self.files)
        self.assertIn(f"{self.docker}: added runtimes.runsc", said)
        self.assertIn(f"{self.containerd}: added the runtime class runsc", said)
        self.assertEqual({"daemon.json", "config.toml", "runsc.toml"}, set(self.look()))
        self.assertEqual({"runtimes": {"runsc": {"path": os.path.realpath(RUNSC)}}}, json.loads(self.read(self.docker)))
        self.ok("uninstall", *self.files)
        self.assertEqual({}, self.look())

    def test_what_is_there_stays(self):
        before = {"data-root": "/srv/docker", "runtimes": {"crun": {"path": "crun"}}}
        self.write(self.docker, json.dumps(before, indent=4) + "\n")
        self.write(self.containerd, CONTAINERD)
        os.chmod(self.docker, 0o600)
        then = self.look()
        self.ok("install", *self.files, "--runtime", "boxed", "--", "--platform=ptrace", "--debug")
        after = json.loads(self.read(self.docker))
        self.assertEqual(["--platform=ptrace", "--debug"], after["runtimes"]["boxed"]["runtimeArgs"])
        self.assertEqual({"path": "crun"}, after["runtimes"]["crun"])
        self.assertEqual("/srv/docker", after["data-root"])
        self.assertEqual(0o600, os.stat(self.docker).st_mode & 0o7777)
        self.assertTrue(self.read(self.containerd).startswith(CONTAINERD))
        self.assertIn('runtime_args = ["--platform=ptrace", "--debug"]', self.read(os.path.join(self.place, "boxed.toml")))
        self.assertEqual(then["daemon.json"], self.read(self.docker + ".before-runsc"))
        self.ok("uninstall", *self.files, "--runtime", "boxed")
        self.assertEqual(then, self.look())

    def test_twice_is_once(self):
        self.ok("install", *self.files)
        then = self.look()
        self.assertEqual(3, self.ok("install", *self.files).count("nothing to do"))
        self.assertEqual(then, self.look())
        self.ok("uninstall", *self.files)
        self.assertNotIn("removed", self.ok("uninstall", *self.files))

    def test_dry_run_changes_nothing(self):
        self.write(self.docker, "{}\n")
        said = self.ok("install", *self.files, "--dry-run")
        self.assertIn("would have added runtimes.runsc", said)
        self.assertEqual({"daemon.json": "{}\n"}, self.look())

    def test_broken_file_is_one_line_and_nothing_is_written(self):
        for broken in (self.docker, self.containerd):
            for path, text in ((self.docker, "{}\n"), (self.containerd, CONTAINERD)):
                self.write(path, text)
            self.write(broken, "{ broken")
            then = self.look()
            for verb in ("install", "uninstall"):
                done = self.runsc(verb, *self.files)
                if verb == "uninstall" and broken == self.containerd:
                    continue  # without a block of ours there is nothing to take out of it
                self.assertEqual(1, done.returncode)
                self.assertEqual(1, done.stderr.count("\n"), done.stderr)
                self.assertIn(broken, done.stderr)
                self.assertEqual(then, self.look())

    def test_bad_names_and_default_runtime(self):
        self.assertIn("--runtime", self.runsc("install", *self.files, "--runtime", 'a"b').stderr)
        self.write(self.docker, json.dumps({"default-runtime": "runsc", "runtimes": {"runsc": {"path": "/r"}}}))
        self.assertIn("default-runtime", self.runsc("uninstall", *self.files).stderr)
        self.assertEqual({"daemon.json"}, set(self.look()))

    def test_plugin_that_is_disabled_is_mentioned(self):
        self.write(self.containerd, 'version = 2\ndisabled_plugins = ["cri"]\n')
        self.assertIn("disabled_plugins", self.ok("install", *self.files))

    def test_one_engine_alone(self):
        self.ok("install", "--config_file", self.docker, "--containerd_config_file=none")
        self.assertEqual({"daemon.json"}, set(self.look()))


if __name__ == "__main__":
    unittest.main()
