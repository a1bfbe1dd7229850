#include "runsc/cmd/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runsc/cmd/report.h"
#include "runsc/cmd/signals.h"

namespace cloister::cmd {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Parsed {
  bool detach = false;
  int count = 0;
  std::string bundle;
  std::vector<std::string> env;
  std::vector<std::string> words;
  absl::Status status;
};

Parsed Parse(const std::vector<std::string>& args, bool stop = false) {
  Parsed parsed;
  Flags flags("test", "[options]", "A test.");
  if (stop) flags.StopAtPositional();
  flags.Bool("detach,d", &parsed.detach, "");
  flags.Int("preserve-fds", &parsed.count, "");
  flags.String("bundle,b", &parsed.bundle, "the bundle");
  flags.Strings("env,e", &parsed.env, "");
  parsed.status = flags.Parse(args);
  parsed.words = flags.positionals();
  return parsed;
}

TEST(FlagsTest, EverySpelling) {
  for (const std::vector<std::string>& args :
       std::vector<std::vector<std::string>>{{"--bundle", "/b", "id"},
                                             {"--bundle=/b", "id"},
                                             {"-bundle", "/b", "id"},
                                             {"-bundle=/b", "id"},
                                             {"-b", "/b", "id"},
                                             {"-b=/b", "id"},
                                             {"id", "--bundle", "/b"}}) {
    const Parsed parsed = Parse(args);
    EXPECT_TRUE(parsed.status.ok()) << parsed.status;
    EXPECT_EQ(parsed.bundle, "/b");
    EXPECT_THAT(parsed.words, ElementsAre("id"));
  }
}

TEST(FlagsTest, Booleans) {
  EXPECT_TRUE(Parse({"-d"}).detach);
  EXPECT_TRUE(Parse({"--detach=true"}).detach);
  EXPECT_FALSE(Parse({"-detach=false"}).detach);
}

TEST(FlagsTest, ValuesMayLookLikeOptions) {
  EXPECT_EQ(Parse({"--bundle", "--detach"}).bundle, "--detach");
  EXPECT_EQ(Parse({"--bundle", ""}).bundle, "");
  EXPECT_THAT(Parse({"-e", "A=b c", "-e", "D=[x,y]", "--env=E"}).env, ElementsAre("A=b c", "D=[x,y]", "E"));
  EXPECT_EQ(Parse({"--bundle", "a", "--bundle", "b"}).bundle, "b");
}

TEST(FlagsTest, OptionsEndAtTheFirstWord) {
  const Parsed parsed = Parse({"-d", "id", "ls", "-l", "--bundle", "x"}, /*stop=*/true);
  EXPECT_THAT(parsed.words, ElementsAre("id", "ls", "-l", "--bundle", "x"));
  EXPECT_EQ(parsed.bundle, "");
  EXPECT_THAT(Parse({"--", "-d"}).words, ElementsAre("-d"));
}

TEST(FlagsTest, Mistakes) {
  EXPECT_EQ(Parse({"--moon"}).status.message(), "flag provided but not defined: -moon");
  EXPECT_EQ(Parse({"--bundle"}).status.message(), "flag needs an argument: -bundle");
  EXPECT_FALSE(Parse({"--preserve-fds", "many"}).status.ok());
  const Parsed help = Parse({"--help"});
  EXPECT_TRUE(absl::IsCancelled(help.status));
  EXPECT_THAT(std::string(help.status.message()), HasSubstr("the bundle"));
}

TEST(SignalsTest, NamesAndNumbers) {
  EXPECT_EQ(ParseSignal("TERM").value_or(-1), 15);
  EXPECT_EQ(ParseSignal("SIGKILL").value_or(-1), 9);
  EXPECT_EQ(ParseSignal("winch").value_or(-1), 28);
  EXPECT_EQ(ParseSignal("0").value_or(-1), 0);
  EXPECT_EQ(ParseSignal("RTMIN+3").value_or(-1), 37);
  EXPECT_EQ(ParseSignal("SIGRTMAX-1").value_or(-1), 63);
  for (const char* wrong : {"", "65", "-1", "SIGMOON", "RTMIN+99", "RTMAX+1"}) {
    EXPECT_FALSE(ParseSignal(wrong).ok()) << wrong;
  }
}

TEST(ReportTest, RecordsAreOneLine) {
  EXPECT_EQ(FormatRecord(true, "a \"b\"\n", "T"),
            "{\"level\":\"error\",\"msg\":\"a \\\"b\\\"\\n\",\"time\":\"T\"}\n");
  EXPECT_EQ(FormatRecord(false, "a", "T"), "time=\"T\" level=error msg=\"a\"\n");
}

}  // namespace
}  // namespace cloister::cmd
