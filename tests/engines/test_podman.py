"""Everyday use of Podman."""
import functools
import itertools
import os
import signal

from engines import IMAGE, both, command, image_file, must, place, runsc, wait_until
from terminal import Terminal

SETTINGS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
STORAGE = """
[storage]
driver = "overlay"
graphroot = "{0}/podman"
runroot = "/run/podman-storage"
"""


@functools.lru_cache(maxsize=None)
def podman():
    """Settings and an image."""
    os.makedirs("/etc/containers", exist_ok=True)
    for name, text in (("containers.conf", SETTINGS), ("storage.conf", STORAGE.format(place()))):
        with open(os.path.join("/etc/containers", name), "w", encoding="utf-8") as out:
            out.write(text)
    must("podman", "import", image_file(), IMAGE, timeout=120)


class Podman:
    numbers = itertools.count()

    def setUp(self):
        podman()
        self.addCleanup(command, "podman", "rm", "--all", "--force", "--time", "0")

    def argv(self, *args):
        return ["podman", "--runtime", runsc() if self.runtime == "runsc" else "runc", *args]

    def podman(self, *args, **options):
        return command(*self.argv(*args), **options)

    def ok(self, *args, **options):
        return must(*self.argv(*args), **options)

    def shell(self, script, *options, stdin=""):
        group = f"/{os.path.basename(place())}/podman"
        return self.podman("run", "--rm", "-i", "--cgroup-parent", group, *options, IMAGE, "bash", "-c", script, stdin=stdin)

    def says(self, expected, script, *options, stdin=""):
        done = self.shell(script, *options, stdin=stdin)
        self.assertEqual((0, expected), (done.status, done.out), done.err)

    def start(self, *args, options=()):
        name = f"{self.runtime}-{next(self.numbers)}"
        group = f"/{os.path.basename(place())}/podman"
        self.ok("run", "--detach", "--name", name, "--cgroup-parent", group, *options, IMAGE, *(args or ("sleep", "1000")))
        return name

    def inspect(self, name, field):
        return self.ok("inspect", "--format", "{{" + field + "}}", name)

    def test_output_and_status(self):
        done = self.shell("cat; echo err >&2; exit 42", stdin="in\n")
        self.assertEqual((42, "in\n", "err\n"), (done.status, done.out, done.err))

    def test_missing_command(self):
        for argv, status in ((["/no/such"], 127), (["no-such"], 127), (["/etc/passwd"], 126)):
            self.assertEqual(status, self.podman("run", "--rm", IMAGE, *argv).status, argv)

    def test_exec(self):
        name = self.start()
        done = self.podman("exec", "-i", name, "bash", "-c", "cat; exit 9", stdin="in")
        self.assertEqual((9, "in"), (done.status, done.out), done.err)
        self.assertEqual("1000 /tmp 5", self.ok("exec", "-u", "1000", "-w", "/tmp", "-e", "A=5", name, "bash", "-c", "echo $(id -u) $PWD $A"))
        self.assertEqual(127, self.podman("exec", name, "/no/such").status)

    def test_terminal(self):
        terminal = Terminal(self.argv("run", "--rm", "-it", IMAGE, "sh"))
        terminal.expect("# ")
        terminal.type("tty; echo e''nd\n")
        self.assertIn("/dev/pts/0", terminal.expect("end\r\n"))
        terminal.type("exit 5\n")
        self.assertEqual(5, terminal.close())

    def test_terminal_of_exec(self):
        name = self.start()
        terminal = Terminal(self.argv("exec", "-it", name, "sh"))
        terminal.expect("# ")
        terminal.type("exit 3\n")
        self.assertEqual(3, terminal.close())

    def test_stop_and_start(self):
        name = self.start("bash", "-c", "trap 'echo got it; exit 7' TERM; echo ready; while :; do read -t 1 <> <(:); done")
        self.assertTrue(wait_until(lambda: "ready" in self.podman("logs", name).out))
        self.ok("stop", name)
        self.assertEqual("7", self.inspect(name, ".State.ExitCode"))
        self.assertIn("got it", self.ok("logs", name))
        self.ok("start", name)
        self.assertEqual("running", self.inspect(name, ".State.Status"))

    def test_kill(self):
        name = self.start()
        self.ok("kill", name)
        self.assertEqual("137", self.ok("wait", name))

    def test_kill_of_the_pid(self):
        name = self.start()
        os.kill(int(self.inspect(name, ".State.Pid")), signal.SIGKILL)
        self.assertEqual("137", self.ok("wait", name))

    def test_pause(self):
        name = self.start()
        self.ok("pause", name)
        self.assertEqual("paused", self.inspect(name, ".State.Status"))
        self.ok("unpause", name)
        self.assertEqual("0", self.ok("exec", name, "id", "-u"))

    def test_update(self):
        name = self.start(options=("--memory", "64m",))
        self.ok("update", "--memory", "128m", name)
        with open(f"/proc/{self.inspect(name, '.State.Pid')}/cgroup", encoding="utf-8") as text:
            group = [line.rstrip("\n").split(":")[2] for line in text if ":memory:" in line][0]
        with open(f"/sys/fs/cgroup/memory{group}/memory.limit_in_bytes", encoding="utf-8") as text:
            self.assertEqual(str(128 << 20), text.read().strip())

    def test_top(self):
        # By ps(1) in the container. Podman's own way reads the host's /proc in the container's mount namespace.
        self.assertIn("sleep 1000", self.ok("top", self.start(), "aux"))

    def test_copy(self):
        name, where = self.start(), place(f"copy-{self.runtime}")
        with open(where, "w", encoding="utf-8") as out:
            out.write("in\n")
        self.ok("cp", where, f"{name}:/root/a")
        self.assertEqual("in", self.ok("exec", name, "cat", "/root/a"))
        self.ok("exec", name, "bash", "-c", "echo out >/root/b")
        self.ok("cp", f"{name}:/root/b", where)
        with open(where, encoding="utf-8") as text:
            self.assertEqual("out\n", text.read())

    def test_volume(self):
        volume = f"p-{self.runtime}"
        self.addCleanup(command, "podman", "volume", "rm", "--force", volume)
        self.says("", "echo kept >/data/file", "-v", f"{volume}:/data")
        self.says("kept\n", "cat /data/file", "-v", f"{volume}:/data")

    def test_user_and_rights(self):
        self.says("1000 1000\n", "echo $(id -u) $(id -g)", "--user", "1000:1000")
        self.says("0\n", "grep CapEff /proc/self/status | cut -f2 | sed s/0*/0/", "--cap-drop", "all")
        self.assertIn("Read-only", self.shell("echo x >/file", "--read-only").err)

    def test_preserved_descriptors(self):
        done = command("bash", "-c", 'exec 3<<<"third"; exec "$@"', "bash",
                       *self.argv("run", "--rm", "--preserve-fds", "1", IMAGE, "bash", "-c", "cat <&3"))
        self.assertEqual((0, "third\n"), (done.status, done.out), done.err)

    def test_host_network(self):
        self.says("lo\n", "ls /sys/class/net | grep lo", "--network", "host")
        self.says("lo\n", "ls /sys/class/net", "--network", "none")

    def test_bridge(self):
        self.says("eth0 lo\n", "ls /sys/class/net | xargs")

    def test_health(self):
        name = self.start(options=("--health-cmd", "test -e /well", "--health-interval", "disable"))
        self.assertEqual(1, self.podman("healthcheck", "run", name).status)
        self.ok("exec", name, "touch", "/well")
        self.assertEqual(0, self.podman("healthcheck", "run", name).status)

    def test_info(self):
        self.assertIn(self.runtime, self.ok("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Version}}"))


both(globals(), Podman)
del Podman
