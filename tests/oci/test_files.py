"""Files of the host: what others change is seen inside where it must be, and what nobody changes is not asked for again."""
import os
import re
import subprocess
import tempfile
import unittest

from harness import OciTest, PATIENCE


class Guest:
    """A shell in a container: takes a line, answers with what it printed. It starts nothing for its builtins."""

    def __init__(self, runsc, container, bundle):
        script = "while read -r line; do eval \"$line\" 2>&1; echo \"=$?\"; done"
        with open(os.path.join(bundle, "config.json"), encoding="utf-8") as config:
            text = config.read()
        with open(os.path.join(bundle, "config.json"), "w", encoding="utf-8") as config:
            config.write(text.replace('"SCRIPT"', '"' + script.replace('"', '\\"') + '"'))
        self.process = subprocess.Popen(runsc.argv("run", "--bundle", bundle, container), stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, errors="backslashreplace")

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        out = ""
        while True:
            got = self.process.stdout.readline()
            if not got:
                raise AssertionError(f"the container has ended: {out}")
            if re.fullmatch(r"=\d+\n", got):
                return out
            out += got

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(PATIENCE)


class FilesTest(OciTest):
    def start(self, flags=(), **changes):
        self.runsc.flags += flags
        self.addCleanup(lambda: [self.runsc.flags.remove(flag) for flag in flags])
        container = self.runsc.new_id()
        guest = Guest(self.runsc, container, self.bundle(["/bin/bash", "-c", "SCRIPT"], **changes))
        self.addCleanup(guest.close)
        self.assertEqual(guest.ask("echo up"), "up\n")
        return container, guest

    def host_directory(self):
        where = tempfile.mkdtemp(prefix="cloister-shared-")
        self.addCleanup(subprocess.run, ["rm", "-rf", where], check=False)
        return where

    def changes_show(self, guest, host, inside):
        """Every kind of change that is made in host, in turn, and what the guest sees of it at once."""
        def put(name, text):
            with open(os.path.join(host, name), "w", encoding="utf-8") as file:
                file.write(text)

        def path(name):
            return os.path.join(host, name)

        def read(name):
            return guest.ask(f"echo \"$(<{inside}/{name})\"")

        def exists(name):
            return guest.ask(f"[ -e {inside}/{name} ] && echo yes || echo no") == "yes\n"

        def names():
            return guest.ask(f"cd {inside}; echo *; cd /").split()

        self.assertFalse(exists("new"))
        put("new", "one")
        self.assertTrue(exists("new"), "a name that was missing")
        self.assertEqual(read("new"), "one\n")
        self.assertIn("new", names())
        put("new", "another text")
        self.assertEqual(read("new"), "another text\n", "content and size")
        self.assertEqual(guest.ask(f"stat -c %s {inside}/new"), "12\n")
        os.truncate(path("new"), 3)
        self.assertEqual(guest.ask(f"stat -c %s {inside}/new"), "3\n")
        self.assertEqual(read("new"), "ano\n")
        os.chmod(path("new"), 0o640)
        self.assertEqual(guest.ask(f"stat -c %a {inside}/new"), "640\n")
        os.chown(path("new"), 12, 34)
        self.assertEqual(guest.ask(f"stat -c %u:%g {inside}/new"), "12:34\n")
        put("other", "a file that takes the place of one that was read")
        os.rename(path("other"), path("new"))
        self.assertEqual(read("new"), "a file that takes the place of one that was read\n", "replaced")
        self.assertFalse(exists("other"))
        os.rename(path("new"), path("moved"))
        self.assertFalse(exists("new"))
        self.assertTrue(exists("moved"))
        self.assertEqual([name for name in names() if name in ("new", "moved")], ["moved"])
        # A file that the guest holds open goes on being the one that it opened.
        guest.ask(f"exec 5< {inside}/moved")
        os.unlink(path("moved"))
        self.assertFalse(exists("moved"))
        self.assertEqual(guest.ask("cat <&5; echo"), "a file that takes the place of one that was read\n")
        guest.ask("exec 5<&-")
        os.mkdir(path("dir"))
        put("dir/f", "in it")
        self.assertEqual(read("dir/f"), "in it\n")
        os.rename(path("dir"), path("dir2"))
        self.assertFalse(exists("dir/f"))
        self.assertEqual(read("dir2/f"), "in it\n")
        os.symlink("dir2/f", path("link"))
        self.assertEqual(read("link"), "in it\n")
        put("elsewhere", "there")
        os.unlink(path("link"))
        os.symlink("elsewhere", path("link"))
        self.assertEqual(read("link"), "there\n", "the target of a symbolic link")
        # And the other way.
        guest.ask(f"echo from inside > {inside}/made; rm {inside}/elsewhere")
        with open(path("made"), encoding="utf-8") as made:
            self.assertEqual(made.read(), "from inside\n")
        self.assertFalse(os.path.exists(path("elsewhere")))

    def test_changes_below_a_bind_mount_are_seen(self):
        host = self.host_directory()
        _, guest = self.start(mounts=[{"destination": "/mnt", "type": "bind", "source": host, "options": ["rbind", "rw"]}])
        self.changes_show(guest, host, "/mnt")

    def test_changes_of_a_shared_root_are_seen(self):
        host = self.host_directory()
        merged = self.overlay(host)
        os.mkdir(os.path.join(merged, "place"))
        _, guest = self.start(["--file-access=shared"], root=merged, readonly=False)
        self.changes_show(guest, os.path.join(merged, "place"), "/place")

    def calls(self, container):
        found = re.search(r"^calls (\d+)$", self.runsc.call("debug", "gofer", container).out, re.MULTILINE)
        self.assertIsNotNone(found)
        return int(found.group(1))

    def test_an_exclusive_root_is_asked_once(self):
        container, guest = self.start(["--file-access=exclusive"])
        look = ("read -r line < /etc/passwd; [ -x /bin/ls ]; [ -e /etc/none ]; [ -e /none/at/all ]; [ -L /etc/mtab ]; "
                "cd /usr/share; for name in *; do [ -d $name ]; done; cd /")
        guest.ask(look)
        before = self.calls(container)
        self.assertGreater(before, 0)
        for _ in range(3):
            guest.ask(look)
        self.assertEqual(self.calls(container), before)
        guest.ask("[ -e /var/lib/dpkg/none ]")
        self.assertGreater(self.calls(container), before)


if __name__ == "__main__":
    unittest.main()
