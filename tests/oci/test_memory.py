"""What files in memory may take is bounded, and the sandbox goes first where the host has no memory left."""
import os
import unittest

from harness import OciTest, family

FILL = r"""
import os
total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
held = 0
for i in range(8):
    fd = os.memfd_create(f"file{i}")
    try:
        os.posix_fallocate(fd, 0, total)
        print("all of the memory in a file")
    except OSError as error:
        print(error.strerror)
    os.ftruncate(fd, 0)
    os.posix_fallocate(fd, 0, 1 << 20)
    held += os.fstat(fd).st_blocks * 512
print(held >> 20)
"""

DEV_SHM = r"""
df --output=size /dev/shm | tail -n 1
head -c 60M /dev/zero >/dev/shm/a; echo $?
head -c 60M /dev/zero >/dev/shm/b; echo $?
stat -c %s /dev/shm/b; rm /dev/shm/a; head -c 60M /dev/zero >/dev/shm/b; echo $?
mount | grep -c 'on /dev/shm .*size=65536k'
"""


def oom_score_adj(pid):
    with open(f"/proc/{pid}/oom_score_adj", encoding="utf-8") as text:
        return int(text.read())


def shared_memory():
    with open("/proc/meminfo", encoding="utf-8") as text:
        return next(int(line.split()[1]) for line in text if line.startswith("Shmem:"))


class MemoryTest(OciTest):
    def sandbox(self, **process):
        bundle = self.bundle(["/bin/sleep", "1000"], process=process)
        container = self.runsc.start_detached(bundle)
        monitor = self.runsc.state(container)["pid"]
        members = [pid for pid in family(os.getppid()) if self.is_sentry(pid)]
        self.assertEqual(1, len(members))
        return container, monitor, family(members[0])

    @staticmethod
    def is_sentry(pid):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as text:
                return text.read() == "runsc-sentry\n"
        except OSError:
            return False

    def test_the_sandbox_goes_first(self):
        _, monitor, members = self.sandbox()
        self.assertGreaterEqual(len(members), 3)
        self.assertEqual({1000}, {oom_score_adj(pid) for pid in members})
        self.assertEqual(oom_score_adj(os.getpid()), oom_score_adj(monitor))

    def test_unless_it_is_told_otherwise(self):
        container, monitor, members = self.sandbox(oomScoreAdj=500)
        self.assertEqual({500}, {oom_score_adj(pid) for pid in [monitor, *members]})
        self.assertEqual("500\n", self.runsc.call("exec", container, "/bin/cat", "/proc/1/oom_score_adj").out)

    def test_files_without_a_name_do_not_fill_the_host(self):
        before = shared_memory()
        result = self.run_shell(f"exec python3 -c '{FILL}'")
        self.assertEqual("No space left on device\n" * 8 + "8\n", result.out, result.err)
        self.assertLess(shared_memory() - before, 64 << 10)

    def test_size_of_a_mount(self):
        result = self.run_shell(DEV_SHM)
        self.assertEqual(result, self.run_shell(DEV_SHM, runtime=self.other_runtime()))
        self.assertEqual("65536\n0\n1\n4194304\n0\n1\n".split("\n"), [line.strip() for line in result.out.split("\n")], result.err)


if __name__ == "__main__":
    unittest.main()
