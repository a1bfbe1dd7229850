"""An interactive bash on a real terminal: line editing, job control, resize. The test sits at the pty's master."""
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
import unittest

from harness import OciTest, PATIENCE


class Screen:
    """The person at the terminal: types keys, waits for text."""

    def __init__(self, argv, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.master, keys.encode())

    def expect(self, pattern, seconds=15):
        """Waits for the pattern in what has come since the last match, and answers the match."""
        end = time.monotonic() + seconds
        while not (match := re.search(pattern, self.text)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.master], [], [], left)[0]:
                raise AssertionError(f"no {pattern!r} in {self.text!r}")
            try:
                data = os.read(self.master, 4096)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"the terminal has closed before {pattern!r}: {self.text!r}")
            self.text += data.decode(errors="replace")
        self.text = self.text[match.end():]
        return match

    def close(self):
        os.close(self.master)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class TerminalTest(OciTest):
    PROMPT = r"READY\d+> "

    def open_shell(self, rows=24, columns=80):
        env = ["PATH=/usr/bin:/bin", "HOME=/tmp", "TERM=xterm", "PS1=READY$?> ", "LC_ALL=C.UTF-8"]
        bundle = self.bundle(["/bin/bash", "--norc", "--noprofile", "-i"], terminal=True, env=env)
        screen = Screen(self.runsc.argv("run", "--bundle", bundle, self.runsc.new_id()), rows, columns)
        self.addCleanup(lambda: screen.process.poll() is None and screen.process.kill())
        screen.expect(self.PROMPT)
        screen.type("bind 'set enable-bracketed-paste off'\n")
        screen.expect(self.PROMPT)
        return screen

    def finish(self, screen, status=0):
        screen.type(f"exit {status}\n")
        self.assertEqual(status, screen.process.wait(PATIENCE))
        os.close(screen.master)

    @staticmethod
    def begin_cat(screen, rest=""):
        """Runs cat and waits until it has the terminal: keys typed earlier would be the line editor's."""
        screen.type(f"sh -c 'echo begun >&2; exec cat' {rest}\n")
        screen.expect(r"\nbegun\r\n")

    def test_command_and_exit_status(self):
        screen = self.open_shell()
        screen.type("echo $((6 * 7)) $(tty)\n")
        screen.expect(r"\n42 /dev/(pts/\d+|console)\r\n")
        screen.expect(self.PROMPT)
        self.finish(screen, 33)

    def test_is_a_terminal(self):
        screen = self.open_shell()
        screen.type("test -t 0 -a -t 1 -a -t 2 && echo all three; stty -a | grep -o isig; ls -l /dev/console >/dev/null && echo console\n")
        screen.expect("all three\r\nisig\r\nconsole")
        screen.expect(self.PROMPT)
        self.finish(screen)

    def test_line_editing(self):
        screen = self.open_shell()
        screen.type("echo wrng\x1b[D\x1b[Do\n")                  # two to the left, insert
        screen.expect(r"\nwrong\r\n")
        screen.expect(self.PROMPT)
        screen.type("echo one\x17two\n")                          # Ctrl-W
        screen.expect(r"\ntwo\r\n")
        screen.type("\x1b[A\x1b[A\x01#\n")                        # history, start of line
        screen.expect(self.PROMPT)
        screen.type("ech\t first-completion\n")                   # completion
        screen.expect(r"\nfirst-completion\r\n")
        screen.expect(self.PROMPT)
        self.finish(screen)

    def test_interrupt(self):
        screen = self.open_shell()
        screen.type("sh -c 'echo begin; exec sleep 1000'; echo not reached\n")
        screen.expect(r"\nbegin\r\n")
        screen.type("\x03")
        screen.expect("READY130> ")
        self.begin_cat(screen)
        screen.type("typed\n")
        screen.expect("typed\r\ntyped\r\n")
        screen.type("\x03")
        screen.expect("READY130> ")
        self.finish(screen)

    def test_end_of_file(self):
        screen = self.open_shell()
        self.begin_cat(screen, "> /tmp/typed")
        screen.type("line\n\x04")
        screen.expect(self.PROMPT)
        screen.type("cat /tmp/typed\n")
        screen.expect(r"\nline\r\n")
        screen.expect(self.PROMPT)
        screen.type("\x04")
        self.assertEqual(0, screen.process.wait(PATIENCE))

    def test_suspend_and_foreground(self):
        screen = self.open_shell()
        self.begin_cat(screen)
        screen.type("a\n")
        screen.expect("a\r\na\r\n")
        screen.type("\x1a")
        screen.expect("Stopped")
        screen.expect("READY148> ")
        screen.type("jobs\n")
        screen.expect(r"\[1\]\+  Stopped +sh -c")
        screen.type("fg\n")
        screen.expect(r"\nsh -c [^\n]*\r\n")
        screen.type("b\n")
        screen.expect("b\r\nb\r\n")
        screen.type("\x04")
        screen.expect("READY0> ")
        screen.type("sleep 1000 & kill %1; wait %1; echo st=$?\n")
        screen.expect("st=143")
        screen.expect(self.PROMPT)
        self.finish(screen)

    def test_background_reader_is_stopped(self):
        screen = self.open_shell()
        screen.type("cat & wait -n 2>/dev/null; jobs\n")
        screen.expect(r"Stopped +cat")
        screen.type("kill %1; bg\n")
        screen.expect(self.PROMPT)
        self.finish(screen)

    def test_resize(self):
        screen = self.open_shell(rows=30, columns=100)
        screen.type("stty size\n")
        screen.expect(r"\n30 100\r\n")
        # Not a trap of bash's own: the line editor runs it when it sees fit.
        screen.type("perl -e '$| = 1; $SIG{WINCH} = sub { print \"now \", `stty size`; exit }; print \"waits\\n\"; select undef, undef, undef, 9 while 1'\n")
        screen.expect(r"\nwaits\r\n")
        screen.resize(50, 120)
        screen.expect("now 50 120\r\n")
        screen.expect(self.PROMPT)
        screen.type("stty size; echo $COLUMNS\n")
        screen.expect(r"\n50 120\r\n120\r\n")
        self.finish(screen)

    def test_quit_key(self):
        screen = self.open_shell()
        screen.type("ulimit -c 0; sh -c 'echo begin; exec sleep 1000'\n")
        screen.expect(r"\nbegin\r\n")
        screen.type("\x1c")
        screen.expect("READY131> ")
        self.finish(screen)

    def test_hangup_ends_the_sandbox(self):
        screen = self.open_shell()
        screen.type("echo here\n")
        screen.expect("here\r\n")
        screen.close()  # the checks of the base class find what stays behind


if __name__ == "__main__":
    unittest.main()
