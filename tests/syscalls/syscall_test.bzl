"""syscall_test: one GoogleTest program, run on the host and in the sandbox."""

# Platforms of runsc that the programs are run on, and the tags by which tools/test finds them.
PLATFORMS = {
    "ptrace": "ptrace",
    "systrap": "sandbox",
}

def syscall_test(name, size = "small"):
    """name.cc becomes the static program `name`, and the tests `name_host` and `name_<platform>`.

    A static program runs on any root file system. What differs in the sandbox, and why, is listed in
    known_differences.txt.
    """
    native.cc_binary(
        name = name,
        testonly = True,
        srcs = [name + ".cc"],
        copts = ["-Wno-unused-result"],
        linkopts = ["-static"],
        linkstatic = True,
        deps = [
            "//tests/util",
            "@debian//:gtest_main",
        ],
    )
    native.sh_test(
        name = name + "_host",
        size = size,
        srcs = ["run_on_host.sh"],
        args = ["$(location " + name + ")"],
        data = [name],
        tags = ["host"],
    )
    for platform, tag in PLATFORMS.items():
        native.sh_test(
            name = name + "_" + platform,
            size = size,
            srcs = ["run_in_sandbox.sh"],
            args = [
                "$(location //runsc)",
                platform,
                "$(location known_differences.txt)",
                "$(location " + name + ")",
            ],
            data = [
                name,
                "known_differences.txt",
                "//runsc",
            ],
            tags = [tag],
        )
