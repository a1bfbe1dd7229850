"""Nothing of the host is visible inside, a hostile guest ends neither sentry nor gofer, and each process is locked down.

HOSTILE_SECONDS shortens the hostile guest's minute.
"""
import os
import random
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

from harness import DEFAULT_CAPS, HERE, PATIENCE, RUNSC, OciTest, family

HOSTILE_SECONDS = int(os.environ.get("HOSTILE_SECONDS", "60"))

# Every name and every readable text outside the root file system's own tree; what never ends or is huge is left out.
LOOK = r"""
env; uname -a; hostname; cat /proc/mounts /proc/version /proc/cmdline /proc/sys/kernel/* 2>/dev/null
ps axeww
find / -xdev -name '*MARK*' 2>/dev/null
find /proc /sys /dev /tmp /run -type l -printf '%p -> %l\n' 2>/dev/null
find /proc /sys /dev /tmp /run \( -name kcore -o -name kmsg -o -name pagemap -o -name mem -o -name clear_refs \) -prune \
  -o -type f -size -1000k -print0 2>/dev/null | xargs -0 -n 50 timeout 20 grep -asH '' 2>/dev/null
for pid in /proc/[0-9]*; do tr '\0' '\n' <$pid/environ; tr '\0' ' ' <$pid/cmdline; ls -l $pid/fd $pid/exe $pid/cwd $pid/root; done 2>/dev/null
exit 0
"""


def status_of(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as text:
        return dict(line.rstrip("\n").split(":\t", 1) for line in text if ":\t" in line)


class IsolationTest(OciTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if os.path.basename(RUNSC) == "runc":
            raise unittest.SkipTest("runc isolates otherwise")

    def setUp(self):
        super().setUp()
        self.mark = f"mark{random.randrange(10**12):012d}"

    def plant(self):
        """A file, a process and a variable of the host that carry the mark."""
        where = tempfile.mkdtemp(prefix=f"cloister-{self.mark}-")
        self.addCleanup(shutil.rmtree, where)
        with open(os.path.join(where, "file"), "w", encoding="utf-8") as out:
            out.write(self.mark)
        process = subprocess.Popen(["bash", "-c", f"exec -a {self.mark} sleep 1000"])
        self.addCleanup(process.wait, PATIENCE)
        self.addCleanup(process.kill)
        os.environ["CLOISTER_MARK"] = self.mark
        self.addCleanup(os.environ.pop, "CLOISTER_MARK")

    def test_nothing_of_the_host_is_seen(self):
        self.plant()
        result = self.run_shell(LOOK.replace("MARK", self.mark), timeout=180)
        self.assertEqual(0, result.status, result.err)
        # It did look: at texts of proc and sys, and at names of the root.
        for sight in ("/proc/sys/kernel/osrelease:", "/proc/1/mountinfo:", "/sys/devices/", "HOME=/root", "Linux sandbox "):
            self.assertIn(sight, result.out)
        self.assertGreater(len(result.out.splitlines()), 500)
        # The script itself, which stands in the command line, names the mark for find.
        seen = [line for line in result.out.splitlines() if self.mark in line and "-name" not in line]
        self.assertEqual([], seen)
        host = os.uname()
        for name, secret in {"kernel release": host.release, "kernel build": host.version, "state directory": self.runsc.root,
                             "runsc": os.path.realpath(self.runsc.path), "root's place": self.tree}.items():
            with self.subTest(name):
                self.assertEqual([], [line for line in result.out.splitlines() if secret in line][:5])
        if len(host.nodename) > 4:
            self.assertNotIn(host.nodename, result.out)
        with open("/proc/cmdline", encoding="utf-8") as text:
            self.assertNotIn(text.read().strip(), result.out)
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as text:
            self.assertNotIn(text.read().strip(), result.out)

    def test_the_vdso_does_not_tell_the_hosts_version(self):
        result = self.run_shell(
            "python3 -c 'import ctypes; c = ctypes.CDLL(None); c.getauxval.restype = ctypes.c_ulong; "
            "print(ctypes.string_at(c.getauxval(33), 4096).hex())'")  # 33: AT_SYSINFO_EHDR
        self.assertEqual("7f454c46", result.out[:8], result.err)
        image = bytes.fromhex(result.out.strip())
        major, minor, patch = (int(part) for part in re.match(r"(\d+)\.(\d+)\.(\d+)", os.uname().release).groups())
        version = (major << 16 | minor << 8 | min(patch, 255)).to_bytes(4, "little")
        self.assertNotIn(b"Linux\0\0\0" + version, image)
        self.assertNotIn(os.uname().release.encode(), image)

    def test_processes_are_the_guests_own(self):
        result = self.run_shell("echo /proc/[0-9]*; ps axo pid=,args=")
        names = result.out.split("\n")
        self.assertIn("/proc/1", names[0].split())
        self.assertLessEqual(len(names[0].split()), 2, names[0])
        self.assertNotRegex(result.out, "runsc|memfd")

    def test_the_host_cannot_be_reached_by_name(self):
        self.plant()
        for path in (f"/proc/1/root/tmp/cloister-{self.mark}*", f"/proc/self/root/../../tmp/cloister-{self.mark}*",
                     f"/../../../tmp/cloister-{self.mark}*", f"/proc/self/cwd/../../../../tmp/cloister-{self.mark}*"):
            with self.subTest(path=path):
                self.assertEqual("none\n", self.run_shell(f"cat {path}/file 2>/dev/null || echo none").out)

    def test_locked_down(self):
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "1000"]))
        monitor = self.runsc.state(container)["pid"]
        mine = [pid for pid in family(os.getppid()) if self.sandbox_member(pid)]
        names = {pid: status_of(pid)["Name"] for pid in mine}
        sentry = next(pid for pid, name in names.items() if name == "runsc-sentry")
        gofer = next(pid for pid, name in names.items() if name == "runsc-gofer")
        stubs = [pid for pid in family(sentry) if pid != sentry]
        self.assertGreaterEqual(len(stubs), 2)
        for pid in (sentry, *stubs):
            with self.subTest(pid=pid, name=status_of(pid)["Name"]):
                status = status_of(pid)
                self.assertEqual(("2", "1"), (status["Seccomp"], status["NoNewPrivs"]))
                self.assertEqual(["65534"] * 4, status["Uid"].split())
                self.assertEqual(["65534"] * 4, status["Gid"].split())
                for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                    self.assertEqual(0, int(status[kind], 16), kind)
                for space in ("user", "pid", "mnt", "ipc", "uts", "net"):
                    self.assertNotEqual(os.readlink(f"/proc/self/ns/{space}"), os.readlink(f"/proc/{pid}/ns/{space}"), space)
        self.assertEqual([], os.listdir(f"/proc/{sentry}/root"))
        status = status_of(gofer)
        self.assertEqual(("2", "1"), (status["Seccomp"], status["NoNewPrivs"]))
        allowed = sum(1 << bit for bit in (0, 1, 2, 3, 4, 6, 7, 31))  # chown, dac_*, fowner, fsetid, setgid, setuid, setfcap
        self.assertEqual(0, int(status["CapEff"], 16) & ~allowed)
        self.assertEqual(0, int(status_of(monitor)["CapEff"], 16))
        self.assertEqual("1", status_of(monitor)["NoNewPrivs"])

    def sandbox_member(self, pid):
        try:
            return os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(self.runsc.path)
        except OSError:
            return False

    def test_filters_are_short(self):
        for flags, most in (([], 75), (["--network=none"], 60), (["--platform=ptrace"], 75), (["--platform=ptrace", "--network=none"], 60)):
            text = subprocess.run([self.runsc.path, *flags, "debug", "filters"], capture_output=True, text=True, check=True).stdout
            sizes = {name: int(size) for name, size in re.findall(r"^(\S+): (\d+) host system calls$", text, re.M)}
            self.assertEqual({"sentry", "gofer", "stub"}, set(sizes))
            self.assertLessEqual(sizes["sentry"], most)
            self.assertLessEqual(sizes["gofer"], 45)
            self.assertLessEqual(sizes["stub"], 17)
            self.assertEqual(sum(sizes.values()), len(re.findall(r"^  \w+ +\S.*", text, re.M)))

    def test_every_syscall_with_hostile_arguments(self):
        where = tempfile.mkdtemp(prefix="cloister-hostile-")
        self.addCleanup(shutil.rmtree, where)
        os.chmod(where, 0o755)
        subprocess.run(["gcc", "-O1", "-static", "-pthread", "-Wall", "-Werror", "-o", os.path.join(where, "every_syscall"),
                        os.path.join(HERE, "every_syscall.c")], check=True)
        mounts = [{"destination": "/mnt", "type": "bind", "source": where, "options": ["rbind", "ro"]}]
        more = ["CAP_NET_ADMIN", "CAP_SYS_ADMIN", "CAP_SYS_NICE", "CAP_SYS_PTRACE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_IPC_LOCK"]
        seconds = max(1, HOSTILE_SECONDS // 2)
        for caps in (DEFAULT_CAPS, DEFAULT_CAPS + more):
            seed = random.randrange(2**32)
            script = f"/mnt/every_syscall {seconds} {seed}; status=$?; echo over; read line; exit $status"
            with self.subTest(caps=len(caps), seed=seed):
                self.hostile(self.bundle(["/bin/bash", "-c", script], mounts=mounts, caps=caps), seconds, caps is DEFAULT_CAPS)

    def hostile(self, bundle, seconds, tree_is_whole):
        container, log = self.runsc.new_id(), os.path.join(bundle, "log")
        with subprocess.Popen(self.runsc.argv("--debug-log", log, "run", "--bundle", bundle, container),
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
            killer = threading.Timer(seconds + PATIENCE, process.kill)
            killer.start()
            self.addCleanup(killer.cancel)
            said = []
            for line in process.stdout:
                said.append(line)
                if line == b"over\n":
                    break
            with open(log, "rb") as records:
                wrong = records.read()[-2000:]
            self.assertIn(b"over\n", said, (said, wrong))
            missed = re.search(rb"numbers not called (\d+)", b"".join(said))
            self.assertLessEqual(int(missed[1]), 0 if seconds >= 20 else 20)
            self.assertEqual(0, self.runsc.call("ps", container).status)
            if tree_is_whole:  # with the right to mount, it may have covered everything
                self.assertEqual("alive\n", self.runsc.call("exec", container, "/bin/echo", "alive").out)
            process.stdin.write(b"\n")
            process.stdin.flush()
            self.assertEqual(42, process.wait(PATIENCE))


if __name__ == "__main__":
    unittest.main()
