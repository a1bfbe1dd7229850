"""Pods: containers that Kubernetes' annotations put into one sandbox, without containerd."""
import json
import os
import signal
import subprocess
import unittest

from harness import OciTest, PATIENCE, config, family, processes, wait_until

TYPE = "io.kubernetes.cri.container-type"
SANDBOX = "io.kubernetes.cri.sandbox-id"
NAMES = {"pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net"}
QUEUES = {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]}

SERVER = """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
open("/shared/up", "w").close()
while True:
    listener.accept()[0].sendall(b"hello")
"""

# A byte to a System V segment and a message to a POSIX queue, or what lies there.
IPC = """
import ctypes, sys
c = ctypes.CDLL(None, use_errno=True)
c.shmat.restype = ctypes.c_void_p
segment = c.shmget(4711, 4096, 0o1666)
at = c.shmat(segment, None, 0)
queue = c.mq_open(b"/pod", 0o102, 0o666, None)
assert segment >= 0 and at != 2**64 - 1 and queue >= 0, ctypes.get_errno()
if sys.argv[1] == "put":
    ctypes.memmove(at, b"x", 1)
    assert c.mq_send(queue, b"y", 1, 0) == 0
else:
    got = ctypes.create_string_buffer(8192)
    assert c.mq_receive(queue, got, 8192, None) == 1
    print(ctypes.string_at(at, 1).decode() + got.raw[:1].decode())
"""

EATER = "x = bytearray()\nwhile True: x += b'x' * (1 << 20)"


def comm(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as text:
        return text.read().strip()


class PodsTest(OciTest):
    def setUp(self):
        super().setUp()
        if self.runsc.name == "runc":
            self.skipTest("runc's pods have no sandbox")

    def own_processes(self):
        """Those of the command under test: others may run too."""
        mine, found = os.path.realpath(self.runsc.path), set()
        for pid in processes():
            try:
                if os.path.realpath(f"/proc/{pid}/exe") == mine:
                    found.add(pid)
            except OSError:
                pass
        return found

    def pod_bundle(self, args, annotations, namespaces, mounts=(), **linux):
        bundle = self.bundle(args)
        content = config(args, root=self.tree, readonly=True, mounts=[QUEUES, *mounts])
        content["annotations"] = annotations
        content["linux"]["namespaces"] = [{"type": "mount"}, *namespaces]
        content["linux"].update(linux)
        self.write_config(bundle, content)
        return bundle

    def sandbox(self):
        name = self.runsc.new_id()
        bundle = self.pod_bundle(["/bin/sleep", "100000"], {TYPE: "sandbox", SANDBOX: name},
                                 [{"type": kind} for kind in NAMES])
        return self.runsc.start_detached(bundle, name)

    def path_of(self, container, kind):
        return f"/proc/{self.runsc.state(container)['pid']}/ns/{NAMES[kind]}"

    def member_bundle(self, sandbox, args, share=("ipc", "uts", "network"), namespaces=None, **options):
        """With namespaces as containerd writes them: the pod's by path, the others new."""
        if namespaces is None:
            namespaces = [{"type": kind, **({"path": self.path_of(sandbox, kind)} if kind in share else {})} for kind in NAMES]
        return self.pod_bundle(args, {TYPE: "container", SANDBOX: sandbox}, namespaces, **options)

    def member(self, sandbox, args=("/bin/sleep", "1000"), **options):
        return self.runsc.start_detached(self.member_bundle(sandbox, list(args), **options))

    def status(self, container):
        return self.runsc.state(container)["status"]

    def stops(self, container):
        return wait_until(lambda: self.status(container) == "stopped")

    def shell(self, container, script):
        return self.runsc.call("exec", container, "/bin/bash", "-c", script)

    def host_pids(self, container):
        with open(os.path.join(self.runsc.root, container, "state.json"), encoding="utf-8") as text:
            state = json.load(text)
        return {role: state[role]["pid"] for role in ("monitor", "sentry", "gofer")}

    def test_one_sentry_and_a_gofer_each(self):
        before = self.own_processes()
        sandbox = self.sandbox()
        containers = [self.member(sandbox) for _ in range(2)]
        names = sorted(comm(pid) for pid in self.own_processes() - before)
        self.assertEqual(1, names.count("runsc-sentry"), names)
        self.assertEqual(3, names.count("runsc-gofer"), names)
        self.assertEqual(3, names.count("runsc-monitor"), names)
        for container in (sandbox, *containers):
            self.assertEqual("running", self.status(container))

    def test_they_share_network_ipc_and_hostname(self):
        sandbox = self.sandbox()
        shared = self.bundle(["/bin/true"])
        mount = {"destination": "/shared", "type": "bind", "source": shared, "options": ["bind"]}
        self.member(sandbox, ["/usr/bin/python3", "-c", SERVER], mounts=[mount])
        other = self.member(sandbox)
        self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(shared, "up"))))
        self.assertEqual("hello", self.shell(other, "cat < /dev/tcp/127.0.0.1/8080").out)
        third = self.member(sandbox)
        put = self.runsc.call("exec", other, "/usr/bin/python3", "-c", IPC, "put")
        self.assertEqual(0, put.status, put)
        self.assertEqual("xy\n", self.runsc.call("exec", third, "/usr/bin/python3", "-c", IPC, "get").out)
        self.assertEqual("sandbox\n", self.shell(third, "hostname").out)

    def test_files_are_each_containers_own(self):
        sandbox = self.sandbox()
        one, other = self.member(sandbox), self.member(sandbox)
        self.assertEqual(0, self.shell(one, "echo mine > /tmp/mine; echo mine > /dev/shm/mine").status)
        self.assertEqual("0\n", self.shell(other, "cat /tmp/mine /dev/shm/mine 2>/dev/null | wc -l").out)
        self.assertEqual("mine\n", self.shell(one, "cat /tmp/mine").out)

    def test_processes_are_seen_by_those_of_the_same_pid_namespace(self):
        sandbox = self.sandbox()
        one = self.member(sandbox, ["/bin/sleep", "1234"])
        apart = self.member(sandbox)
        beside = self.member(sandbox, share=("ipc", "uts", "network"),
                             namespaces=[{"type": "pid", "path": self.path_of(one, "pid")}])
        pid = self.shell(one, "pgrep -f 'sleep 1234'").out.strip()
        self.assertTrue(pid.isdigit(), pid)
        self.assertEqual("gone\n", self.shell(apart, f"kill -0 {pid} 2>/dev/null || test -e /proc/{pid} || echo gone").out)
        self.assertNotIn("1234", self.shell(apart, "ps axo args").out)
        self.assertEqual("there\n", self.shell(beside, f"kill -0 {pid} && test -e /proc/{pid} && echo there").out)
        self.assertNotIn("1234", self.runsc.call("ps", apart).out)
        self.assertIn("sleep", self.runsc.call("ps", one).out)

    def test_run_and_exec_tell_status_and_output(self):
        sandbox = self.sandbox()
        done = self.runsc.run(self.member_bundle(sandbox, ["/bin/bash", "-c", "cat; exit 7"]), stdin="in")
        self.assertEqual((7, "in"), (done.status, done.out), done.err)
        container = self.member(sandbox)
        done = self.shell(container, "echo out; kill -9 $$")
        self.assertEqual((137, "out\n"), (done.status, done.out))
        missing = self.runsc.run(self.member_bundle(sandbox, ["/bin/nothing"]))
        self.assertNotEqual(0, missing.status)
        self.assertIn("no such file or directory", missing.err)
        self.assertEqual("running", self.status(container))

    def test_end_of_one_leaves_the_others(self):
        sandbox = self.sandbox()
        one, other = self.member(sandbox), self.member(sandbox)
        self.assertEqual(0, self.runsc.call("kill", one, "KILL").status)
        self.assertTrue(self.stops(one))
        self.assertEqual("running", self.status(other))
        self.assertEqual(0, self.runsc.call("delete", one).status)
        self.assertEqual("yes\n", self.shell(other, "echo yes").out)
        # Its name may be used again.
        self.runsc.start_detached(self.member_bundle(sandbox, ["/bin/sleep", "1000"]), one)
        self.assertEqual("again\n", self.shell(one, "echo again").out)

    def test_end_of_the_sandbox_ends_all(self):
        sandbox = self.sandbox()
        containers = [self.member(sandbox) for _ in range(2)]
        waiting = self.runsc.new_id()
        bundle = self.member_bundle(sandbox, ["/bin/sleep", "1000"])
        self.assertEqual(0, self.runsc.call_quietly("create", "--bundle", bundle, waiting).status)
        self.assertEqual("created", self.status(waiting))
        self.assertEqual(0, self.runsc.call("kill", sandbox, "KILL").status)
        for container in (sandbox, waiting, *containers):
            self.assertTrue(self.stops(container))
            self.assertEqual(0, self.runsc.call("delete", container).status)
        self.assertEqual([], os.listdir(self.runsc.root))

    def test_one_that_never_started_is_deleted(self):
        sandbox = self.sandbox()
        container = self.runsc.new_id()
        bundle = self.member_bundle(sandbox, ["/bin/sleep", "1000"])
        self.assertEqual(0, self.runsc.call_quietly("create", "--bundle", bundle, container).status)
        pids = self.host_pids(container)
        self.assertEqual(0, self.runsc.call("delete", container).status)
        self.assertTrue(wait_until(lambda: not {pids["monitor"], pids["gofer"]} & set(processes())))
        self.assertEqual("running", self.status(sandbox))

    def test_pause_holds_one_container(self):
        sandbox = self.sandbox()
        one, other = self.member(sandbox), self.member(sandbox)
        self.assertEqual(0, self.runsc.call("pause", one).status)
        self.assertEqual(("paused", "running"), (self.status(one), self.status(other)))
        self.assertEqual("on\n", self.shell(other, "echo on").out)
        self.assertEqual(0, self.runsc.call("resume", one).status)
        self.assertEqual("on\n", self.shell(one, "echo on").out)
        self.assertEqual(0, self.runsc.call("pause", one).status)
        self.assertEqual(0, self.runsc.call("delete", "--force", one).status)
        self.assertEqual("on\n", self.shell(other, "echo on").out)

    def test_kill_of_each_process(self):
        # whose process is killed, which, and who lives on
        for victim, role, survives in (("one", "gofer", True), ("one", "monitor", True), ("sandbox", "gofer", False),
                                       ("sandbox", "monitor", False), ("sandbox", "sentry", False)):
            with self.subTest(victim=victim, role=role):
                sandbox = self.sandbox()
                one, other = self.member(sandbox), self.member(sandbox)
                every = {pid for container in (sandbox, one, other) for pid in self.host_pids(container).values()}
                os.kill(self.host_pids({"one": one, "sandbox": sandbox}[victim])[role], signal.SIGKILL)
                self.assertTrue(self.stops(one))
                if survives:
                    self.assertEqual("on\n", self.shell(other, "echo on").out)
                else:
                    self.assertTrue(self.stops(other) and self.stops(sandbox))
                for container in (one, other, sandbox):
                    self.assertEqual(0, self.runsc.call("delete", "--force", container).status)
                self.assertTrue(wait_until(lambda: not every & set(processes())))
                self.assertEqual([], os.listdir(self.runsc.root))

    def host_process(self, sandbox, name):
        """The host's pid of the stub in which the guest's program of this name runs."""
        lines = [line.split() for line in self.runsc.call("debug", "tasks", sandbox).out.splitlines()]
        inner = next(line[2] for line in lines if name in line)
        for pid in family(self.host_pids(sandbox)["sentry"]):
            with open(f"/proc/{pid}/status", encoding="utf-8") as text:
                numbers = next(line for line in text if line.startswith("NSpid:")).split()
            if numbers[-1] == inner:
                return pid
        raise AssertionError(f"no {inner} for {name}")

    def test_kill_of_a_stub_ends_one_process(self):
        sandbox = self.sandbox()
        one, other = self.member(sandbox, ["/usr/bin/tail", "-f", "/dev/null"]), self.member(sandbox)
        os.kill(self.host_process(sandbox, "tail"), signal.SIGKILL)
        self.assertTrue(self.stops(one))
        self.assertEqual("on\n", self.shell(other, "echo on").out)

    def test_a_killed_create_leaves_nothing(self):
        sandbox = self.sandbox()
        bundle = self.member_bundle(sandbox, ["/bin/sleep", "1000"])
        before = self.own_processes()
        for delay in (0.01, 0.03, 0.05, 0.1):
            container = self.runsc.new_id()
            with subprocess.Popen(self.runsc.argv("create", "--bundle", bundle, container), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as create:
                wait_until(lambda: False, seconds=delay)
                create.kill()
                create.wait(PATIENCE)
            self.runsc.call("delete", "--force", container)
        self.assertTrue(wait_until(lambda: self.own_processes() <= before))
        self.assertEqual("on\n", self.shell(self.member(sandbox), "echo on").out)

    def test_memory_runs_out_for_one(self):
        if not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            self.skipTest("no control groups of version 1")
        sandbox = self.sandbox()
        other = self.member(sandbox)
        place = f"/cloister-pods-{os.getpid()}"
        bundle = self.member_bundle(sandbox, ["/usr/bin/python3", "-c", EATER], cgroupsPath=place,
                                    resources={"memory": {"limit": 96 << 20}})
        eater = self.runsc.new_id()
        done = self.runsc.call("run", "--bundle", bundle, eater)
        self.assertEqual(137, done.status, done)
        self.assertEqual("running", self.status(other))
        self.assertEqual("on\n", self.shell(other, "echo on").out)

    def test_events_count_what_the_container_uses(self):
        if not os.path.exists("/sys/fs/cgroup/memory/memory.limit_in_bytes"):
            self.skipTest("no control groups of version 1")
        sandbox = self.sandbox()
        hold = "x = b'x' * (64 << 20)\nopen('/shared/up', 'w').close()\nimport time\ntime.sleep(1000)"  # NOLINT(sleep): the guest's
        shared = self.bundle(["/bin/true"])
        mount = {"destination": "/shared", "type": "bind", "source": shared, "options": ["bind"]}
        container = self.member(sandbox, ["/usr/bin/python3", "-c", hold], mounts=[mount], cgroupsPath=f"/cloister-pods-{os.getpid()}")
        self.assertTrue(wait_until(lambda: os.path.exists(os.path.join(shared, "up"))))
        stats = json.loads(self.runsc.call("events", "--stats", container).out)["data"]
        self.assertGreater(stats["memory"]["usage"]["usage"], 64 << 20)

    def test_what_cannot_be_is_refused(self):
        sandbox = self.sandbox()
        plain = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        new = [{"type": kind} for kind in NAMES]
        foreign = [{"type": "pid", "path": f"/proc/{os.getpid()}/ns/pid"}]
        for annotations, namespaces, complaint in (
                ({TYPE: "pod"}, [], "must be \"sandbox\" or \"container\""),
                ({TYPE: "container"}, [], "sandbox-id: must be given"),
                ({TYPE: "container", SANDBOX: "nobody"}, [], "does not exist"),
                ({TYPE: "container", SANDBOX: plain}, [], "is no sandbox"),
                ({TYPE: "container", SANDBOX: sandbox}, new, "a container of a pod is in the pod's"),
                ({TYPE: "container", SANDBOX: sandbox}, foreign, "linux.namespaces: pid")):
            with self.subTest(complaint=complaint):
                bundle = self.pod_bundle(["/bin/true"], annotations, namespaces)
                done = self.runsc.run(bundle)
                self.assertNotEqual(0, done.status)
                self.assertIn(complaint, done.err)
                self.assertEqual({sandbox, plain}, set(os.listdir(self.runsc.root)))


if __name__ == "__main__":
    unittest.main()
