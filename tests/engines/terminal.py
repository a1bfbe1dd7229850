"""A command on a terminal, as a person has it."""
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time


class Terminal:
    def __init__(self, argv, rows=24, columns=80):
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvp(argv[0], argv)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.master, text.encode())

    def read(self):
        try:
            piece = os.read(self.master, 4096)
        except OSError:  # every slave is closed
            piece = b""
        self.seen += piece.decode(errors="replace")
        return len(piece) > 0

    def expect(self, text, seconds=20):
        """Reads until the text has come, and answers what came before it."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = max(0, end - time.monotonic())
            if not select.select([self.master], [], [], left)[0] or not self.read():
                raise AssertionError(f"no {text!r} in {self.seen!r}")
        before, _, self.seen = self.seen.partition(text)
        return before

    def close(self, seconds=20):
        """Reads what is left; the command's exit status. One that does not end is killed."""
        end = time.monotonic() + seconds
        while True:
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                os.kill(self.pid, signal.SIGKILL)
                break
            if not self.read():
                break
        _, status = os.waitpid(self.pid, 0)
        os.close(self.master)
        return os.waitstatus_to_exitcode(status)
