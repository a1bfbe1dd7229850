"""Networks under Docker, as far as they concern a runtime."""
import socket

from docker_cases import DockerCases
from engines import both, wait_until

SERVE = """
import socket, sys
s = socket.create_server(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    c, peer = s.accept()
    c.sendall(b"hello " + c.recv(100))
    c.close()
"""
ASK = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
s.sendall(sys.argv[3].encode())
print(s.makefile().read())
"""
UDP = """
import socket
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("", 5353))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(100)
    s.sendto(b"hello " + data, peer)
"""


class Network(DockerCases):
    def network(self):
        name = f"net-{self.new_name()}"
        self.ok("network", "create", name)

        def remove():
            self.sweep()
            self.ok("network", "rm", name)
        self.addCleanup(remove)
        return name

    def server(self, *options, port=80):
        name = self.start("python3", "-c", SERVE, str(port), options=options)
        self.await_log(name, "ready")
        return name

    def ask(self, host, *options, port=80):
        done = self.docker("run", "--rm", "--runtime", self.runtime, *options, "debian", "python3", "-c", ASK, host, str(port), "you")
        self.assertEqual("hello you\n", done.out, done.err)

    def test_none(self):
        self.says("lo\n", "ls /sys/class/net", "--network", "none")
        self.says("hello you\n", f"python3 -c '{SERVE}' 80 >/tmp/log & until grep -q ready /tmp/log; do :; done; python3 -c '{ASK}' 127.0.0.1 80 you",
                  "--network", "none")

    def test_bridge(self):
        name = self.server()
        address = self.inspect(name, ".NetworkSettings.IPAddress")
        self.ask(address)
        with socket.create_connection((address, 80), 10) as here:
            here.sendall(b"host")
            self.assertEqual("hello host", here.makefile().read())
        self.assertEqual(address, self.inside(name, "hostname -I").strip())

    def test_interfaces(self):
        self.says("eth0\nlo\n", "ls /sys/class/net")
        self.says("2\n", "grep -c ^ <(tail -n +3 /proc/net/dev)")
        self.says("1\n", "awk '$2 == \"00000000\"' /proc/net/route | wc -l")

    def test_host(self):
        self.server("--network", "host", port=8123)
        with socket.create_connection(("127.0.0.1", 8123), 10) as here:
            here.sendall(b"host")
            self.assertEqual("hello host", here.makefile().read())

    def test_of_another_container(self):
        name = self.server()
        self.ask("127.0.0.1", "--network", f"container:{name}")

    def test_published_port(self):
        name = self.server("-p", "127.0.0.1:8080:80")
        with socket.create_connection(("127.0.0.1", 8080), 10) as here:
            here.sendall(b"host")
            self.assertEqual("hello host", here.makefile().read())
        self.assertIn("127.0.0.1:8080", self.ok("port", name))

    def test_published_datagrams(self):
        name = self.start("python3", "-c", UDP, options=("-p", "127.0.0.1:5353:5353/udp"))
        self.await_log(name, "ready")
        with socket.socket(type=socket.SOCK_DGRAM) as here:
            here.settimeout(10)
            here.sendto(b"host", ("127.0.0.1", 5353))
            self.assertEqual(b"hello host", here.recv(100))

    def test_names_in_a_network(self):
        network = self.network()
        name = self.server("--network", network, "--network-alias", "other")
        self.ask(name, "--network", network)
        self.ask("other", "--network", network)
        self.assertNotEqual("", self.ok("run", "--rm", "--runtime", self.runtime, "--network", network, "debian", "getent", "hosts", name))
        self.says("nameserver 127.0.0.11\n", "grep nameserver /etc/resolv.conf", "--network", network)

    def test_connect_later(self):
        network, name = self.network(), self.server()
        self.ok("network", "connect", network, name)
        self.assertEqual("eth0 eth1 lo", self.inside(name, "ls /sys/class/net | xargs"))
        self.ask(name, "--network", network)
        self.ok("network", "disconnect", network, name)
        self.assertTrue(wait_until(lambda: self.inside(name, "ls /sys/class/net | xargs") == "eth0 lo"))

    def test_link(self):
        name = self.server()
        self.ask("friend", "--link", f"{name}:friend")

    def test_hosts_and_resolver(self):
        self.says("10.1.2.3 tower\n", "getent hosts tower | xargs", "--add-host", "tower:10.1.2.3")
        self.says("nameserver 10.9.8.7\n", "grep nameserver /etc/resolv.conf", "--dns", "10.9.8.7")

    def test_low_port_without_privilege(self):
        name = self.server("--user", "1000")
        self.ask(self.inspect(name, ".NetworkSettings.IPAddress"))

    def test_address_of_its_own(self):
        network = f"net-{self.new_name()}"
        self.ok("network", "create", "--subnet", "10.77.0.0/24", network)
        self.addCleanup(lambda: (self.sweep(), self.ok("network", "rm", network)))
        self.says("10.77.0.9\n", "hostname -I | xargs", "--network", network, "--ip", "10.77.0.9")


both(globals(), Network)
del Network
