"""What the tests of Docker share."""
import itertools
import os

from engines import DOCKER, IMAGE, command, dockerd, must, wait_until


class DockerCases:
    numbers = itertools.count()

    def setUp(self):
        dockerd()
        self.addCleanup(self.sweep)

    def sweep(self):
        ids = must(DOCKER, "ps", "--all", "--quiet").split()
        if ids:
            must(DOCKER, "rm", "--force", *ids)

    def docker(self, *args, **options):
        """To its end; whatever comes of it."""
        return command(DOCKER, *args, **options)

    def ok(self, *args, **options):
        """What it writes; a failure fails the test."""
        return must(DOCKER, *args, **options)

    def new_name(self):
        return f"{self.runtime}-{next(self.numbers)}"

    def run_container(self, *args, **options):
        """docker run, to its end."""
        return self.docker("run", "--rm", "--runtime", self.runtime, *args, **options)

    def shell(self, script, *options, stdin=""):
        """docker run of a shell script."""
        return self.docker("run", "--rm", "-i", "--runtime", self.runtime, *options, IMAGE, "bash", "-c", script, stdin=stdin)

    def says(self, expected, script, *options, stdin=""):
        """The script's output, at status 0."""
        done = self.shell(script, *options, stdin=stdin)
        self.assertEqual((0, expected), (done.status, done.out), done.err)

    def start(self, *args, image=IMAGE, options=()):
        """docker run -d; the container's name."""
        name = self.new_name()
        self.ok("run", "--detach", "--runtime", self.runtime, "--name", name, *options, image, *(args or ("sleep", "1000")))
        return name

    def inside(self, name, script, *options):
        """What a script says that is exec'd in a container."""
        return self.ok("exec", *options, name, "bash", "-c", script)

    def inspect(self, name, field):
        return self.ok("inspect", "--format", "{{" + field + "}}", name)

    def await_field(self, name, field, expected, seconds=20):
        self.assertTrue(wait_until(lambda: self.inspect(name, field) == expected, seconds), f"{field}: {self.inspect(name, field)}")

    def await_log(self, name, text, seconds=20):
        self.assertTrue(wait_until(lambda: text in self.docker("logs", name).out, seconds), self.docker("logs", name))

    def cgroup_of(self, name, controller):
        """The directory of its first process in a controller of version 1."""
        with open(f"/proc/{self.inspect(name, '.State.Pid')}/cgroup", encoding="utf-8") as text:
            for line in text:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                if controller in controllers.split(","):
                    return os.path.join("/sys/fs/cgroup", controller, path.lstrip("/"))
        raise AssertionError(f"not in {controller}")

    def limit(self, name, controller, file):
        with open(os.path.join(self.cgroup_of(name, controller), file), encoding="utf-8") as text:
            return text.read().strip()
