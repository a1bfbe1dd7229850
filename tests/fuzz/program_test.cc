#include "tests/fuzz/program.h"

#include "gtest/gtest.h"
#include "tests/fuzz/generator.h"

namespace cloister::fuzz {
namespace {

TEST(ProgramTest, ALineIsTaskResultCallAndArguments) {
  const Program program = Parse(
      "races\n2 r7 = openat(-100, &0x40[\"a\\x00\"], 0x42, *8)\nnonsense\n0 readv(r7, &16[8:&0x80[\"xy\"], "
      "8:2], 1)\n");
  EXPECT_TRUE(program.races);
  ASSERT_EQ(program.calls.size(), 2u);
  const Call& open = program.calls[0];
  EXPECT_EQ(open.task, 2);
  EXPECT_EQ(open.into, 7);
  EXPECT_STREQ(open.signature->name, "openat");
  ASSERT_EQ(open.args.size(), 4u);
  EXPECT_EQ(open.args[0].number, static_cast<uint64_t>(-100));
  EXPECT_EQ(open.args[1].number, 0x40u);
  EXPECT_EQ(open.args[1].items.at(0).bytes, std::string("a\0", 2));
  EXPECT_EQ(open.args[3].kind, Value::Kind::kLoad4);
  const Value& vector = program.calls[1].args.at(1);
  ASSERT_EQ(vector.items.size(), 2u);
  EXPECT_EQ(vector.items[0].width, 8);
  EXPECT_EQ(vector.items[0].value.items.at(0).bytes, "xy");
}

TEST(ProgramTest, WhatIsNoCallIsLeftOut) {
  for (const char* text :
       {"0 nosuchcall()", "0 read(", "0 read(r99)", "0 read(&0x10000)", "0 read(1, 2, 3, 4, 5, 6, 7)",
        "0 readv(&0[3:1])", "read(1)", "0 read(\"text\")", "0 read(&0[\"unended])"}) {
    EXPECT_TRUE(Parse(text).calls.empty()) << text;
  }
}

TEST(ProgramTest, TheFirstBadLineIsFound) {
  EXPECT_EQ(program::FindBadLine(""), 0u);
  EXPECT_EQ(program::FindBadLine("# a comment\nraces\n\n0 getpid()\n"), 0u);
  EXPECT_EQ(program::FindBadLine("0 getpid()\n0 getpid(\n"), 2u);
  std::string calls;
  for (size_t i = 0; i <= program::kMostCalls; ++i) calls += "0 getpid()\n";
  EXPECT_EQ(program::FindBadLine(calls), program::kMostCalls + 1);
}

TEST(ProgramTest, WhatIsMadeReadsBackAsItWas) {
  for (uint32_t seed = 0; seed < 200; ++seed) {
    Generator generator(seed);
    Program program = generator.MakeProgram(12);
    for (int change = 0; change < 8; ++change) generator.Mutate(program);
    const std::string text = Print(program);
    const Program again = Parse(text);
    ASSERT_EQ(again.calls.size(), program.calls.size()) << text;
    EXPECT_EQ(Print(again), text);
  }
}

}  // namespace
}  // namespace cloister::fuzz
