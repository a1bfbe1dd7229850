"""containerd by ctr, with the runtime as the shim's --runc-binary."""
import itertools
import json
import os
import signal

from engines import both, command, containerd, image_reference, must, runsc, wait_until
from terminal import Terminal

class Containerd:
    numbers = itertools.count()

    def setUp(self):
        containerd()
        self.names = []
        self.addCleanup(self.sweep)

    def sweep(self):
        for name in self.names:
            self.ctr("task", "rm", "--force", name)
            self.ctr("container", "rm", name)

    def ctr(self, *args, **options):
        return command(*containerd(), *args, **options)

    def ok(self, *args, **options):
        return must(*containerd(), *args, **options)

    def run_arguments(self, *args, options=()):
        name = f"{self.runtime}-{next(self.numbers)}"
        self.names.append(name)
        binary = runsc() if self.runtime == "runsc" else "/usr/bin/runc"
        return name, ("run", "--runc-binary", binary, *options, image_reference(), name, *args)

    def start(self, *args, options=()):
        name, argv = self.run_arguments(*(args or ("sleep", "1000")), options=("--detach", *options))
        self.ok(*argv)
        return name

    def status(self, name):
        lines = [line.split() for line in self.ok("task", "list").splitlines()]
        return next((fields[2] for fields in lines if fields[0] == name), None)

    def pid(self, name):
        lines = [line.split() for line in self.ok("task", "list").splitlines()]
        return next(int(fields[1]) for fields in lines if fields[0] == name)

    def test_output_and_status(self):
        _, argv = self.run_arguments("bash", "-c", "echo out; echo err >&2; exit 42", options=("--rm",))
        done = self.ctr(*argv)
        self.assertEqual((42, "out\n"), (done.status, done.out), done.err)
        self.assertIn("err\n", done.err)

    def test_terminal(self):
        _, argv = self.run_arguments("sh", options=("--rm", "--tty"))
        terminal = Terminal([*containerd(), *argv])
        terminal.expect("# ")
        terminal.type("tty; echo e''nd\n")
        self.assertIn("/dev/pts/0", terminal.expect("\nend\r"))
        terminal.type("exit 5\n")
        self.assertEqual(5, terminal.close())

    def test_exec(self):
        name = self.start()
        done = self.ctr("task", "exec", "--exec-id", "one", name, "bash", "-c", "echo in; exit 9")
        self.assertEqual((9, "in\n"), (done.status, done.out), done.err)

    def test_pause(self):
        name = self.start()
        self.ok("task", "pause", name)
        self.assertEqual("PAUSED", self.status(name))
        self.ok("task", "resume", name)
        self.assertEqual("RUNNING", self.status(name))

    def test_kill(self):
        name = self.start()
        self.ok("task", "kill", "--signal", "SIGKILL", name)
        self.assertTrue(wait_until(lambda: self.status(name) == "STOPPED"))

    def test_kill_of_all(self):
        name = self.start("bash", "-c", "sleep 1000 & wait")
        self.ok("task", "kill", "--all", "--signal", "9", name)
        self.assertTrue(wait_until(lambda: self.status(name) == "STOPPED"))

    def test_kill_of_the_pid(self):
        name = self.start()
        os.kill(self.pid(name), signal.SIGKILL)
        self.assertTrue(wait_until(lambda: self.status(name) == "STOPPED"))

    def test_processes(self):
        name = self.start()
        self.assertIn(str(self.pid(name)), self.ok("task", "ps", name))

    def test_metrics(self):
        name = self.start(options=("--memory-limit", str(64 << 20)))
        metrics = json.loads(self.ok("task", "metrics", "--format", "json", name))
        self.assertEqual(64 << 20, int(metrics["memory"]["usage"]["limit"]))
        self.assertGreater(int(metrics["cpu"]["usage"]["total"]), 0)

    def test_host_network(self):
        _, argv = self.run_arguments("bash", "-c", "ls /sys/class/net | grep docker0", options=("--rm", "--net-host"))
        self.assertEqual("docker0\n", self.ctr(*argv).out)


both(globals(), Containerd)
del Containerd
