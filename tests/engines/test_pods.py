"""Kubernetes' pods: containerd's CRI plugin by its gRPC socket, with runc and with the runtime class runsc."""
import atexit
import functools
import glob
import importlib
import itertools
import json
import os
import subprocess
import sys
import unittest

from engines import DOCKER, both, command, dockerd, image_file, must, place, processes, runsc, shim, shims, wait_until

try:
    import grpc
except ImportError:
    grpc = None

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = "docker.io/library/pod:latest"
CNI = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
    {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipam": {
        "type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]], "dataDir": None}}]}


@functools.lru_cache(maxsize=None)
def messages():
    must("protoc", f"-I{HERE}", f"--python_out={place()}", os.path.join(HERE, "cri.proto"))
    sys.path.insert(0, place())
    return importlib.import_module("cri_pb2")


class Cri:
    """A containerd of our own: dockerd's has no CRI plugin."""

    def __init__(self):
        self.socket = place("cri/containerd.sock")
        os.makedirs(place("cri/net.d"), exist_ok=True)
        CNI["plugins"][0]["ipam"]["dataDir"] = place("cri/addresses")
        with open(place("cri/net.d/pods.conflist"), "w", encoding="utf-8") as out:
            json.dump(CNI, out)
        config = place("cri/config.toml")
        with open(config, "w", encoding="utf-8") as out:
            out.write(f"""version = 2
root = "{place("cri/root")}"
state = "{place("cri/state")}"
[grpc]
  address = "{self.socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{IMAGE}"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{place("cri/net.d")}"
""")
        shim()
        # What a machine's owner does: runsc install.
        must(runsc(), "install", "--config_file=none", "--containerd_config_file", config)
        with open(place("cri/log"), "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(["containerd", "--config", config], stdout=log, stderr=log, cwd=place(),
                                            env={**os.environ, "PATH": f"{place()}:{os.environ['PATH']}"})
        atexit.register(self.stop)
        self.channel = grpc.insecure_channel(f"unix://{self.socket}")
        if not wait_until(lambda: self.ctr("version").status == 0, seconds=60):
            with open(place("cri/log"), encoding="utf-8") as log:
                raise AssertionError(f"containerd does not start: {log.read()[-3000:]}")
        dockerd()
        must(DOCKER, "import", "--change", 'CMD ["/bin/sleep", "1000000"]', image_file(), "pod")
        must(DOCKER, "save", "--output", place("pod.tar"), "pod")
        must("ctr", "--address", self.socket, "--namespace", "k8s.io", "image", "import", place("pod.tar"), timeout=400)
        os.unlink(place("pod.tar"))

    def ctr(self, *args):
        return command("ctr", "--address", self.socket, "--namespace", "k8s.io", *args)

    def call(self, method, request, answer):
        stub = self.channel.unary_unary(f"/runtime.v1.RuntimeService/{method}", request_serializer=type(request).SerializeToString,
                                        response_deserializer=answer.FromString)
        return stub(request, timeout=60)

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


@functools.lru_cache(maxsize=None)
def cri():
    return Cri()


class Pods:
    numbers = itertools.count()

    def setUp(self):
        if grpc is None:
            self.skipTest("needs python3-grpcio and python3-protobuf")
        self.m, self.cri = messages(), cri()

    def call(self, method, request, answer=None):
        return self.cri.call(method, request, answer or self.m.Empty)

    def run_pod(self):
        number = next(self.numbers)
        config = self.m.PodConfig(
            metadata=self.m.PodMetadata(name=f"pod{number}", uid=f"{self.runtime}-{number}", namespace="tests"),
            hostname=f"host{number}", log_directory=place("cri/logs"),
            linux=self.m.LinuxPod(cgroup_parent="/" + os.path.basename(place())))
        pod = self.call("RunPodSandbox", self.m.RunPodRequest(config=config, runtime_handler=self.runtime), self.m.PodId).id
        self.addCleanup(self.remove, pod)
        return pod, config

    def remove(self, pod):
        """No error where it is gone."""
        try:
            self.call("StopPodSandbox", self.m.PodId(id=pod))
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
        self.call("RemovePodSandbox", self.m.PodId(id=pod))

    def create(self, pod, *args, name="one", memory=0):
        config = self.m.ContainerConfig(
            metadata=self.m.ContainerMetadata(name=name), image=self.m.Image(image=IMAGE), command=args, log_path=f"{pod[0]}-{name}.log",
            linux=self.m.LinuxContainer(resources=self.m.LinuxResources(memory_limit_in_bytes=memory)))
        request = self.m.CreateContainerRequest(pod=pod[0], config=config, pod_config=pod[1])
        return self.call("CreateContainer", request, self.m.ContainerId).id

    def start(self, pod, *args, **options):
        container = self.create(pod, *(args or ("sleep", "1000")), **options)
        self.call("StartContainer", self.m.ContainerId(id=container))
        return container

    def status(self, container):
        return self.call("ContainerStatus", self.m.ContainerId(id=container), self.m.ContainerStatus).status

    def ends(self, container):
        self.assertTrue(wait_until(lambda: self.status(container).state == 2))
        return self.status(container)

    def run_in(self, container, *cmd):
        return self.call("ExecSync", self.m.ExecSyncRequest(id=container, cmd=cmd, timeout=20), self.m.ExecSyncResponse)

    def log(self, pod, name="one"):
        path = place("cri/logs", f"{pod[0]}-{name}.log")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as file:
            return [line.split(" ", 3)[3].rstrip("\n") for line in file]

    def shims(self):
        return shims("-address", self.cri.socket)

    def test_pod_and_container(self):
        pod = self.run_pod()
        self.assertEqual(0, self.call("PodSandboxStatus", self.m.PodId(id=pod[0]), self.m.PodStatus).status.state)
        container = self.start(pod, "bash", "-c", "echo $HOSTNAME; exit 6")
        self.assertEqual(6, self.ends(container).exit_code)
        self.assertTrue(wait_until(lambda: self.log(pod) == [pod[1].hostname]), self.log(pod))

    def test_exec_sync(self):
        container = self.start(self.run_pod())
        done = self.run_in(container, "bash", "-c", "echo out; echo err >&2; exit 3")
        self.assertEqual((3, b"out\n", b"err\n"), (done.exit_code, done.stdout, done.stderr))

    def test_containers_of_a_pod_share_the_network_and_the_shim(self):
        before = self.shims()
        pod = self.run_pod()
        address = self.call("PodSandboxStatus", self.m.PodId(id=pod[0]), self.m.PodStatus).status.network.ip
        server = "import socket; s = socket.create_server(('127.0.0.1', 8080)); print('up', flush=True)\n" \
                 "while True: c, _ = s.accept(); c.sendall(b'hello'); c.close()"
        self.start(pod, "python3", "-c", server, name="server")
        self.assertTrue(wait_until(lambda: self.log(pod, "server") == ["up"]))
        client = self.start(pod, name="client")
        done = self.run_in(client, "bash", "-c", "cat < /dev/tcp/127.0.0.1/8080; hostname -I")
        self.assertEqual(b"hello" + address.encode(), done.stdout.strip(), done.stderr)
        self.assertEqual(1, len(self.shims() - before))

    def test_one_sentry_for_all_containers(self):
        def sentries():
            return {pid for pid, line in processes().items() if line.startswith("runsc-sentry")}
        before = sentries()
        pod = self.run_pod()
        one, other = self.start(pod, name="one"), self.start(pod, name="other")
        self.assertEqual(1 if self.runtime == "runsc" else 0, len(sentries() - before))
        self.assertEqual(0, self.run_in(one, "bash", "-c", "echo mine > /tmp/mine; ipcmk --shmem 4096").exit_code)
        done = self.run_in(other, "bash", "-c", "test -e /tmp/mine || ipcs --shmems | grep -c 4096")
        self.assertEqual(b"1\n", done.stdout, done.stderr)

    def test_end_of_one_leaves_the_others(self):
        pod = self.run_pod()
        one, other = self.start(pod, name="one"), self.start(pod, name="other")
        self.call("StopContainer", self.m.ContainerId(id=one, timeout=0))
        self.assertEqual(137, self.ends(one).exit_code)
        self.call("RemoveContainer", self.m.ContainerId(id=one))
        self.assertEqual(0, self.run_in(other, "true").exit_code)
        self.assertEqual(1, self.status(other).state)

    def test_memory_runs_out(self):
        container = self.start(self.run_pod(), "python3", "-c", "x = bytearray()\nwhile True: x += b'x' * (1 << 20)", memory=96 << 20)
        ended = self.ends(container)
        self.assertEqual((137, "OOMKilled"), (ended.exit_code, ended.reason))

    def test_stats(self):
        container = self.start(self.run_pod())
        stats = self.call("ContainerStats", self.m.ContainerId(id=container), self.m.ContainerStats).stats
        self.assertGreater(stats.cpu.value.value, 0)
        self.assertGreater(stats.memory.value.value, 0)

    def test_nothing_is_left_of_a_pod(self):
        before = self.shims()
        pod = self.run_pod()
        self.start(pod)
        pids = self.shims() - before
        self.assertEqual(1, len(pids))
        self.remove(pod[0])
        self.assertTrue(wait_until(lambda: not self.shims() & pids))
        self.assertEqual([], glob.glob(place(f"cri/state/io.containerd.runtime.v2.task/k8s.io/{pod[0]}*")))


both(globals(), Pods)
del Pods

if __name__ == "__main__":
    unittest.main()
