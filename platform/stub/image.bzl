"""stub_image: a freestanding program, linked into the sentry as bytes."""

def stub_image(name, srcs, hdrs):
    """A cc_library `name` of one header and of the image that is made of srcs.

    Built by a command of its own: none of the sentry's flags fit it (no libc, no vector registers, no stack
    protector, its own linker script).
    """
    native.genrule(
        name = name + "_elf",
        srcs = srcs + hdrs + ["stub.ld"],
        outs = [name + ".elf"],
        cmd = " ".join([
            "g++ -std=c++20 -O2 -Wall -Wextra -Werror -I.",
            "-ffreestanding -nostdlib -static -fPIE -no-pie -fno-stack-protector -fcf-protection=none",
            "-mgeneral-regs-only -mno-red-zone -fno-exceptions -fno-rtti -fno-asynchronous-unwind-tables",
            "-fno-jump-tables -fvisibility=hidden -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-z,max-page-size=4096",
            "-Wl,-T,$(location stub.ld)",
        ] + ["$(location " + src + ")" for src in srcs] + [
            "-o $@ && strip $@",
        ]),
    )
    native.genrule(
        name = name + "_bytes",
        srcs = [name + ".elf"],
        outs = [name + "_bytes.inc"],
        cmd = "od -An -v -tu1 -w32 $< | sed 's/ *\\([0-9][0-9]*\\)/\\1,/g' > $@",
    )
    native.cc_library(
        name = name,
        srcs = [
            name + ".cc",
            name + "_bytes.inc",
        ],
        hdrs = [name + ".h"],
        visibility = ["//platform:__subpackages__"],
    )
