"""containerd with runsc's own shim, io.containerd.runsc.v1, beside io.containerd.runc.v2."""
import itertools
import json
import os
import signal
import subprocess
import unittest

from engines import EngineTest, both, command, containerd, image_reference, must, place, runsc, shim, shims, wait_until
from harness import processes
from terminal import Terminal

RUNTIMES = {"runc": "io.containerd.runc.v2", "runsc": "io.containerd.runsc.v1"}


class Events:
    """What containerd publishes in the meantime: topics of one container, in order."""

    def __init__(self, reach):
        self.log = open(place("events.log"), "w+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen([*reach, "events"], stdout=self.log, stderr=subprocess.DEVNULL)

    def of(self, name):
        self.log.seek(0)
        found = []
        for line in self.log.read().splitlines():
            words = line.split(" ", 6)  # date, time, zone, zone, namespace, topic, event
            if len(words) == 7 and words[5].startswith("/tasks/"):
                event = json.loads(words[6])
                if event.get("container_id") == name:
                    found.append((words[5][len("/tasks/"):], event))
        return found

    def topics(self, name):
        return [topic for topic, _ in self.of(name)]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()


class Shim:
    numbers = itertools.count()

    def setUp(self):
        self.reach = containerd()
        self.names = []
        self.addCleanup(self.sweep)

    def sweep(self):
        for name in self.names:
            self.ctr("task", "rm", "--force", name)
            self.ctr("container", "rm", name)

    def ctr(self, *args, **options):
        return command(*self.reach, *args, **options)

    def ok(self, *args, **options):
        return must(*self.reach, *args, **options)

    def run_arguments(self, *args, options=(), runtime=None):
        name = f"shim-{self.runtime}-{next(self.numbers)}"
        self.names.append(name)
        return name, ("run", "--runtime", runtime or RUNTIMES[self.runtime], *options, image_reference(), name, *args)

    def start(self, *args, options=()):
        name, argv = self.run_arguments(*(args or ("sleep", "1000")), options=("--detach", *options))
        self.ok(*argv)
        return name

    def row(self, name):
        lines = [line.split() for line in self.ok("task", "list").splitlines()]
        return next((fields for fields in lines if fields[0] == name), (name, "0", "NONE"))

    def status(self, name):
        return self.row(name)[2]

    def ends(self, name):
        self.assertTrue(wait_until(lambda: self.status(name) == "STOPPED"), self.row(name))

    def shim_pid(self, name):
        return shims("-id", name).pop()

    def bundle(self, name):
        state = place("exec/containerd/daemon/io.containerd.runtime.v2.task")
        return os.path.join(state, os.path.basename(place()), name)

    def test_output_and_status(self):
        _, argv = self.run_arguments("bash", "-c", "echo out; echo err >&2; exit 42", options=("--rm",))
        done = self.ctr(*argv)
        self.assertEqual((42, "out\n"), (done.status, done.out), done.err)
        self.assertIn("err\n", done.err)

    def test_much_output(self):
        _, argv = self.run_arguments("head", "-c", "3000000", "/dev/zero", options=("--rm",))
        self.assertEqual(3000000, len(self.ctr(*argv).out))

    def test_input(self):
        _, argv = self.run_arguments("cat", options=("--rm",))
        self.assertEqual("what goes in\n", self.ctr(*argv, stdin="what goes in\n").out)

    def test_command_that_is_missing(self):
        name, argv = self.run_arguments("/no/such/program", options=("--rm",))
        done = self.ctr(*argv)
        self.assertNotEqual(0, done.status)
        self.assertIn("no such file or directory", done.err)
        self.assertEqual("NONE", self.status(name))

    def test_terminal(self):
        _, argv = self.run_arguments("sh", options=("--rm", "--tty"))
        terminal = Terminal([*self.reach, *argv], rows=31, columns=101)
        terminal.expect("# ")
        terminal.type("tty; stty size; echo e''nd\n")
        shown = terminal.expect("\nend\r")
        self.assertIn("/dev/pts/0", shown)
        self.assertIn("31 101", shown)
        terminal.type("exit 5\n")
        self.assertEqual(5, terminal.close())

    def test_size_of_the_terminal_changes(self):
        _, argv = self.run_arguments("bash", options=("--rm", "--tty"))
        terminal = Terminal([*self.reach, *argv])
        terminal.expect("# ")
        terminal.type("trap 'stty size' WINCH; echo re''ady; while :; do read -t 1; done\n")
        terminal.expect("ready\r")
        terminal.resize(40, 120)
        os.kill(terminal.pid, signal.SIGWINCH)
        terminal.expect("40 120")
        terminal.type("\x03exit\n")
        terminal.close()

    def test_exec(self):
        name = self.start()
        done = self.ctr("task", "exec", "--exec-id", "one", name, "bash", "-c", "echo in; exit 9")
        self.assertEqual((9, "in\n"), (done.status, done.out), done.err)
        again = self.ctr("task", "exec", "--exec-id", "one", name, "cat", stdin="through\n")
        self.assertEqual((0, "through\n"), (again.status, again.out), again.err)

    def test_exec_on_a_terminal(self):
        name = self.start()
        terminal = Terminal([*self.reach, "task", "exec", "--tty", "--exec-id", "tty", name, "sh", "-c", "tty; exit 3"])
        terminal.expect("/dev/pts/")
        self.assertEqual(3, terminal.close())

    def test_exec_of_a_command_that_is_missing(self):
        name = self.start()
        done = self.ctr("task", "exec", "--exec-id", "no", name, "/no/such/program")
        self.assertNotEqual(0, done.status)
        self.assertIn("no such file or directory", done.err)
        self.assertEqual("RUNNING", self.status(name))

    def test_kill_of_an_exec(self):
        name = self.start()
        with subprocess.Popen([*self.reach, "task", "exec", "--exec-id", "long", name, "sleep", "1000"]) as client:
            kill = ("task", "kill", "--exec-id", "long", "--signal", "SIGKILL", name)
            self.assertTrue(wait_until(lambda: self.ctr(*kill).status == 0))
            self.assertEqual(137, client.wait(timeout=20))
        self.assertEqual("RUNNING", self.status(name))

    def test_exec_ends_with_its_container(self):
        events = Events(self.reach)
        self.addCleanup(events.close)
        name = self.start()
        with subprocess.Popen([*self.reach, "task", "exec", "--exec-id", "long", name, "sleep", "1000"]) as client:
            self.assertTrue(wait_until(lambda: "exec-started" in events.topics(name)))
            self.ok("task", "kill", "--signal", "SIGKILL", name)
            self.assertEqual(137, client.wait(timeout=20))
        self.ends(name)

    def test_kill(self):
        name, argv = self.run_arguments("bash", "-c", "echo ready; sleep 1000")
        with subprocess.Popen([*self.reach, *argv], stdout=subprocess.PIPE, text=True) as client:
            self.assertEqual("ready\n", client.stdout.readline())
            self.ok("task", "kill", "--signal", "SIGKILL", name)
            self.assertEqual(137, client.wait(timeout=20))

    def test_kill_by_a_signal_that_is_caught(self):
        name, argv = self.run_arguments("bash", "-c", "trap 'exit 7' USR1; echo ready; while :; do sleep 0.05; done")
        with subprocess.Popen([*self.reach, *argv], stdout=subprocess.PIPE, text=True) as client:
            self.assertEqual("ready\n", client.stdout.readline())
            self.ok("task", "kill", "--signal", "SIGUSR1", name)
            self.assertEqual(7, client.wait(timeout=20))

    def test_kill_of_all(self):
        name = self.start("bash", "-c", "sleep 1000 & wait")
        self.ok("task", "kill", "--all", "--signal", "9", name)
        self.ends(name)

    def test_kill_of_what_has_ended(self):
        name = self.start("true")
        self.ends(name)
        done = self.ctr("task", "kill", "--signal", "SIGKILL", name)
        self.assertIn("process already finished", done.err)

    def test_kill_of_the_pid(self):
        name = self.start()
        os.kill(int(self.row(name)[1]), signal.SIGKILL)
        self.ends(name)

    def test_pause(self):
        name = self.start()
        self.ok("task", "pause", name)
        self.assertEqual("PAUSED", self.status(name))
        self.assertNotEqual(0, self.ctr("task", "pause", name).status)
        self.assertNotEqual(0, self.ctr("task", "exec", "--exec-id", "no", name, "true").status)
        self.ok("task", "resume", name)
        self.assertEqual("RUNNING", self.status(name))
        self.assertNotEqual(0, self.ctr("task", "resume", name).status)

    def test_paused_is_killed(self):
        name = self.start()
        self.ok("task", "pause", name)
        self.ok("task", "rm", "--force", name)
        self.assertEqual("NONE", self.status(name))

    def test_delete_of_what_runs(self):
        name = self.start()
        self.assertNotEqual(0, self.ctr("task", "delete", name).status)
        self.assertEqual("RUNNING", self.status(name))

    def test_same_name_again(self):
        name = self.start("sh", "-c", "exit 4")
        self.ends(name)
        self.ok("task", "delete", name)
        self.assertEqual("NONE", self.status(name))
        done = self.ctr("task", "start", name)
        self.assertEqual(4, done.status, done)

    def test_processes(self):
        name = self.start()
        rows = self.ok("task", "ps", name).splitlines()
        self.assertEqual([self.row(name)[1]], [row.split()[0] for row in rows[1:]])

    def test_metrics(self):
        name = self.start(options=("--memory-limit", str(64 << 20)))
        metrics = json.loads(self.ok("task", "metrics", "--format", "json", name))
        self.assertEqual(64 << 20, int(metrics["memory"]["usage"]["limit"]))
        self.assertGreater(int(metrics["memory"]["usage"]["usage"]), 0)
        self.assertGreater(int(metrics["cpu"]["usage"]["total"]), 0)
        self.assertGreater(int(metrics["pids"]["current"]), 0)

    def test_events(self):
        events = Events(self.reach)
        self.addCleanup(events.close)
        _, argv = self.run_arguments("true", options=("--rm",))
        self.ok(*argv)  # the stream of events is up when its first has come
        name = self.start("bash", "-c", "read -t 1000 < <(sleep 1000)")
        self.ok("task", "exec", "--exec-id", "one", name, "true")
        self.ok("task", "pause", name)
        self.ok("task", "resume", name)
        self.ok("task", "kill", "--signal", "SIGKILL", name)
        self.ends(name)
        self.ctr("task", "delete", name)
        self.assertTrue(wait_until(lambda: "delete" in events.topics(name)), events.topics(name))
        self.assertEqual(["create", "start", "exec-added", "exec-started", "exit", "paused", "resumed", "exit", "delete"],
                         events.topics(name))
        ends = [event for topic, event in events.of(name) if topic == "exit"]
        self.assertEqual([("one", 0), (name, 137)], [(end["id"], end.get("exit_status", 0)) for end in ends])

    def test_memory_runs_out(self):
        events = Events(self.reach)
        self.addCleanup(events.close)
        hog = "x = bytearray()\nwhile True: x += b'x' * (1 << 20)"
        name = self.start("python3", "-c", hog, options=("--memory-limit", str(96 << 20)))
        self.ends(name)
        self.assertTrue(wait_until(lambda: "oom" in events.topics(name)), events.topics(name))

    def test_dead_shim(self):
        """Killed, it leaves nothing that containerd does not take away."""
        name = self.start()
        pid, first = self.shim_pid(name), int(self.row(name)[1])
        with open(os.path.join(self.bundle(name), "address"), encoding="utf-8") as file:
            socket = file.read().strip()[len("unix://"):]
        self.assertTrue(os.path.exists(socket))
        bundle = self.bundle(name)
        os.kill(pid, signal.SIGKILL)
        self.assertTrue(wait_until(lambda: not os.path.exists(bundle), seconds=20), os.listdir(bundle) if os.path.exists(bundle) else "")
        self.assertTrue(wait_until(lambda: first not in processes()))
        with open("/proc/mounts", encoding="utf-8") as mounts:
            self.assertNotIn(bundle, mounts.read())
        if self.runtime == "runsc":
            self.assertFalse(os.path.exists(socket))

    def test_shim_goes_with_its_container(self):
        name = self.start("true")
        self.ends(name)
        pid = self.shim_pid(name)
        self.ctr("task", "delete", name)
        self.assertTrue(wait_until(lambda: pid not in processes()))


class RunscOnly(EngineTest):
    """What only this shim has."""
    runtime = "runsc"

    def setUp(self):
        self.reach = containerd()

    def test_found_by_its_path(self):
        done = command(*self.reach, "run", "--rm", "--runtime", shim(), image_reference(), "shim-by-path", "echo", "found")
        self.assertEqual((0, "found\n"), (done.status, done.out), done.err)

    def test_options_in_a_file(self):
        config = place("shim.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(f'binary_name = "{runsc()}"\n[runsc_config]\nnetwork = "nonsense"\n')
        done = command(*self.reach, "run", "--rm", "--runtime", RUNTIMES["runsc"], "--runtime-config-path", config,
                       image_reference(), "shim-options", "true")
        self.assertIn('--network: unknown value "nonsense"', done.err)

    def test_bad_command_lines(self):
        for args, said in ((("start",), "-namespace is missing"), (("-namespace", "x", "start"), "-id is missing"),
                           (("-namespace", "x", "-id", "y", "nonsense"), "unknown action nonsense"),
                           (("-nonsense",), "flag provided but not defined: -nonsense")):
            done = command(shim(), *args)
            self.assertEqual((1, "", f"containerd-shim-runsc-v1: {said}\n"), (done.status, done.out, done.err))


both(globals(), Shim)
del Shim

if __name__ == "__main__":
    unittest.main()
