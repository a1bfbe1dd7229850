#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "absl/strings/str_cat.h"
#include "runsc/spec/spec.h"
#include "runsc/spec/to_control.h"

namespace cloister::spec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A config.json around the given members.
std::string Config(std::string_view process, std::string_view more = "") {
  return absl::StrCat(R"({"ociVersion":"1.0.2","root":{"path":"rootfs"},"process":)",
                      absl::string_view(process.data(), process.size()), more.empty() ? "" : ",",
                      absl::string_view(more.data(), more.size()), "}");
}

constexpr std::string_view kTrue = R"({"args":["true"],"cwd":"/"})";

struct BadInput {
  std::string text;
  std::string message;
};

class BadInputTest : public testing::TestWithParam<BadInput> {};

TEST_P(BadInputTest, IsNamedByItsPath) {
  const auto spec = ParseSpec(GetParam().text);
  ASSERT_FALSE(spec.ok());
  EXPECT_EQ(spec.status().message(), GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, BadInputTest,
    testing::Values(
        BadInput{"", "not valid JSON"}, BadInput{"{", "not valid JSON"}, BadInput{"[]", "not a JSON object"},
        BadInput{"{}", "ociVersion: must not be empty"},
        BadInput{R"({"ociVersion":1})", "ociVersion: must be a string"},
        BadInput{R"({"ociVersion":"2.0.0"})", "ociVersion: version \"2.0.0\" is not supported, 1.x is"},
        BadInput{R"({"ociVersion":"1.0.2"})", "root: must be given"},
        BadInput{R"({"ociVersion":"1.0.2","root":[]})", "root: must be an object"},
        BadInput{R"({"ociVersion":"1.0.2","root":{}})", "root.path: must not be empty"},
        BadInput{Config("[]"), "process: must be an object"},
        BadInput{Config("{}"), "process.args: must not be empty"},
        BadInput{Config(R"({"args":[]})"), "process.args: must not be empty"},
        BadInput{Config(R"({"args":"sh"})"), "process.args: must be an array"},
        BadInput{Config(R"({"args":["sh",7]})"), "process.args[1]: must be a string"},
        BadInput{Config(R"({"args":["a\u0000b"]})"), "process.args[0]: must not contain a NUL byte"},
        BadInput{Config(R"({"args":[null]})"), "process.args[0]: must not be null"},
        BadInput{Config(R"({"args":["sh"]})"), "process.cwd: must not be empty"},
        BadInput{Config(R"({"args":["sh"],"cwd":"home"})"), "process.cwd: must be an absolute path"},
        BadInput{Config(R"({"args":["sh"],"cwd":"/","user":{"uid":-1}})"),
                 "process.user.uid: must be an integer from 0 to 4294967295"},
        BadInput{Config(R"({"args":["sh"],"cwd":"/","user":{"uid":"root"}})"),
                 "process.user.uid: must be a number"},
        BadInput{Config(R"({"args":["sh"],"cwd":"/","terminal":1})"),
                 "process.terminal: must be true or false"},
        BadInput{Config(R"({"args":["sh"],"cwd":"/","rlimits":[{"type":"RLIMIT_X"}]})"),
                 "process.rlimits[0].type: invalid rlimit type \"RLIMIT_X\""},
        BadInput{
            Config(R"({"args":["sh"],"cwd":"/","rlimits":[{"type":"RLIMIT_CPU"},{"type":"RLIMIT_CPU"}]})"),
            "process.rlimits[1].type: rlimit RLIMIT_CPU is given twice"},
        BadInput{Config(kTrue, R"("mounts":[{"type":"proc"}])"), "mounts[0].destination: must not be empty"},
        BadInput{Config(kTrue, R"("mounts":[{"destination":"/a","options":["rbind"]}])"),
                 "mounts[0].source: must not be empty"},
        BadInput{Config(kTrue, R"("hooks":{"prestart":[{"path":"x"}]})"),
                 "hooks.prestart[0].path: must be an absolute path"},
        BadInput{Config(kTrue, R"("linux":{"namespaces":[{"type":"moon"}]})"),
                 "linux.namespaces[0].type: unknown namespace \"moon\""},
        BadInput{Config(kTrue, R"("linux":{"namespaces":[{"type":"pid"},{"type":"pid"}]})"),
                 "linux.namespaces[1].type: namespace pid is given twice"},
        BadInput{Config(kTrue, R"("linux":{"sysctl":{"kernel.panic":"1"}})"),
                 "linux.sysctl: sysctl \"kernel.panic\" is not in a separate kernel namespace"},
        BadInput{Config(kTrue, R"("linux":{"seccomp":{"defaultAction":"SCMP_ACT_NONE"}})"),
                 "linux.seccomp.defaultAction: unknown action \"SCMP_ACT_NONE\""},
        BadInput{Config(kTrue, R"("linux":{"seccomp":{"defaultAction":"SCMP_ACT_NOTIFY"}})"),
                 "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is not supported"},
        BadInput{Config(kTrue, R"("linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
                 {"names":["a"],"action":"SCMP_ACT_KILL","args":[{"index":6,"value":1,"op":"SCMP_CMP_EQ"}]}]}})"),
                 "linux.seccomp.syscalls[0].args[0].index: must be at most 5"},
        BadInput{Config(kTrue, R"("linux":{"devices":[{"path":"/dev/x","type":"cc"}]})"),
                 "linux.devices[0].type: must be c, b, u or p"}));

TEST(ParseSpecTest, UnknownFieldsAreIgnored) {
  const auto spec = ParseSpec(Config(kTrue, R"("vm":{"x":[1]},"windows":7,"annotations":{"a":"b"})"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->annotations.at("a"), "b");
}

TEST(ParseSpecTest, ProcessIsReadWhole) {
  const auto process = ParseProcessText(R"({"terminal":true,"consoleSize":{"height":24,"width":80},
      "user":{"uid":1,"gid":2,"umask":18,"additionalGids":[3,4]},"args":["a","b"],"env":["X=y"],"cwd":"/w",
      "capabilities":{"bounding":["CAP_CHOWN","CAP_CHECKPOINT_RESTORE","CAP_MOON"],"ambient":null},
      "rlimits":[{"type":"RLIMIT_NOFILE","soft":5,"hard":18446744073709551615}],
      "noNewPrivileges":true,"oomScoreAdj":-7})");
  ASSERT_TRUE(process.ok()) << process.status();
  const control::Process out = ToControl(*process);
  EXPECT_TRUE(out.terminal());
  EXPECT_EQ(out.rows(), 24u);
  EXPECT_EQ(out.columns(), 80u);
  EXPECT_EQ(out.uid(), 1u);
  EXPECT_EQ(out.gid(), 2u);
  EXPECT_EQ(out.umask(), 022u);
  EXPECT_THAT(out.additional_gids(), ElementsAre(3, 4));
  EXPECT_THAT(out.args(), ElementsAre("a", "b"));
  EXPECT_THAT(out.env(), ElementsAre("X=y"));
  EXPECT_EQ(out.cap_bounding(), (uint64_t{1} << 40) | 1);
  EXPECT_EQ(out.rlimits(0).resource(), uint32_t{RLIMIT_NOFILE});
  EXPECT_EQ(out.rlimits(0).hard(), ~uint64_t{0});
  EXPECT_TRUE(out.no_new_privileges());
  EXPECT_EQ(out.oom_score_adj(), -7);
}

TEST(ParseSpecTest, SeccompIsReadWhole) {
  const auto spec =
      ParseSpec(Config(kTrue, R"("linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,
      "architectures":["SCMP_ARCH_X86"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"syscalls":[
      {"names":["a","b"],"action":"SCMP_ACT_ERRNO"},
      {"names":["c"],"action":"SCMP_ACT_ALLOW","args":[{"index":1,"value":240,"valueTwo":16,"op":"SCMP_CMP_MASKED_EQ"},
                                                       {"index":2,"value":7,"valueTwo":9,"op":"SCMP_CMP_GT"}]},
      {"names":["d"],"action":"SCMP_ACT_TRACE","errnoRet":5,"args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},
                                                                    {"index":0,"value":2,"op":"SCMP_CMP_EQ"}]}]}})"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  const Seccomp& seccomp = *spec->seccomp;
  EXPECT_EQ(seccomp.default_action, SCMP_ACT_ERRNO(38));
  EXPECT_THAT(seccomp.architectures, ElementsAre(uint32_t{SCMP_ARCH_X86}));
  EXPECT_EQ(seccomp.flags, 2u);
  ASSERT_EQ(seccomp.rules.size(), 5u);
  EXPECT_EQ(seccomp.rules[1].name, "b");
  EXPECT_EQ(seccomp.rules[1].action, SCMP_ACT_ERRNO(1));
  ASSERT_EQ(seccomp.rules[2].args.size(), 2u);
  EXPECT_EQ(seccomp.rules[2].args[0].datum_a, 240u);
  EXPECT_EQ(seccomp.rules[2].args[0].datum_b, 16u);
  EXPECT_EQ(seccomp.rules[2].args[1].datum_b, 0u);
  // Two conditions on one argument are alternatives.
  EXPECT_EQ(seccomp.rules[3].args[0].datum_a, 1u);
  EXPECT_EQ(seccomp.rules[4].args[0].datum_a, 2u);
  EXPECT_EQ(seccomp.rules[4].action, SCMP_ACT_TRACE(5));
}

TEST(ParseSpecTest, EmptySeccompIsNone) {
  for (const char* text : {"{}", "null", R"({"syscalls":[]})"}) {
    const auto spec = ParseSpec(Config(kTrue, absl::StrCat(R"("linux":{"seccomp":)", text, "}")));
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_FALSE(spec->seccomp.has_value());
  }
}

TEST(ParseSpecTest, MountOptionsBecomeFlagsAndData) {
  const auto spec = ParseSpec(Config(kTrue, R"("mounts":[
      {"destination":"dev/./shm","type":"tmpfs","source":"shm","options":["nosuid","rw","ro","size=64k","rslave"]},
      {"destination":"/b/../c","type":"none","source":"/x","options":["rbind","noatime","relatime"]}])"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->mounts[0].destination, "/dev/shm");
  EXPECT_EQ(spec->mounts[0].flags, uint64_t{MS_NOSUID | MS_RDONLY});
  EXPECT_THAT(spec->mounts[0].options, ElementsAre("size=64k"));
  EXPECT_EQ(spec->mounts[1].destination, "/c");
  EXPECT_EQ(spec->mounts[1].type, "bind");
  EXPECT_TRUE(spec->mounts[1].recursive);
  EXPECT_EQ(spec->mounts[1].flags, uint64_t{MS_RELATIME});
}

TEST(ParseSpecTest, OwnDefaultIsValid) {
  for (const bool rootless : {false, true}) {
    const auto spec = ParseSpec(DefaultConfig(rootless));
    ASSERT_TRUE(spec.ok()) << spec.status();
    EXPECT_TRUE(spec->process->terminal);
    EXPECT_EQ(spec->FindNamespace(NamespaceType::kUser) != nullptr, rootless);
    EXPECT_EQ(spec->FindNamespace(NamespaceType::kNetwork) != nullptr, !rootless);
  }
}

TEST(ParseSpecTest, MissingFileIsNamed) {
  const auto text = ReadTextFile("/nonexistent/config.json");
  ASSERT_FALSE(text.ok());
  EXPECT_THAT(std::string(text.status().message()), HasSubstr("/nonexistent/config.json"));
}

}  // namespace
}  // namespace cloister::spec
