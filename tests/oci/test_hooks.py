"""Hooks: when they run, what they are told, where they run, and what their failure does."""
import json
import os
import tempfile

from harness import OciTest, config

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


class HooksTest(OciTest):
    def hook(self, kind, script=None, **more):
        script = script or f"echo {kind} $PWD $(cat) >>{self.log}"
        return {"path": "/bin/bash", "args": ["bash", "-c", script], **more}

    def with_hooks(self, args, hooks):
        bundle = self.bundle(args)
        content = config(args, root=self.tree, readonly=True)
        content["annotations"] = {"of": "mine"}
        content["hooks"] = hooks
        self.write_config(bundle, content)
        return bundle

    def setUp(self):
        super().setUp()
        where = tempfile.mkdtemp(prefix="cloister-hooks-")
        self.addCleanup(os.rmdir, where)
        self.log = os.path.join(where, "log")
        self.addCleanup(lambda: os.path.exists(self.log) and os.unlink(self.log))

    def lines(self):
        with open(self.log, encoding="utf-8") as text:
            return [line.split(" ", 2) for line in text.read().splitlines()]

    def both(self, check):
        for runtime in (self.other_runtime(), self.runsc):
            with self.subTest(runtime=runtime.name):
                check(runtime)
            if os.path.exists(self.log):
                os.unlink(self.log)

    def test_order_and_state(self):
        hooks = {kind: [self.hook(kind)] for kind in KINDS if kind != "startContainer"}
        bundle = self.with_hooks(["/bin/true"], hooks)

        def check(runtime):
            self.assertEqual(0, runtime.run(bundle).status)
            seen = [(kind, json.loads(state)["status"]) for kind, _, state in self.lines()]
            # The specification says "running"; runc 1.1 tells poststart "created".
            self.assertIn(seen.pop(3), [("poststart", "running"), ("poststart", "created")])
            self.assertEqual([("prestart", "creating"), ("createRuntime", "creating"), ("createContainer", "creating"),
                              ("poststop", "stopped")], seen)
            _, where, state = self.lines()[0]
            self.assertEqual((bundle, bundle, {"of": "mine"}), (where, json.loads(state)["bundle"], json.loads(state)["annotations"]))
        self.both(check)

    def test_start_container_runs_inside(self):
        hook = self.hook("startContainer", "cat >/tmp/state; hostname >/tmp/name", env=["PATH=/usr/bin:/bin"])
        bundle = self.with_hooks(["/bin/bash", "-c", "cat /tmp/state; echo; cat /tmp/name"], {"startContainer": [hook]})

        def check(runtime):
            done = runtime.run(bundle)
            state, _, name = done.out.partition("\n")
            self.assertEqual(("created", "sandbox\n"), (json.loads(state)["status"], name), done)
        self.both(check)

    def test_failure(self):
        for kind in KINDS[:4]:
            bundle = self.with_hooks(["/bin/true"], {kind: [self.hook(kind, "echo why >&2; exit 3")]})
            self.both(lambda runtime, b=bundle: self.assertEqual(1, runtime.run(b).status))
        done = self.runsc.run(bundle)
        self.assertIn("startContainer", done.err)
        self.assertIn("why", done.err)
        bundle = self.with_hooks(["/bin/true"], {"poststop": [self.hook("poststop", "exit 3")]})
        self.both(lambda runtime: self.assertEqual(0, runtime.run(bundle).status))

    def test_timeout(self):
        for kind in ("prestart", "startContainer"):
            bundle = self.with_hooks(["/bin/true"], {kind: [self.hook(kind, "while :; do :; done", timeout=1)]})
            self.both(lambda runtime, b=bundle: self.assertEqual(1, runtime.run(b).status))

    def test_environment(self):
        os.environ["CLOISTER_SECRET"] = "1"
        self.addCleanup(os.environ.pop, "CLOISTER_SECRET")
        hooks = [self.hook("prestart", f"echo prestart / $CLOISTER_SECRET >>{self.log}"),
                 self.hook("prestart", f"echo prestart / $CLOISTER_SECRET$OWN >>{self.log}", env=["OWN=2"])]
        bundle = self.with_hooks(["/bin/true"], {"prestart": hooks})

        def check(runtime):
            runtime.run(bundle)
            self.assertEqual(["1", "2"], [line[2] for line in self.lines()])
        self.both(check)
