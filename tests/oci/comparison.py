"""The base of tests whose oracle is runc."""
from harness import OciTest


class Comparison(OciTest):
    """Runs the same bundle in runc and in the runtime under test, and wants the same of both."""

    def same(self, run, normalise=None):
        """run(runtime) answers a Result. The standard error may differ: messages are each runtime's own."""
        want, got = run(self.other_runtime()), run(self.runsc)
        if normalise:
            want.out, got.out = normalise(want.out), normalise(got.out)
        self.assertEqual(want.out, got.out, got.err)
        self.assertEqual(want.status, got.status, got.err)

    def compare(self, args, stdin="", normalise=None, **changes):
        """A bundle's program, root file system writable and read-only. `changes` are those of config()."""
        for writable in (True, False):
            with self.subTest(writable=writable):
                self.same(lambda runtime: runtime.run(self.bundle(args, writable=writable, **changes), stdin=stdin, timeout=120),
                          normalise)

    def compare_shell(self, script, **options):
        self.compare(["/bin/bash", "-c", script], **options)
