#include "sentry/fs/tty/line_discipline.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <string>

namespace cloister::tty {
namespace {

class LineDisciplineTest : public testing::Test {
 protected:
  void Type(std::string_view keys) {
    effects_ = {};
    discipline_.Receive(keys, &screen_, &effects_);
  }
  std::string Read(size_t size = 4096) {
    std::string text(size, '\0');
    text.resize(discipline_.Read(text.data(), size));
    return text;
  }
  std::string Screen() { return std::exchange(screen_, ""); }
  void Change(void (*change)(struct termios2&)) {
    struct termios2 modes = discipline_.termios();
    change(modes);
    discipline_.SetTermios(modes);
  }

  LineDiscipline discipline_;
  LineDiscipline::Effects effects_;
  std::string screen_;
};

TEST_F(LineDisciplineTest, LinesAreEchoedAndReadOneByOne) {
  Type("ab\rcd");
  EXPECT_EQ(Screen(), "ab\r\ncd");
  EXPECT_TRUE(discipline_.HasInput());
  EXPECT_EQ(discipline_.InputBytes(), 3u);
  EXPECT_EQ(Read(), "ab\n");
  EXPECT_FALSE(discipline_.HasInput());
  Type("\n");
  EXPECT_EQ(Read(2), "cd");
  EXPECT_EQ(Read(), "\n");
}

TEST_F(LineDisciplineTest, EraseWordAndKill) {
  Type("one two\x7f\x17\n");
  EXPECT_EQ(Screen(), "one two\b \b\b \b\b \b\r\n");
  EXPECT_EQ(Read(), "one \n");
  Type("abc\x15x\n");
  EXPECT_EQ(Read(), "x\n");
  Type("a\x01\x7f\x7f\x7f\n");
  EXPECT_EQ(Read(), "\n");
}

TEST_F(LineDisciplineTest, EraseOfATabGoesBackToItsStart) {
  Type("ab\t");
  Screen();
  Type("\x7f");
  EXPECT_EQ(Screen(), "\b\b\b\b\b\b");
}

TEST_F(LineDisciplineTest, Utf8IsErasedWhole) {
  Change([](struct termios2& modes) { modes.c_iflag |= IUTF8; });
  Type("x\xc3\xa4\x7f\n");
  EXPECT_EQ(Read(), "x\n");
}

TEST_F(LineDisciplineTest, EndOfFile) {
  Type("\x04");
  EXPECT_TRUE(discipline_.HasInput());
  EXPECT_EQ(Read(), "");
  EXPECT_FALSE(discipline_.HasInput());
  Type("abc\x04");
  EXPECT_EQ(Read(3), "abc");
  EXPECT_FALSE(discipline_.HasInput());
}

TEST_F(LineDisciplineTest, SignalsFlush) {
  Type("abc\x03");
  ASSERT_EQ(effects_.signals.size(), 1u);
  EXPECT_EQ(effects_.signals[0], SIGINT);
  EXPECT_TRUE(effects_.flush_output);
  EXPECT_EQ(Screen(), "^C");
  Type("d\n");
  EXPECT_EQ(Read(), "d\n");
  Type("\x1c\x1a");
  EXPECT_EQ(effects_.signals.size(), 2u);
}

TEST_F(LineDisciplineTest, LiteralNext) {
  Type("\x16\x03\n");
  EXPECT_TRUE(effects_.signals.empty());
  EXPECT_EQ(Screen(), "^\b^C\r\n");
  EXPECT_EQ(Read(), "\x03\n");
}

TEST_F(LineDisciplineTest, StopAndStart) {
  Type("\x13");
  EXPECT_TRUE(discipline_.output_stopped());
  Type("\x11");
  EXPECT_FALSE(discipline_.output_stopped());
  EXPECT_TRUE(effects_.output_started);
  EXPECT_FALSE(discipline_.HasInput());
}

TEST_F(LineDisciplineTest, RawModeSeesEverything) {
  Type("half");
  Screen();
  Change([](struct termios2& modes) {
    modes.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG | IEXTEN);
    modes.c_iflag &= ~static_cast<tcflag_t>(ICRNL | IXON);
  });
  EXPECT_EQ(Read(), "half");
  Type("\x03\x13\r\x04");
  EXPECT_EQ(Read(), "\x03\x13\r\x04");
  EXPECT_EQ(Screen(), "");
}

TEST_F(LineDisciplineTest, FullInputDropsAndStillEnds) {
  const std::string lot(10000, 'x');
  Type(lot);
  EXPECT_EQ(discipline_.Room(), 1u);
  Type("\n");
  EXPECT_EQ(discipline_.Room(), 0u);
  EXPECT_EQ(Read(10000).size(), LineDiscipline::kCapacity);
  EXPECT_GT(discipline_.Room(), 0u);
}

TEST_F(LineDisciplineTest, OutputProcessing) {
  std::string out;
  discipline_.ProcessOutput("a\nb\tc", &out);
  EXPECT_EQ(out, "a\r\nb\tc");
  Change([](struct termios2& modes) { modes.c_oflag |= XTABS; });
  out.clear();
  discipline_.ProcessOutput("\r1\t2", &out);
  EXPECT_EQ(out, "\r1       2");
  Change([](struct termios2& modes) { modes.c_oflag &= ~static_cast<tcflag_t>(OPOST); });
  out.clear();
  discipline_.ProcessOutput("\n", &out);
  EXPECT_EQ(out, "\n");
}

// Any bytes under any modes: nothing breaks, sizes stay bounded.
// What follows was compared with the host's terminals, byte for byte.

TEST_F(LineDisciplineTest, ALiteralNewlineIsShown) {
  Type("a\x16\nb\n");
  EXPECT_EQ(Screen(), "a^\b^Jb\r\n");
  EXPECT_EQ(Read(), "a\nb\n");
}

TEST_F(LineDisciplineTest, WordsOfManyBytes) {
  Type("foo_bar \xe9t\xe9 ,;\x17\n");
  EXPECT_EQ(Read(), "foo_bar \n");
}

TEST_F(LineDisciplineTest, ErasingWithNothingToEraseIsSilent) {
  Type("\x15\x17\x7f");
  EXPECT_EQ(Screen(), "");
}

TEST_F(LineDisciplineTest, PrintingTerminalsShowWhatIsErased) {
  Change([](struct termios2& modes) { modes.c_lflag |= ECHOPRT; });
  Type("abc\x7f\x7fx\n");
  EXPECT_EQ(Screen(), "abc\\cb/x\r\n");
  EXPECT_EQ(Read(), "ax\n");
}

TEST_F(LineDisciplineTest, WithoutEchoETheKeyIsShown) {
  Change([](struct termios2& modes) { modes.c_lflag &= ~static_cast<tcflag_t>(ECHOE); });
  Type("ab\x7f");
  EXPECT_EQ(Screen(), "ab^?");
  Type("\x15");
  EXPECT_EQ(Screen(), "^U\r\n");
}

TEST_F(LineDisciplineTest, AnEndOfFileIsAByteInTheOtherMode) {
  Type("a\x04");
  Change([](struct termios2& modes) { modes.c_lflag &= ~static_cast<tcflag_t>(ICANON); });
  EXPECT_EQ(discipline_.InputBytes(), 2u);
  EXPECT_EQ(Read(), std::string("a\0", 2));
}

TEST_F(LineDisciplineTest, ParmrkDoublesItsMark) {
  Change([](struct termios2& modes) { modes.c_iflag |= PARMRK; });
  Type("\xff\n");
  EXPECT_EQ(Read(), "\xff\xff\n");
}

TEST_F(LineDisciplineTest, NoKeyUndoesTcflow) {
  EXPECT_FALSE(discipline_.SetOutputStopped(true));
  Type("\x11");
  EXPECT_TRUE(discipline_.output_stopped());
  EXPECT_TRUE(discipline_.SetOutputStopped(false));
  Type("\x13");
  EXPECT_FALSE(discipline_.SetOutputStopped(false));
  EXPECT_TRUE(discipline_.output_stopped());
}

TEST_F(LineDisciplineTest, SurvivesAnything) {
  uint32_t seed = 12345;
  const auto next = [&seed] { return seed = seed * 1664525 + 1013904223; };
  for (int round = 0; round < 20000; ++round) {
    if (next() >> 28 == 0) {
      struct termios2 modes = {};
      modes.c_iflag = next();
      modes.c_oflag = next();
      modes.c_lflag = next();
      for (cc_t& c : modes.c_cc) c = static_cast<cc_t>(next() >> 24);
      discipline_.SetTermios(modes);
    }
    std::string keys;
    for (uint32_t i = next() >> 27; i > 0; --i) keys.push_back(static_cast<char>(next() >> 24));
    keys.resize(std::min(keys.size(), discipline_.Room()));
    Type(keys);
    if (next() >> 30 == 0) Read(next() >> 25);
    EXPECT_LE(discipline_.InputBytes(), LineDiscipline::kCapacity);
    Screen();
  }
}

}  // namespace
}  // namespace cloister::tty
