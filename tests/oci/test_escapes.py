"""Public container escapes, by class: each attack is made, and fails here.

The numbers are those of the holes in other runtimes that showed the class.
"""
import ctypes
import hashlib
import os
import shutil
import tempfile
import threading
import uuid

from harness import DEFAULT_CAPS, RUNSC, OciTest

AT_FDCWD, RENAME_EXCHANGE = -100, 2
ALL_CAPS = DEFAULT_CAPS + ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "CAP_SYS_MODULE", "CAP_SYS_RAWIO"]


def digest(path):
    with open(path, "rb") as source:
        return hashlib.sha256(source.read()).hexdigest()


class EscapeTest(OciTest):
    def setUp(self):
        super().setUp()
        self.mark = uuid.uuid4().hex
        self.outside = tempfile.mkdtemp(prefix="cloister-outside-")
        self.addCleanup(shutil.rmtree, self.outside, ignore_errors=True)
        with open(os.path.join(self.outside, "secret"), "w", encoding="utf-8") as secret:
            secret.write(self.mark)

    def outside_is_untouched(self):
        self.assertEqual(["secret"], os.listdir(self.outside))
        with open(os.path.join(self.outside, "secret"), encoding="utf-8") as secret:
            self.assertEqual(self.mark, secret.read())

    # CVE-2024-21626, CVE-2016-9962: a descriptor of a host directory is left open.
    def test_no_descriptor_leads_out(self):
        look = "for fd in /proc/[0-9]*/fd/*; do ls -1a $fd/ 2>/dev/null | grep -qx secret && echo $fd; ls -1 $fd/../../../ 2>/dev/null; done"
        held = os.open(self.outside, os.O_RDONLY)
        self.addCleanup(os.close, held)
        os.set_inheritable(held, True)
        done = self.run_shell(f"{look} | grep -v -e '^bin$' | grep secret; ls /proc/self/fd | wc -l")
        self.assertEqual(0, done.status, done)
        self.assertEqual("4", done.out.strip())  # 0 to 2, and the one that ls reads

    def test_no_working_directory_leads_out(self):
        for number in range(3, 12):
            for suffix in ("", "/..", "/../../.."):
                bundle = self.bundle(["/bin/sh", "-c", "pwd -P; ls -a ."], cwd=f"/proc/self/fd/{number}{suffix}")
                done = self.runsc.run(bundle)
                self.assertNotIn("cloister-", done.out)
                if suffix == "":
                    self.assertNotEqual(0, done.status, done)

    def test_no_working_directory_of_exec_leads_out(self):
        container = self.runsc.start_detached(self.bundle(["/bin/sleep", "100"]))
        for number in range(3, 9):
            done = self.runsc.call("exec", "--cwd", f"/proc/self/fd/{number}", container, "/bin/pwd")
            self.assertNotEqual(0, done.status, done)

    # CVE-2019-5736: the runtime's own binary is reached by /proc/self/exe and overwritten.
    def test_the_runtimes_binary_is_out_of_reach(self):
        before = digest(RUNSC)
        attack = ("exec 3<&0; for exe in /proc/[0-9]*/exe; do "
                  "cmp -n 64 $exe /proc/self/exe >/dev/null; grep -c runsc-gofer $exe; (echo x > $exe) 2>/dev/null && echo written; done")
        done = self.run_shell(attack, writable=True)
        self.assertNotIn("written", done.out)
        self.assertEqual({"0"}, set(done.out.split()), done)
        self.assertEqual(before, digest(RUNSC))

    def test_an_interpreter_that_is_proc_self_exe_is_the_containers(self):
        bundle = self.bundle(["/attack"], writable=True)
        with open(os.path.join(bundle, "rootfs/attack"), "w", encoding="utf-8") as script:
            script.write("#!/proc/self/exe\n")
        os.chmod(os.path.join(bundle, "rootfs/attack"), 0o755)
        before = digest(RUNSC)
        done = self.runsc.run(bundle)
        self.assertNotEqual(0, done.status)
        self.assertNotIn("usage", done.out + done.err)
        self.assertEqual(before, digest(RUNSC))

    # CVE-2021-30465, CVE-2017-1002101: a link in the root file system leads a mount out of it.
    def test_a_mount_point_behind_a_link_stays_within(self):
        bundle = self.bundle(["/bin/sh", "-c", "ls /outside; ls /mnt/link/ 2>&1"], writable=True,
                             mounts=[{"destination": "/mnt/link/made", "type": "tmpfs", "source": "tmpfs"}])
        os.symlink(self.outside, os.path.join(bundle, "rootfs/mnt/link"))
        self.runsc.run(bundle)
        self.outside_is_untouched()

    def test_a_mount_point_that_is_exchanged_meanwhile_stays_within(self):
        bundle = self.bundle(["/bin/true"], writable=True,
                             mounts=[{"destination": "/mnt/place/made", "type": "tmpfs", "source": "tmpfs"}])
        place = os.path.join(bundle, "rootfs/mnt/place")
        link = os.path.join(bundle, "rootfs/mnt/other")
        os.makedirs(place)
        os.symlink(self.outside, link)
        stop = threading.Event()

        libc = ctypes.CDLL(None, use_errno=True)

        def exchange():
            while not stop.is_set():
                libc.renameat2(AT_FDCWD, place.encode(), AT_FDCWD, link.encode(), RENAME_EXCHANGE)

        racer = threading.Thread(target=exchange)
        racer.start()
        try:
            for _ in range(15):
                self.runsc.run(bundle)
        finally:
            stop.set()
            racer.join()
        self.outside_is_untouched()

    def test_files_behind_links_are_the_containers(self):
        bundle = self.bundle(["/bin/sh", "-c", "cat /leak/secret /up/*/secret; echo x > /leak/new"], writable=True)
        os.symlink(self.outside, os.path.join(bundle, "rootfs/leak"))
        os.symlink("../" * 20 + "tmp", os.path.join(bundle, "rootfs/up"))
        done = self.runsc.run(bundle)
        self.assertNotIn(self.mark, done.out)
        self.outside_is_untouched()

    def test_a_directory_that_is_exchanged_while_it_is_walked_stays_within(self):
        script = ("mkdir -p /w/d/e; ln -s " + "../" * 20 + self.outside.lstrip("/") + " /w/l; "
                  "(for i in $(seq 300); do mv /w/d /w/t; mv /w/l /w/d; mv /w/d /w/l; mv /w/t /w/d; done) & "
                  "for i in $(seq 300); do cat /w/d/secret /w/d/e/../secret 2>/dev/null; done; wait")
        done = self.run_shell(script, writable=True)
        self.assertEqual(0, done.status, done)
        self.assertNotIn(self.mark, done.out)

    # CVE-2025-31133, CVE-2023-27561: what masks a path is exchanged, or the path itself is a link.
    def test_masked_paths_do_not_depend_on_the_root_file_system(self):
        bundle = self.bundle(["/bin/sh", "-c", "cat /proc/kcore | head -c 10 | wc -c; (echo h > /proc/sysrq-trigger) 2>&1; "
                              "(echo '|/bin/x' > /proc/sys/kernel/core_pattern) 2>&1; cat /proc/keys"], writable=True)
        null = os.path.join(bundle, "rootfs/dev/null")
        if os.path.lexists(null):
            os.unlink(null)
        os.symlink(os.path.join(self.outside, "secret"), null)
        with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as pattern:
            before = pattern.read()
        done = self.runsc.run(bundle)
        self.assertNotIn(self.mark, done.out)
        self.assertEqual("0", done.out.split("\n", maxsplit=1)[0], done)
        with open("/proc/sys/kernel/core_pattern", encoding="utf-8") as pattern:
            self.assertEqual(before, pattern.read())
        self.outside_is_untouched()

    # CVE-2022-0492: release_agent of a control group is run by the host.
    def test_no_release_agent(self):
        script = ("mkdir -p /mnt/c; for type in cgroup cgroup2; do mount -t $type -o rdma none /mnt/c 2>/dev/null || mount -t $type none /mnt/c 2>/dev/null; "
                  f"(echo /bin/touch {self.outside}/new > /mnt/c/release_agent) 2>/dev/null && echo written; "
                  "(mkdir /mnt/c/x; echo 1 > /mnt/c/x/notify_on_release) 2>/dev/null && echo armed; umount /mnt/c 2>/dev/null; done; "
                  "find / -xdev -name release_agent 2>/dev/null; echo done")
        done = self.run_shell(script, writable=True, caps=ALL_CAPS)
        self.assertEqual("done", done.out.strip(), done)
        self.outside_is_untouched()

    # "Shocker", Docker before 1.0: files are opened by handle.
    def test_files_are_not_opened_by_handle(self):
        script = r"""perl -e '$handle = pack("IiQ", 8, 1, 2); $fd = syscall(304, 0, $handle, 0); print "$fd ", $! + 0'"""
        done = self.run_shell(script, caps=ALL_CAPS)
        self.assertEqual("-1 1", done.out.strip(), done)

    # CVE-2019-14271, CVE-2018-15664: a tool of the host reads or loads what the container has put in its way.
    def test_exec_in_a_hostile_root_file_system(self):
        bundle = self.bundle(["/bin/sleep", "100"], writable=True)
        root = os.path.join(bundle, "rootfs")
        for name in ("etc/passwd", "etc/group"):
            path = os.path.join(root, name)
            if os.path.lexists(path):
                os.unlink(path)
        os.mkfifo(os.path.join(root, "etc/passwd"))
        os.symlink(os.path.join(self.outside, "secret"), os.path.join(root, "etc/group"))
        container = self.runsc.start_detached(bundle)
        done = self.runsc.call("exec", container, "/bin/cat", "/etc/group", timeout=30)
        self.assertNotIn(self.mark, done.out)
        done = self.runsc.call("exec", container, "/bin/echo", "alive", timeout=30)
        self.assertEqual("alive", done.out.strip(), done)
        self.outside_is_untouched()
