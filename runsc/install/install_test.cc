#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "runsc/install/config_file.h"
#include "runsc/install/edit.h"

namespace cloister::install {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const RuntimeEntry kEntry{"runsc", "/usr/local/bin/runsc", {"--platform=ptrace"}};

Edit Ok(const absl::StatusOr<Edit>& edit) {
  EXPECT_TRUE(edit.ok()) << edit.status();
  return edit.value_or(Edit{});
}

TEST(DockerConfigTest, IsMadeWhereThereIsNone) {
  EXPECT_EQ(Ok(AddToDocker("", kEntry)).text, R"({
    "runtimes": {
        "runsc": {
            "path": "/usr/local/bin/runsc",
            "runtimeArgs": [
                "--platform=ptrace"
            ]
        }
    }
}
)");
}

TEST(DockerConfigTest, KeepsWhatIsThereInItsOrderAndIndent) {
  const std::string before = R"({
  "log-driver": "journald",
  "runtimes": {
    "crun": {
      "path": "crun"
    }
  },
  "bip": "10.0.0.1/24"
}
)";
  const std::string after = Ok(AddToDocker(before, kEntry)).text;
  EXPECT_THAT(after, StartsWith("{\n  \"log-driver\": \"journald\",\n  \"runtimes\": {\n    \"crun\""));
  EXPECT_LT(after.find("runsc"), after.find("bip"));
  EXPECT_EQ(Ok(RemoveFromDocker(after, "runsc")).text, before);
}

TEST(DockerConfigTest, TwiceIsOnce) {
  const std::string once = Ok(AddToDocker("{}", kEntry)).text;
  EXPECT_EQ(Ok(AddToDocker(once, kEntry)).summary, "");
  EXPECT_EQ(Ok(RemoveFromDocker("{}", "runsc")).summary, "");
}

TEST(DockerConfigTest, OtherArgumentsReplaceTheEntry) {
  const std::string once = Ok(AddToDocker("{}", kEntry)).text;
  const Edit plain = Ok(AddToDocker(once, {"runsc", "/usr/local/bin/runsc", {}}));
  EXPECT_THAT(plain.summary, StartsWith("changed"));
  EXPECT_THAT(plain.text, Not(HasSubstr("ptrace")));
}

TEST(DockerConfigTest, WhatIsNoObjectIsRefused) {
  for (const char* text : {"{", "[]", "{\"runtimes\": []}", "{\"a\": 1} x"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(AddToDocker(text, kEntry).status())) << text;
  }
}

TEST(DockerConfigTest, DefaultRuntimeMayNotGo) {
  const std::string text = R"({"default-runtime": "runsc", "runtimes": {"runsc": {"path": "/r"}}})";
  EXPECT_TRUE(absl::IsFailedPrecondition(RemoveFromDocker(text, "runsc").status()));
}

TEST(DockerConfigTest, EmptyFileGoes) {
  EXPECT_EQ(Ok(RemoveFromDocker(Ok(AddToDocker("", kEntry)).text, "runsc")).text, "");
}

constexpr char kExisting[] = R"(# mine
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"  # stays
)";

TEST(ContainerdConfigTest, GetsABlockAndNothingElseChanges) {
  const Edit added = Ok(AddToContainerd(kExisting, "runsc", "/etc/containerd/runsc.toml"));
  EXPECT_THAT(added.text, StartsWith(kExisting));
  EXPECT_THAT(added.text, HasSubstr("[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.\"runsc\"]\n"
                                    "  runtime_type = \"io.containerd.runsc.v1\"\n"));
  EXPECT_EQ(Ok(AddToContainerd(added.text, "runsc", "/etc/containerd/runsc.toml")).summary, "");
  EXPECT_EQ(Ok(RemoveFromContainerd(added.text, "runsc")).text, kExisting);
}

TEST(ContainerdConfigTest, NewFileHasAVersionAndGoesWhole) {
  const Edit added = Ok(AddToContainerd("", "runsc", "/o.toml"));
  EXPECT_THAT(added.text, HasSubstr("version = 2\n"));
  EXPECT_EQ(Ok(RemoveFromContainerd(added.text, "runsc")).text, "");
}

TEST(ContainerdConfigTest, RuncStaysKnownWhereNothingNamedIt) {
  const std::string runc = "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\n";
  EXPECT_THAT(Ok(AddToContainerd("version = 2\n", "runsc", "/o")).text, HasSubstr(runc));
  const std::string two = Ok(AddToContainerd(kExisting, "runsc", "/o")).text;
  EXPECT_EQ(two.find(runc), two.rfind(runc));
  const std::string both =
      Ok(AddToContainerd(Ok(AddToContainerd("version = 2\n", "runsc", "/o")).text, "other", "/p")).text;
  EXPECT_EQ(both.find(runc), both.rfind(runc));
  EXPECT_THAT(Ok(AddToContainerd(both, "runsc", "/elsewhere")).text, HasSubstr(runc));
  EXPECT_TRUE(absl::IsFailedPrecondition(RemoveFromContainerd(both, "runsc").status()));
  const std::string one = Ok(RemoveFromContainerd(both, "other")).text;
  EXPECT_EQ(Ok(RemoveFromContainerd(one, "runsc")).text, "version = 2\n");
}

TEST(ContainerdConfigTest, TwoNamesLiveSideBySide) {
  const std::string one = Ok(AddToContainerd(kExisting, "runsc", "/o.toml")).text;
  const std::string two = Ok(AddToContainerd(one, "runsc-debug", "/p.toml")).text;
  EXPECT_EQ(Ok(RemoveFromContainerd(two, "runsc-debug")).text, one);
  EXPECT_THAT(Ok(RemoveFromContainerd(two, "runsc")).text, HasSubstr("runsc-debug"));
}

TEST(ContainerdConfigTest, OtherVersionsNameThePluginOtherwise) {
  EXPECT_THAT(Ok(AddToContainerd("root = \"/r\"\n", "runsc", "/o")).text,
              HasSubstr("[plugins.\"cri\".containerd"));
  EXPECT_THAT(Ok(AddToContainerd("version = 3\n", "runsc", "/o")).text,
              HasSubstr("[plugins.\"io.containerd.cri.v1.runtime\".containerd"));
  EXPECT_TRUE(absl::IsInvalidArgument(AddToContainerd("version = 9\n", "runsc", "/o").status()));
}

TEST(ContainerdConfigTest, BrokenFileIsNamedByItsLine) {
  const absl::Status status = AddToContainerd("version = 2\nx = [\n", "runsc", "/o").status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("line "));
}

TEST(ContainerdConfigTest, EntryOfSomebodyElseAndInlineTablesAreRefused) {
  const std::string theirs =
      "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runsc]\n";
  EXPECT_TRUE(absl::IsFailedPrecondition(AddToContainerd(theirs, "runsc", "/o").status()));
  EXPECT_TRUE(
      absl::IsFailedPrecondition(AddToContainerd("version = 2\nplugins = {}\n", "runsc", "/o").status()));
}

TEST(ShimOptionsTest, AreQuoted) {
  EXPECT_THAT(ShimOptions({"runsc", "/a\"b\\", {"--x=\n"}}),
              HasSubstr("binary_name = \"/a\\\"b\\\\\"\nruntime_args = [\"--x=\\u000a\"]\n"));
}

TEST(ConfigFileTest, ReplacesKeepsModeAndLeavesTheOld) {
  const std::string path = testing::TempDir() + "/install-test.json";
  std::ofstream(path) << "old";
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  ASSERT_TRUE(ReplaceConfig(path, "new").ok());
  EXPECT_EQ(ReadConfig(path).value_or(""), "new");
  EXPECT_EQ(ReadConfig(path + ".before-runsc").value_or(""), "old");
  struct stat attr;
  ASSERT_EQ(stat(path.c_str(), &attr), 0);
  EXPECT_EQ(attr.st_mode & 07777, 0640u);
  ASSERT_TRUE(ReplaceConfig(path, "").ok());
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(ReadConfig(path).value_or("missing"), "");
  unlink((path + ".before-runsc").c_str());
}

TEST(ConfigFileTest, MissingDirectoryIsAnError) {
  EXPECT_FALSE(ReplaceConfig(testing::TempDir() + "/no/such/directory/file", "x").ok());
}

TEST(NameTest, MustBePlain) {
  EXPECT_TRUE(CheckName("runsc-debug.1").ok());
  for (const char* name : {"", "-x", "a b", "a\"b", "a\n"}) EXPECT_FALSE(CheckName(name).ok()) << name;
}

}  // namespace
}  // namespace cloister::install
