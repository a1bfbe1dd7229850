"""runsc serve: commands and programs of system calls in sandboxes of their own, by its own client."""
import base64
import concurrent.futures
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import unittest

from harness import RUNSC, family, processes, wait_until

GROUPS = "/sys/fs/cgroup"
PATIENCE = 120


class Run:
    """What a client with --json has shown."""

    def __init__(self, done):
        self.status, self.error = done.returncode, done.stderr
        self.events = [json.loads(line) for line in done.stdout.splitlines()]

    def of(self, kind):
        return [event[kind] for event in self.events if kind in event]

    def bytes(self, kind):
        return b"".join(base64.b64decode(data) for data in self.of(kind))

    @property
    def result(self):
        return self.events[-1]["result"]

    @property
    def syscalls(self):
        return [call for batch in self.of("syscalls") for call in batch["calls"]]

    def __repr__(self):
        return f"status {self.status}\n{self.error}\n{self.events}"


class ServeTest(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        if not os.access(RUNSC, os.X_OK):
            self.skipTest(f"no runsc in {RUNSC}")
        self.place = tempfile.mkdtemp(prefix="cloister-serve-")
        self.addCleanup(shutil.rmtree, self.place, ignore_errors=True)
        self.socket = os.path.join(self.place, "socket")
        self.temporary = os.path.join(self.place, "temporary")
        os.mkdir(self.temporary)

    def serve(self, *options):
        """A server that is stopped, and leaves nothing behind, at the end of the test."""
        server = subprocess.Popen([RUNSC, "serve", "--socket", self.socket, *options], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": self.temporary})
        self.addCleanup(self.stop, server)
        self.assertEqual(f"serving on {self.socket}\n", server.stdout.readline())
        return server

    def stop(self, server):
        if server.returncode is not None:
            return
        server.send_signal(signal.SIGTERM)
        try:
            _, errors = server.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            _, errors = server.communicate()
        self.assertEqual((0, ""), (server.returncode, errors))
        self.assertEqual([], self.leftovers(server.pid))

    def groups(self, pid):
        return [os.path.join(place, name) for place, names, _ in os.walk(GROUPS) for name in names
                if name.startswith(f"runsc-serve-{pid}-")]

    def leftovers(self, pid):
        """A group can be removed only when none of its processes is left."""
        with open("/proc/mounts", encoding="utf-8") as mounts:
            mounted = [line for line in mounts if self.place in line]
        running = [line for line in processes().values() if self.place in line and " run --socket " not in line]  # clients
        return [*self.groups(pid), *mounted, *running, *os.listdir(self.temporary),
                *([self.socket] if os.path.exists(self.socket) else [])]

    def client(self, *words):
        return [RUNSC, "serve", "run", "--socket", self.socket, "--json", *words]

    def run_client(self, *words, **options):
        return Run(subprocess.run(self.client(*words), capture_output=True, timeout=PATIENCE, check=False, text=True, **options))

    def file(self, content, name="file", mode=0o644):
        path = os.path.join(self.place, name)
        with open(path, "w", encoding="utf-8") as out:
            out.write(content)
        os.chmod(path, mode)
        return path

    # What comes of a command.

    def test_output_and_status(self):
        self.serve()
        run = self.run_client("sh", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((3, b"out\n", b"err\n"), (run.status, run.bytes("stdout_data"), run.bytes("stderr_data")), run)
        self.assertEqual(("ENDED_BY_EXIT", 3), (run.result["ended_by"], run.result["exit_code"]))
        self.assertIn("started", run.events[0])
        usage = {name: int(value) for name, value in run.result["usage"].items()}
        self.assertEqual(8, usage["output_bytes"])
        for name in ("wall_us", "cpu_us", "peak_memory_bytes"):
            self.assertGreater(usage[name], 1000, name)

    def test_a_signal_is_no_exit_code(self):
        self.serve()
        # Only a fault can kill the first process of a pid namespace from inside.
        run = self.run_client("python3", "-c", "import ctypes; ctypes.string_at(0)")
        self.assertEqual(("ENDED_BY_SIGNAL", 11, 139), (run.result["ended_by"], run.result["signal"], run.status))
        run = self.run_client("sh", "-c", "exit 139")
        self.assertEqual(("ENDED_BY_EXIT", 139, 139), (run.result["ended_by"], run.result["exit_code"], run.status))

    def test_input_environment_directory(self):
        self.serve()
        run = self.run_client("--stdin", self.file("some text"), "--env", "A=b c", "--cwd", "/usr", "sh", "-c",
                              'cat; echo "$A"; pwd')
        self.assertEqual(b"some textb c\n/usr\n", run.bytes("stdout_data"), run)

    def test_files_are_put_in_and_cannot_be_changed(self):
        self.serve()
        script = self.file("#!/bin/sh\ncat data; pwd; echo x >> data || echo refused", "script", 0o755)
        data = self.file("the data\n", "data")
        run = self.run_client("--file", script, "--file", data, "./script")
        self.assertEqual(b"the data\n/run/serve/files\nrefused\n", run.bytes("stdout_data"), run)

    def test_writes_stay_in_the_sandbox(self):
        self.serve()
        tree = os.path.join(self.place, "tree")
        os.mkdir(tree)
        shutil.copy("/bin/busybox" if os.path.exists("/bin/busybox") else RUNSC, os.path.join(tree, "program"))
        for root, command in (("/", ["sh", "-c", "echo x > /var/tmp/cloister-serve-mark && cat /var/tmp/cloister-serve-mark"]),
                              (tree, ["/program", "--version"])):
            run = self.run_client("--root", root, *command)
            self.assertEqual("ENDED_BY_EXIT", run.result["ended_by"], run)
        self.assertFalse(os.path.exists("/var/tmp/cloister-serve-mark"))
        self.assertEqual(["program"], os.listdir(tree))

    # Limits.

    def test_time(self):
        self.serve()
        run = self.run_client("--time", "1500", "sh", "-c", "echo began; exec sleep 1000")
        self.assertEqual(("ENDED_BY_WALL_TIME", 124, b"began\n"),
                         (run.result["ended_by"], run.status, run.bytes("stdout_data")), run)
        self.assertGreaterEqual(int(run.result["usage"]["wall_us"]), 1_500_000)

    def test_processor_time(self):
        self.serve()
        run = self.run_client("--time", "60000", "--cpu-time", "700", "sh", "-c", "while :; do :; done")
        self.assertEqual(("ENDED_BY_CPU_TIME", 124), (run.result["ended_by"], run.status), run)
        self.assertGreaterEqual(int(run.result["usage"]["cpu_us"]), 700_000)

    def test_memory(self):
        self.serve()
        run = self.run_client("--time", "60000", "--memory", "64", "tail", "/dev/zero")
        self.assertEqual(("ENDED_BY_MEMORY", 124), (run.result["ended_by"], run.status), run)
        self.assertGreaterEqual(int(run.result["usage"]["memory_kills"]), 1)
        self.assertLessEqual(int(run.result["usage"]["peak_memory_bytes"]), 64 << 20)

    def test_output_limit(self):
        self.serve()
        run = self.run_client("--output", "100000", "yes")
        self.assertEqual(("ENDED_BY_OUTPUT", 124, 100000),
                         (run.result["ended_by"], run.status, len(run.bytes("stdout_data"))), run.result)

    def test_processes(self):
        self.serve()
        script = "for i in $(seq 300); do sleep 1000 & done; wait"
        run = self.run_client("--time", "20000", "--processes", "20", "sh", "-c", script)
        self.assertEqual("ENDED_BY_EXIT", run.result["ended_by"], run)
        self.assertIn(b"fork", run.bytes("stderr_data"))

    # Traces and programs.

    def test_trace(self):
        self.serve()
        run = self.run_client("--trace", "cat", "/no/such, file")
        failed = [call for call in run.syscalls if call["name"] == "openat" and '"/no/such, file"' in call["args"]]
        self.assertEqual([("ENOENT", "-1")], [(call["error"], call["result"]) for call in failed], run)
        self.assertEqual(len(run.syscalls), int(run.result["usage"]["syscalls"]))
        run = self.run_client("--trace", "--trace-calls", "7", "true")
        self.assertEqual(7, len(run.syscalls))
        self.assertEqual(int(run.result["usage"]["syscalls"]) - 7, int(run.result["usage"]["syscalls_left_out"]))

    PROGRAM = """# a file, and a pipe that nobody writes
0 r1 = openat(-100, &0x40["a\\x00"], 0x42, 0x1ff)
0 write(r1, &0x80["hello"], 5)
0 pread64(r1, &0x100, 16, 1)
1 pipe(&0x200)
1 read(*0x200, &0x300, 5)
1 getpid()
0 close(99)
0 fork()
"""
    RESULTS = [(0, 3), (1, 5), (2, 4), (3, 0), (4, "waits"), (5, "waits"), (6, -9)]

    @staticmethod
    def results(run):
        return [(call["index"], "waits" if call["waits"] else int(call["result"])) for call in run.of("call")]

    def test_program_with_trace_and_coverage(self):
        self.serve()
        for platform in ("systrap", "ptrace"):
            with self.subTest(platform=platform):
                run = self.run_client("--platform", platform, "--trace", "--coverage", "--program", self.file(self.PROGRAM))
                self.assertEqual(self.RESULTS, self.results(run)[:7], run)
                self.assertGreater(self.results(run)[7][1], 0)
                self.assertEqual(("ENDED_BY_EXIT", 0), (run.result["ended_by"], run.result["exit_code"]))
                self.assertIn(("pread64", "4"), [(call["name"], call["result"]) for call in run.syscalls])
                coverage = run.of("coverage")[0]
                answers = {call["name"]: {answer["error"] for answer in call["answers"]} for call in coverage["calls"]}
                self.assertEqual({"openat": {""}, "write": {""}, "pread64": {""}, "pipe": {""}, "close": {"EBADF"}, "fork": {""}},
                                 answers)
                self.assertEqual(6, coverage["handlers_reached"])
                self.assertGreater(coverage["handlers"], 200)

    def test_coverage_of_a_command(self):
        self.serve()
        run = self.run_client("--trace", "--coverage", "cat", "/no/such/file")
        coverage = run.of("coverage")[0]
        answers = {call["name"]: {answer["error"] for answer in call["answers"]} for call in coverage["calls"]}
        self.assertIn("ENOENT", answers["openat"])
        self.assertEqual(coverage["handlers_reached"], len(answers))
        counted = sum(int(answer["count"]) for call in coverage["calls"] for answer in call["answers"])
        self.assertEqual(len(run.syscalls), counted)

    def test_programs_that_end_their_process(self):
        self.serve()
        run = self.run_client("--program", self.file("0 getuid()\n0 exit_group(7)\n0 getuid()\n"))
        self.assertEqual([(0, 0), (1, "waits")], self.results(run), run)
        self.assertEqual(("ENDED_BY_EXIT", 7), (run.result["ended_by"], run.result["exit_code"]))
        run = self.run_client("--program", self.file("races\n0 r1 = gettid()\n1 getuid()\n0 tkill(r1, 11)\n"))
        self.assertEqual(("ENDED_BY_SIGNAL", 11), (run.result["ended_by"], run.result["signal"]), run)
        run = self.run_client("--program", self.file("0 munmap(0x10000000, 0x10000)\n0 write(1, &0[\"x\"], 1)\n"))
        self.assertEqual(("ENDED_BY_SIGNAL", 11), (run.result["ended_by"], run.result["signal"]), run)

    # Several clients.

    def test_ten_at_once(self):
        self.serve("--parallel", "3")
        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            runs = list(pool.map(lambda i: self.run_client("sh", "-c", f"echo {i}; sleep 0.2; exit {i}"), range(10)))
        for i, run in enumerate(runs):
            self.assertEqual((i, f"{i}\n".encode()), (run.status, run.bytes("stdout_data")), run)
        self.assertGreater(max(int(run.of("started")[0]["waited_ms"]) for run in runs), 200)

    def sleeper(self):
        """A client whose command sleeps, and has begun to."""
        client = subprocess.Popen(self.client("--time", "600000", "sh", "-c", "echo began; exec sleep 1000"),
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.communicate)
        self.addCleanup(client.kill)
        while "stdout_data" not in client.stdout.readline():
            self.assertIsNone(client.poll())
        return client

    def test_too_many_wait(self):
        self.serve("--parallel", "1", "--waiting", "0")
        client = self.sleeper()
        run = self.run_client("true")
        self.assertEqual((1, "runsc serve: too many calls wait already\n"), (run.status, run.error))
        client.kill()
        self.assertTrue(wait_until(lambda: self.run_client("true").status == 0, PATIENCE))

    def test_a_client_that_goes_takes_its_sandbox_along(self):
        server = self.serve()
        client = self.sleeper()
        self.assertNotEqual([], self.groups(server.pid))
        sandbox = family(server.pid)[1:]
        client.kill()
        self.assertTrue(wait_until(lambda: not self.groups(server.pid), PATIENCE))
        self.assertTrue(wait_until(lambda: not [pid for pid in sandbox if pid in processes()], PATIENCE))
        self.assertTrue(wait_until(lambda: not [name for name in os.listdir(self.temporary + "/" + os.listdir(self.temporary)[0])
                                                if name.startswith("runsc-serve-")], PATIENCE))

    def test_a_client_that_does_not_read_does_not_stop_the_clock(self):
        server = self.serve()
        client = subprocess.Popen(self.client("--time", "2000", "--output", str(200 << 20), "yes"), stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        self.addCleanup(client.communicate)
        self.addCleanup(client.kill)
        client.stdout.readline()
        client.send_signal(signal.SIGSTOP)
        self.assertTrue(wait_until(lambda: not self.groups(server.pid), PATIENCE))
        client.send_signal(signal.SIGCONT)
        out, _ = client.communicate(timeout=PATIENCE)
        result = json.loads(out.splitlines()[-1])["result"]
        self.assertEqual("ENDED_BY_WALL_TIME", result["ended_by"], result)
        self.assertEqual(0, self.run_client("true").status)

    def test_sigterm(self):
        server = self.serve("--parallel", "2")
        clients = [self.sleeper() for _ in range(2)]
        waiting = subprocess.Popen(self.client("true"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(waiting.communicate)
        self.stop(server)
        for client in (*clients, waiting):
            self.assertEqual(1, client.wait(PATIENCE))
            self.assertIn("runsc serve: ", client.stderr.read())

    def test_killed_the_server_takes_its_sandboxes_along(self):
        server = self.serve()
        self.sleeper()
        sandbox = family(server.pid)[1:]
        server.kill()
        server.communicate()
        self.assertTrue(wait_until(lambda: not [pid for pid in sandbox if pid in processes()], PATIENCE))
        for group in self.groups(server.pid):
            os.rmdir(group)

    # What is refused.

    def test_malformed_requests(self):
        self.serve("--max-seconds", "20")
        for words, complaint in (
                ([], "command.args: must be given"),
                (["--program", self.file("0 getpid(\n", "program")], "program.text: line 1 is no call"),
                (["--cwd", "tmp", "true"], "command.cwd: not an absolute path"),
                (["--root", "tree", "true"], "root: not an absolute path"),
                (["--root", "/no/such/tree", "true"], "/no/such/tree"),
                (["--time", "20001", "true"], "limits.wall_ms: must be between 1 and 20000"),
                (["--memory", "1", "true"], "limits.memory_bytes: must be between"),
                (["--env", "nothing", "true"], "command.env: not of the form"),
                (["no-such-program"], "no-such-program"),
                (["--stdin", self.file("x" * (9 << 20)), "cat"], "arger than max")):
            run = self.run_client(*words)
            self.assertEqual((1, []), (run.status, run.of("result")), run)
            self.assertRegex(run.error, r"^runsc serve: [^\n]*\n$")
            self.assertIn(complaint, run.error)

    def test_what_is_no_grpc(self):
        self.serve()
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 5000, b"\0" * 100):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(self.socket)
                peer.sendall(data)
        self.assertEqual(0, self.run_client("true").status)

    def test_the_socket(self):
        self.serve()
        self.assertEqual(0o600, stat.S_IMODE(os.stat(self.socket).st_mode))
        for path, complaint in ((self.socket, "is served already"), (self.file(""), "is there and no socket"),
                                (self.place + "/no/socket", "No such file"), ("x", "absolute"), ("/" + "x" * 200, "longer than")):
            done = subprocess.run([RUNSC, "serve", "--socket", path], capture_output=True, text=True, timeout=PATIENCE, check=False,
                                  env={**os.environ, "TMPDIR": self.temporary})
            self.assertEqual(1, done.returncode)
            self.assertRegex(done.stderr, rf"^runsc serve: [^\n]*{complaint}[^\n]*\n$")
        self.assertEqual(0, self.run_client("true").status)

    def test_no_server_and_no_program(self):
        run = self.run_client("true")
        self.assertEqual(1, run.status)
        self.assertRegex(run.error, r"^runsc serve: [^\n]+\n$")
        alone = shutil.copy(RUNSC, os.path.join(self.place, "runsc"))
        done = subprocess.run([alone, "serve"], capture_output=True, text=True, check=False)
        self.assertEqual(1, done.returncode)
        self.assertIn(f"{self.place}/runsc-serve is missing: it belongs beside runsc", done.stderr)


if __name__ == "__main__":
    unittest.main()
