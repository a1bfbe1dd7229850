"""A container's life under Docker: exec, terminals, signals, pause, restart, health, what is told of it."""
import json
import os
import re
import signal
import time

from docker_cases import DockerCases
from engines import DOCKER, IMAGE, both, wait_until
from terminal import Terminal

TRAP = "trap 'echo got it; exit 7' TERM USR1; echo ready; while :; do read -t 1 <> <(:); done"


class Life(DockerCases):
    def trapping(self, *options):
        name = self.start("bash", "-c", TRAP, options=options)
        self.await_log(name, "ready")
        return name

    def test_exec(self):
        name = self.start()
        done = self.docker("exec", "-i", name, "bash", "-c", "cat; echo err >&2; exit 9", stdin="in")
        self.assertEqual((9, "in", "err\n"), (done.status, done.out, done.err))
        self.assertEqual("1000 /tmp 5", self.inside(name, "echo $(id -u) $PWD $A", "-u", "1000", "-w", "/tmp", "-e", "A=5"))
        self.assertIn(self.docker("exec", name, "/no/such").status, (126, 127))
        self.assertEqual("sleep", self.inside(name, "cat /proc/1/comm"))

    def test_exec_detached(self):
        name = self.start()
        self.ok("exec", "--detach", name, "bash", "-c", "echo done >/tmp/file")
        self.assertTrue(wait_until(lambda: self.docker("exec", name, "cat", "/tmp/file").out == "done\n"))

    def test_many_execs(self):
        name = self.start()
        self.assertEqual([str(i) for i in range(20)], [self.inside(name, f"echo {i}") for i in range(20)])

    def test_terminal(self):
        terminal = Terminal([DOCKER, "run", "--rm", "-it", "--runtime", self.runtime, IMAGE, "sh"], rows=33, columns=99)
        terminal.expect("# ")
        self.assertTrue(wait_until(lambda: self.size(terminal) == "33 99"))
        terminal.type("tty; ls -l /dev/console | cut -c1; echo e''nd\n")
        self.assertIn("/dev/pts/0\r\nc\r\n", terminal.expect("end\r\n"))
        terminal.resize(40, 120)
        self.assertTrue(wait_until(lambda: self.size(terminal) == "40 120"))
        terminal.type("cat\nword\n")
        terminal.expect("word\r\nword\r\n")
        terminal.type("\x03")
        terminal.expect("# ")
        terminal.type("exit 5\n")
        self.assertEqual(5, terminal.close())

    @staticmethod
    def size(terminal):
        terminal.type("stty size; echo do''ne\n")
        return re.findall(r"(\d+ \d+)\r\n", terminal.expect("\ndone\r\n") + "\n")[-1]

    def test_terminal_of_exec(self):
        name = self.start()
        terminal = Terminal([DOCKER, "exec", "-it", name, "sh"], rows=31, columns=91)
        terminal.expect("# ")
        self.assertTrue(wait_until(lambda: self.size(terminal) == "31 91"))
        terminal.type("exit 3\n")
        self.assertEqual(3, terminal.close())

    def test_attach_and_detach(self):
        name = self.start("bash", "--norc", options=("-it",))
        terminal = Terminal([DOCKER, "attach", name])
        terminal.type("echo o''ne\n")
        terminal.expect("one\r\n")
        terminal.type("\x10\x11")
        terminal.close()
        self.assertEqual("running", self.inspect(name, ".State.Status"))
        terminal = Terminal([DOCKER, "attach", name])
        terminal.type("exit 4\n")
        self.assertEqual(4, terminal.close())

    def test_stop(self):
        name = self.trapping()
        self.ok("stop", name)
        self.assertEqual("7", self.inspect(name, ".State.ExitCode"))
        self.assertIn("got it", self.docker("logs", name).out)

    def test_stop_of_the_deaf(self):
        name = self.start("sleep", "1000")
        self.ok("stop", "--time", "1", name)
        self.assertEqual("137", self.inspect(name, ".State.ExitCode"))

    def test_kill(self):
        name = self.trapping()
        self.ok("kill", "--signal", "USR1", name)
        self.assertEqual("7", self.ok("wait", name))
        name = self.start()
        self.ok("kill", name)
        self.assertEqual("137", self.ok("wait", name))
        self.assertIn("is not running", self.docker("kill", name).err)

    def test_stop_signal(self):
        name = self.trapping("--stop-signal", "USR1")
        self.ok("stop", name)
        self.assertEqual("7", self.inspect(name, ".State.ExitCode"))

    def test_kill_of_the_pid(self):
        name = self.start()
        os.kill(int(self.inspect(name, ".State.Pid")), signal.SIGKILL)
        self.await_field(name, ".State.Status", "exited")
        self.assertEqual("137", self.inspect(name, ".State.ExitCode"))

    def test_start_again(self):
        name = self.start("bash", "-c", "echo run >>/count; wc -l </count")
        self.assertEqual("0", self.ok("wait", name))
        self.assertEqual("2", self.ok("start", "--attach", name))
        self.ok("restart", name)
        self.ok("wait", name)
        self.assertEqual("1\n2\n3\n", self.docker("logs", name).out)

    def test_restart_policy(self):
        name = self.start("bash", "-c", "exit 3", options=("--restart", "on-failure:2"))
        self.await_field(name, ".RestartCount", "2")
        self.await_field(name, ".State.Status", "exited")
        name = self.start(options=("--restart", "always"))
        os.kill(int(self.inspect(name, ".State.Pid")), signal.SIGKILL)
        self.await_field(name, ".RestartCount", "1")
        self.await_field(name, ".State.Status", "running")

    def test_pause(self):
        name = self.start("bash", "-c", "while :; do echo x >>/count; done")
        self.ok("pause", name)
        self.assertEqual("paused", self.inspect(name, ".State.Status"))
        before = self.cpu(name)
        time.sleep(0.3)  # NOLINT(sleep): nothing is to happen meanwhile
        self.assertEqual(before, self.cpu(name))
        self.assertNotEqual(0, self.docker("exec", name, "true").status)
        self.ok("unpause", name)
        self.assertTrue(wait_until(lambda: self.cpu(name) > before))
        self.ok("pause", name)
        self.ok("rm", "--force", name)

    def cpu(self, name):
        return int(self.limit(name, "cpuacct", "cpuacct.usage"))

    def test_top(self):
        name = self.start("bash", "-c", "sleep 1000 & wait")
        lines = self.ok("top", name).splitlines()
        self.assertIn("PID", lines[0])
        self.assertGreaterEqual(len(lines), 2)
        self.assertIn(self.inspect(name, ".State.Pid"), [line.split()[1] for line in lines[1:]])

    def test_stats(self):
        name = self.start("bash", "-c", "while :; do :; done")
        stats = json.loads(self.ok("stats", "--no-stream", "--format", "{{json .}}", name))
        self.assertGreater(float(stats["CPUPerc"].rstrip("%")), 1)  # however busy the machine is
        self.assertNotEqual("0B / 0B", stats["MemUsage"])
        self.assertGreaterEqual(int(stats["PIDs"]), 1)

    def test_health(self):
        name = self.start(options=("--health-cmd", "test -e /well", "--health-interval", "200ms", "--health-retries", "1"))
        self.await_field(name, ".State.Health.Status", "unhealthy")
        self.inside(name, "touch /well")
        self.await_field(name, ".State.Health.Status", "healthy")

    def test_logs(self):
        name = self.start("bash", "-c", "echo one; echo two >&2; echo three")
        self.ok("wait", name)
        done = self.docker("logs", "--follow", name)
        self.assertEqual(("one\nthree\n", "two\n"), (done.out, done.err))

    def test_events(self):
        began, name = int(time.time()), self.start("false")
        self.ok("wait", name)

        def seen():
            events = self.ok("events", "--since", str(began), "--until", str(int(time.time()) + 1), "--filter", f"container={name}",
                             "--format", "{{.Status}}").split()
            return [event for event in events if event in ("create", "start", "die")]
        self.assertTrue(wait_until(lambda: seen() == ["create", "start", "die"]), seen())

    def test_rename_and_remove(self):
        name = self.start()
        self.assertNotEqual(0, self.docker("rm", name).status)
        self.ok("rename", name, name + "-new")
        self.ok("rm", "--force", name + "-new")


both(globals(), Life)
del Life
