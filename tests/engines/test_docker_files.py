"""Files under Docker: volumes, tmpfs, cp, diff, commit, build."""
import os
import tempfile

from docker_cases import DockerCases
from engines import DOCKER, IMAGE, both, command, dockerd, must, place, wait_until


class Files(DockerCases):
    def directory(self, **files):
        where = tempfile.mkdtemp(dir=place())
        os.chmod(where, 0o755)
        for name, text in files.items():
            with open(os.path.join(where, name), "w", encoding="utf-8") as out:
                out.write(text)
        return where

    def read(self, *names):
        with open(os.path.join(*names), encoding="utf-8") as text:
            return text.read()

    def test_bind(self):
        where = self.directory(a="of the host\n")
        self.says("of the host\n", "cat /mine/a; echo new >/mine/b; mkdir /mine/c; chown 5:6 /mine/b", "-v", f"{where}:/mine")
        self.assertEqual("new\n", self.read(where, "b"))
        info = os.stat(os.path.join(where, "b"))
        self.assertEqual((5, 6), (info.st_uid, info.st_gid))
        self.assertIn("Read-only", self.shell("echo x >/mine/a", "-v", f"{where}:/mine:ro").err)

    def test_bind_of_a_file(self):
        where = self.directory(conf="setting\n")
        self.says("setting\n", "cat /etc/app.conf", "-v", f"{where}/conf:/etc/app.conf:ro")

    def test_bind_is_seen_live(self):
        where = self.directory()
        name = self.start(options=("-v", f"{where}:/mine"))
        with open(os.path.join(where, "late"), "w", encoding="utf-8") as out:
            out.write("late\n")
        self.assertEqual("late", self.inside(name, "cat /mine/late"))

    def test_volume(self):
        volume = f"v-{self.runtime}"
        self.addCleanup(self.docker, "volume", "rm", volume)
        self.says("", "echo kept >/data/file", "-v", f"{volume}:/data")
        self.says("kept\n", "cat /data/file", "-v", f"{volume}:/data")

    def test_volume_takes_the_images_files(self):
        volume = f"w-{self.runtime}"
        self.addCleanup(self.docker, "volume", "rm", volume)
        self.says("/opt2/passwd\n", "ls /opt2/passwd", "--mount", f"type=volume,source={volume},destination=/etc/opt", "-v", "/etc:/opt2:ro")

    def test_volumes_from(self):
        first = self.start(options=("-v", "/shared"))
        self.inside(first, "echo here >/shared/file")
        self.says("here\n", "cat /shared/file", "--volumes-from", first)

    def test_read_only(self):
        self.assertIn("Read-only", self.shell("echo x >/file", "--read-only").err)
        self.says("x\n", "echo x >/tmp/file; cat /tmp/file", "--read-only", "--tmpfs", "/tmp")

    def test_tmpfs(self):
        self.says("tmpfs 1024 1777\n", "echo $(stat -f -c %T /t) $(df -k --output=size /t | tail -1) $(stat -c %a /t)", "--tmpfs", "/t:size=1m")
        self.says("700 5\n", "stat -c '%a %u' /t", "--tmpfs", "/t:mode=700,uid=5")
        self.assertIn("No space", self.shell("head -c 2M /dev/zero >/t/big", "--tmpfs", "/t:size=1m").err)
        self.assertIn("Permission denied", self.shell("cp /bin/true /t; /t/true", "--tmpfs", "/t:noexec").err)

    def test_shared_memory_size(self):
        self.says("2048\n", "df -k --output=size /dev/shm | tail -1 | tr -d ' '", "--shm-size", "2m")

    def test_copy(self):
        where, name = self.directory(a="in\n"), self.start()
        self.ok("cp", f"{where}/a", f"{name}:/root/a")
        self.assertEqual("in", self.inside(name, "cat /root/a"))
        self.inside(name, "echo out >/root/b; mkdir /root/d; echo deep >/root/d/e")
        self.ok("cp", f"{name}:/root/b", f"{where}/b")
        self.ok("cp", f"{name}:/root/d", f"{where}/d")
        self.assertEqual(("out\n", "deep\n"), (self.read(where, "b"), self.read(where, "d", "e")))
        self.ok("cp", where, f"{name}:/root/dir")
        self.assertEqual("in", self.inside(name, "cat /root/dir/a"))

    def test_copy_over_what_was_seen(self):
        where, name = self.directory(a="new\n"), self.start("bash", "-c", "echo old >/root/a; sleep 1000")
        self.assertTrue(wait_until(lambda: self.docker("exec", name, "cat", "/root/a").out == "old\n"))
        self.assertNotEqual(0, self.docker("exec", name, "ls", "/root/b").status)
        self.ok("cp", f"{where}/a", f"{name}:/root/b")
        self.ok("cp", f"{where}/a", f"{name}:/root/a")
        self.assertEqual("new\nnew", self.inside(name, "cat /root/a /root/b"))

    def test_copy_of_the_stopped(self):
        where, name = self.directory(a="in\n"), self.start("bash", "-c", "echo out >/b; cat /a")
        self.ok("wait", name)
        self.ok("cp", f"{name}:/b", f"{where}/b")
        self.assertEqual("out\n", self.read(where, "b"))
        self.ok("cp", f"{where}/a", f"{name}:/a")
        self.assertEqual("in", self.ok("start", "--attach", name))

    def test_diff_and_commit(self):
        name = self.start("bash", "-c", "echo x >/new; rm /etc/issue; echo y >>/etc/motd")
        self.ok("wait", name)
        changes = set(self.ok("diff", name).splitlines())
        self.assertEqual({"A /new", "D /etc/issue", "C /etc", "C /etc/motd"}, changes)
        self.ok("commit", name, f"image-{self.runtime}")
        self.addCleanup(self.docker, "image", "rm", f"image-{self.runtime}")
        self.assertEqual("x\n", self.run_container(f"image-{self.runtime}", "cat", "/new").out)

    def test_export(self):
        name = self.start("bash", "-c", "mkdir -p /a/b; echo x >/a/b/c")
        self.ok("wait", name)
        out = os.path.join(self.directory(), "tar")
        self.ok("export", "--output", out, name)
        self.assertEqual("x", must("tar", "-xOf", out, "a/b/c"))

    def build(self, dockerfile, **files):
        where = self.directory(Dockerfile=dockerfile, **files)
        dockerd().use_by_default(self.runtime)
        self.addCleanup(dockerd().use_by_default, "runc")
        tag = f"built-{self.runtime}"
        self.addCleanup(self.docker, "image", "rm", "--force", tag)
        self.ok("build", "--no-cache", "--tag", tag, where, timeout=120)
        return tag

    def test_build(self):
        tag = self.build(f"""FROM {IMAGE} AS first
ENV A=1
RUN useradd -m someone && mkdir /made && echo $A >/made/file
COPY --chown=someone extra /made/extra
USER someone
WORKDIR /home/someone
RUN id -un >who && ln -s who link
FROM {IMAGE}
COPY --from=first /made /made
COPY --from=first /home/someone/link /who
CMD ["cat", "/made/file", "/made/extra", "/who"]
""", extra="copied\n")
        self.assertEqual("1\ncopied\nsomeone\n", self.run_container(tag).out)

    def test_build_that_fails(self):
        where = self.directory(Dockerfile=f"FROM {IMAGE}\nRUN exit 6\n")
        dockerd().use_by_default(self.runtime)
        self.addCleanup(dockerd().use_by_default, "runc")
        done = command(DOCKER, "build", where)
        self.assertNotEqual(0, done.status)
        self.assertIn("returned a non-zero code: 6", done.err)


both(globals(), Files)
del Files
