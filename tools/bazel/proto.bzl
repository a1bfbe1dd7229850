"""cc_proto_lite: one .proto file compiled by Debian's protoc against the lite runtime."""

def cc_proto_lite(name, src, imports = [], deps = [], visibility = None):
    """A library with the generated code of src (which must say optimize_for = LITE_RUNTIME).

    imports: the .proto files of the same package that src imports; deps: their libraries.
    """
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_gen",
        srcs = [src] + imports,
        outs = [stem + ".pb.h", stem + ".pb.cc"],
        cmd = "protoc -I. --cpp_out=$(GENDIR) $(location " + src + ")",
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb.cc"],
        hdrs = [stem + ".pb.h"],
        copts = ["-Wno-error"],
        visibility = visibility,
        deps = ["@debian//:protobuf_lite"] + deps,
    )
