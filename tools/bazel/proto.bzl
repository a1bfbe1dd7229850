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

def cc_grpc(name, src, visibility = None):
    """A library with the messages of src, on the whole runtime, and its services for gRPC."""
    stem = src[:-len(".proto")]
    native.genrule(
        name = name + "_gen",
        srcs = [src],
        outs = [stem + suffix for suffix in [".pb.h", ".pb.cc", ".grpc.pb.h", ".grpc.pb.cc"]],
        cmd = "protoc -I. --cpp_out=$(GENDIR) --grpc_out=$(GENDIR) " +
              "--plugin=protoc-gen-grpc=/usr/bin/grpc_cpp_plugin $(location " + src + ")",
    )
    native.cc_library(
        name = name,
        srcs = [stem + ".pb.cc", stem + ".grpc.pb.cc"],
        hdrs = [stem + ".pb.h", stem + ".grpc.pb.h"],
        copts = ["-Wno-error"],
        visibility = visibility,
        deps = ["@debian//:grpc"],
    )
