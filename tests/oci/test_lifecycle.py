"""create, start, state, exec, kill, list, ps, delete as engines call them; standard streams; pid file; do."""
import json
import os
import socket
import subprocess
import array
import time
import unittest

from harness import OciTest, PATIENCE, wait_until


class LifecycleTest(OciTest):
    def sleeper(self, **changes):
        return self.bundle(["/bin/sleep", "1000"], **changes)

    def status(self, container):
        state = self.runsc.state(container)
        return state and state["status"]

    def test_states(self):
        bundle, container = self.sleeper(), self.runsc.new_id()
        pid_file = os.path.join(bundle, "pid")
        done = self.runsc.call_quietly("create", "--bundle", bundle, "--pid-file", pid_file, container)
        self.assertEqual(0, done.status, done.err)
        state = self.runsc.state(container)
        self.assertEqual("created", state["status"])
        self.assertEqual((container, os.path.realpath(bundle)), (state["id"], os.path.realpath(state["bundle"])))
        with open(pid_file, encoding="utf-8") as text:
            self.assertEqual(str(state["pid"]), text.read())
        os.kill(state["pid"], 0)
        self.assertEqual(0, self.runsc.call("start", container).status)
        self.assertEqual("running", self.status(container))
        self.assertNotEqual(0, self.runsc.call("start", container).status)
        self.assertNotEqual(0, self.runsc.call("delete", container).status)
        self.assertEqual(0, self.runsc.call("kill", container, "KILL").status)
        self.assertTrue(wait_until(lambda: self.status(container) == "stopped"))
        self.assertEqual(0, self.runsc.call("delete", container).status)
        self.assertIsNone(self.runsc.state(container))

    def test_list(self):
        container = self.runsc.start_detached(self.sleeper())
        listed = json.loads(self.runsc.call("list", "--format", "json").out)
        self.assertEqual([(container, "running")], [(entry["id"], entry["status"]) for entry in listed])
        self.assertIn(container, self.runsc.call("list").out)
        self.assertEqual(container + "\n", self.runsc.call("list", "--quiet").out)

    def test_delete_of_created_and_force(self):
        bundle, container = self.sleeper(), self.runsc.new_id()
        subprocess.run(self.runsc.argv("create", "--bundle", bundle, container), stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, timeout=PATIENCE, check=True)
        self.assertEqual(0, self.runsc.call("delete", "--force", container).status)
        running = self.runsc.start_detached(self.sleeper())
        self.assertEqual(0, self.runsc.call("delete", "--force", running).status)
        self.assertEqual(0, self.runsc.call("delete", "--force", "never-was").status)

    def test_signals_reach_the_workload(self):
        bundle = self.bundle(["/bin/bash", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.1; done"])
        container = self.runsc.new_id()
        with subprocess.Popen(self.runsc.argv("run", "--bundle", bundle, container), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) as process:
            self.assertEqual("ready\n", process.stdout.readline())
            self.assertEqual(0, self.runsc.call("kill", container, "TERM").status)
            self.assertEqual("got\n", process.stdout.readline())
            self.assertEqual(3, process.wait(PATIENCE))

    def test_killed_workload_gives_128_plus_signal(self):
        self.assertEqual(137, self.runsc.run(self.bundle(["/bin/sh", "-c", "sh -c 'kill -9 $$'"])).status)

    def test_exec(self):
        container = self.runsc.start_detached(self.sleeper())
        result = self.runsc.call("exec", container, "/bin/sh", "-c", "echo inside; cat; exit 4", stdin="given\n")
        self.assertEqual((4, "inside\ngiven\n"), (result.status, result.out), result.err)
        result = self.runsc.call("exec", "--cwd", "/usr", "--env", "X=y", "--user", "12:34", container, "/bin/sh", "-c",
                                 "pwd; echo $X; id -u; id -g")
        self.assertEqual("/usr\ny\n12\n34\n", result.out, result.err)
        self.assertIn("sleep", self.runsc.call("exec", container, "/bin/ps", "ax").out)
        self.assertNotEqual(0, self.runsc.call("exec", container, "/no/such").status)

    def test_exec_with_a_process_file(self):
        container = self.runsc.start_detached(self.sleeper())
        process = {"args": ["/bin/sh", "-c", "echo from a file; id -u"], "env": ["PATH=/bin"], "cwd": "/", "user": {"uid": 7, "gid": 8}}
        path = os.path.join(self.runsc.root, "..", f"process-{os.getpid()}.json")
        with open(path, "w", encoding="utf-8") as out:
            json.dump(process, out)
        self.addCleanup(os.unlink, path)
        self.assertEqual("from a file\n7\n", self.runsc.call("exec", "--process", path, container).out)

    def test_config_by_another_name(self):
        if self.runsc.name == "runc":
            self.skipTest("crun has it, runc has not")
        bundle = self.bundle(["/bin/echo", "another"])
        for path in ("other.json", os.path.join(bundle, "third.json")):
            os.rename(os.path.join(bundle, "config.json" if path == "other.json" else "other.json"), os.path.join(bundle, path))
            result = self.runsc.call("run", "--config", path, "--bundle", bundle, self.runsc.new_id())
            self.assertEqual((0, "another\n"), (result.status, result.out), result.err)

    def test_ps(self):
        container = self.runsc.start_detached(self.sleeper())
        pids = json.loads(self.runsc.call("ps", "--format", "json", container).out)
        self.assertTrue(all(isinstance(pid, int) for pid in pids) and pids)

    def test_standard_streams_as_files(self):
        bundle = self.bundle(["/bin/sh", "-c", "cat; echo err >&2"])
        out, err, given = (os.path.join(bundle, name) for name in ("out", "err", "in"))
        with open(given, "w", encoding="utf-8") as text:
            text.write("from a file\n")
        with open(given, "rb") as stdin, open(out, "wb") as stdout, open(err, "wb") as stderr:
            status = subprocess.run(self.runsc.argv("run", "--bundle", bundle, self.runsc.new_id()), stdin=stdin, stdout=stdout,
                                    stderr=stderr, timeout=PATIENCE).returncode
        self.assertEqual(0, status)
        with open(out, encoding="utf-8") as text:
            self.assertEqual("from a file\n", text.read())
        with open(err, encoding="utf-8") as text:
            self.assertEqual("err\n", text.read())

    def test_large_output_through_a_pipe(self):
        result = self.runsc.run(self.bundle(["/bin/sh", "-c", "yes 0123456789abcdef | head -c 20000000 | tee /dev/stderr | wc -c"]))
        self.assertEqual((0, "20000000\n", 20000000), (result.status, result.out, len(result.err)))

    def test_preserved_descriptors(self):
        read_end, write_end = os.pipe()
        bundle = self.bundle(["/bin/sh", "-c", "echo through descriptor three >&3; ls /proc/self/fd | wc -l"])
        done = subprocess.run(self.runsc.argv("run", "--bundle", bundle, "--preserve-fds", "1", self.runsc.new_id()),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
                              preexec_fn=lambda: os.dup2(write_end, 3), close_fds=False)
        os.close(write_end)
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(b"through descriptor three\n", os.read(read_end, 100))
        os.close(read_end)

    def test_debug_log_whatever_its_number(self):
        """The log may lie at a number at which a child of runsc finds something else."""
        bundle = self.bundle(["/bin/echo", "hello"])
        log = os.path.join(bundle, "log")
        for taken in ("", "3", "3 4", "3 4 5", "3 4 5 6"):
            script = "".join(f"exec {number}</dev/null; " for number in taken.split()) + 'exec "$@"'
            command = self.runsc.argv("--debug-log", log, "run", "--bundle", bundle, self.runsc.new_id())
            done = subprocess.run(["bash", "-c", script, "bash", *command], capture_output=True, text=True, check=False)
            self.assertEqual((0, "hello\n", ""), (done.returncode, done.stdout, done.stderr), taken)

    def test_console_socket(self):
        bundle = self.bundle(["/bin/sh", "-c", "test -t 0 && echo terminal; stty size"], terminal=True)
        path = os.path.join(bundle, "console")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            container = self.runsc.new_id()
            done = subprocess.run(self.runsc.argv("create", "--bundle", bundle, "--console-socket", path, container),
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=PATIENCE)
            self.assertEqual(0, done.returncode, done.stderr)
            with listener.accept()[0] as peer:
                fds = array.array("i")
                _, control, _, _ = peer.recvmsg(4096, socket.CMSG_SPACE(4))
                fds.frombytes(control[0][2][:4])
            self.assertEqual(0, self.runsc.call("start", container).status)
            text = b""
            while True:
                try:
                    data = os.read(fds[0], 1000)
                except OSError:
                    break
                if not data:
                    break
                text += data
            os.close(fds[0])
            self.assertIn(b"terminal\r\n", text)

    def test_binds(self):
        bundle = self.bundle(["/bin/sh", "-c", "cat /mnt/file; echo new > /mnt/made; ls /mnt; touch /opt/x; echo $?; cat /etc/hostname-of-mine"],
                             mounts=[{"destination": "/mnt", "type": "bind", "source": "here", "options": ["rbind", "rw"]},
                                     {"destination": "/opt", "type": "bind", "source": "here", "options": ["bind", "ro"]},
                                     {"destination": "/tmp/hosts", "type": "bind", "source": "here/file", "options": ["bind", "ro"]}])
        where = os.path.join(bundle, "here")
        os.mkdir(where)
        with open(os.path.join(where, "file"), "w", encoding="utf-8") as out:
            out.write("of the host\n")
        with open(os.path.join(bundle, "config.json"), encoding="utf-8") as text:
            settings = json.load(text)
        for mount in settings["mounts"]:
            if mount.get("source", "").startswith("here"):
                mount["source"] = os.path.join(bundle, mount["source"])
        settings["process"]["args"][2] = settings["process"]["args"][2].replace("/etc/hostname-of-mine", "/tmp/hosts")
        self.write_config(bundle, settings)
        result = self.runsc.run(bundle)
        self.assertEqual("of the host\nfile\nmade\n1\nof the host\n", result.out, result.err)
        with open(os.path.join(where, "made"), encoding="utf-8") as text:
            self.assertEqual("new\n", text.read())

    def test_do(self):
        if self.runsc.name == "runc":
            self.skipTest("runc has no such command")
        result = self.runsc.call("do", "--", "/bin/sh", "-c", "echo kept >/tmp/cloister-do-$$; cat /tmp/cloister-do-$$; touch /etc/cloister-do && echo written; exit 5")
        self.assertEqual((5, "kept\nwritten\n"), (result.status, result.out), result.err)
        self.assertFalse(os.path.exists("/etc/cloister-do"))

    def test_do_sweeps_what_a_killed_one_left(self):
        if self.runsc.name == "runc":
            self.skipTest("runc has no such command")
        with subprocess.Popen(self.runsc.argv("do", "--", "/bin/sh", "-c", "echo up; sleep 1000"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as killed:
            self.assertEqual("up\n", killed.stdout.readline())
            living = os.listdir(self.runsc.root)
            self.age(living)
            self.assertEqual(0, self.runsc.call("do", "--", "true").status)
            self.assertEqual(living, os.listdir(self.runsc.root), "one that runs is left alone")
            killed.kill()
        self.age(living, seconds=0)
        foreign = self.runsc.start_detached(self.bundle(["sleep", "1000"]), "do-0123456789abcdef")
        self.runsc.call("kill", foreign, "KILL")
        self.assertTrue(wait_until(lambda: (self.runsc.state(foreign) or {})["status"] == "stopped"))
        self.assertTrue(wait_until(lambda: (self.runsc.state(living[0]) or {})["status"] == "stopped"))
        self.assertEqual(0, self.runsc.call("do", "--", "true").status)
        self.assertEqual({foreign, *living}, set(os.listdir(self.runsc.root)), "too young")
        self.age(living + [foreign])
        self.assertEqual(0, self.runsc.call("do", "--", "true").status)
        self.assertEqual([foreign], os.listdir(self.runsc.root), "it is no \"do\"")

    def age(self, containers, seconds=1000):
        """Their state directories were touched last so many seconds ago."""
        then = time.time() - seconds
        for container in containers:
            os.utime(os.path.join(self.runsc.root, container), (then, then))

    def test_spec(self):
        where = self.bundle(["true"])
        os.unlink(os.path.join(where, "config.json"))
        self.assertEqual(0, self.runsc.call("spec", "--bundle", where).status)
        with open(os.path.join(where, "config.json"), encoding="utf-8") as text:
            made = json.load(text)
        self.assertEqual((["sh"], True), (made["process"]["args"], made["process"]["terminal"]))
        self.assertNotEqual(0, self.runsc.call("spec", "--bundle", where).status)

    def test_many_at_once(self):
        bundle = self.bundle(["/bin/echo", "one of many"])
        running = [subprocess.Popen(self.runsc.argv("run", "--bundle", bundle, self.runsc.new_id()), stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, text=True) for _ in range(8)]
        for process in running:
            out, _ = process.communicate(timeout=PATIENCE)
            self.assertEqual(("one of many\n", 0), (out, process.returncode))


if __name__ == "__main__":
    unittest.main()
