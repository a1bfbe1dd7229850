#include "sentry/usermem/page_reader.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace cloister::usermem {
namespace {

// Three pages from kBase on; counts the copies.
class ThreePages final : public AddressSpace {
 public:
  static constexpr uint64_t kBase = 0x10000, kPage = 4096, kEnd = kBase + 3 * kPage;

  size_t Read(uint64_t addr, std::span<std::byte> dst) override {
    ++reads;
    if (addr < kBase || addr >= kEnd) return 0;
    const size_t n = std::min<size_t>(dst.size(), kEnd - addr);
    memcpy(dst.data(), memory.data() + (addr - kBase), n);
    return n;
  }
  size_t Write(uint64_t, std::span<const std::byte>) override { return 0; }
  uint64_t CpuTimeNs() const override { return 0; }

  void Put(uint64_t addr, std::string_view text) {
    memcpy(memory.data() + (addr - kBase), text.data(), text.size());
  }
  std::vector<char> memory = std::vector<char>(3 * kPage);
  int reads = 0;
};

using P = ThreePages;

TEST(PageReaderTest, ManyStringsOfAPageAreOneCopy) {
  auto space = MakeRef<ThreePages>();
  space->Put(P::kBase, std::string_view("one\0two\0\0four\0", 14));
  PageReader reader(*space);
  EXPECT_EQ(*reader.String(P::kBase, 100, Errno::k2Big), "one");
  EXPECT_EQ(*reader.String(P::kBase + 4, 100, Errno::k2Big), "two");
  EXPECT_EQ(*reader.String(P::kBase + 8, 100, Errno::k2Big), "");
  EXPECT_EQ(*reader.String(P::kBase + 9, 100, Errno::k2Big), "four");
  EXPECT_EQ(space->reads, 1);
}

TEST(PageReaderTest, StringsAndWordsMayCrossPages) {
  auto space = MakeRef<ThreePages>();
  space->Put(P::kBase + P::kPage - 3, std::string_view("abcdefgh", 9));
  PageReader reader(*space);
  EXPECT_EQ(*reader.String(P::kBase + P::kPage - 3, 100, Errno::k2Big), "abcdefgh");
  uint64_t expected;
  memcpy(&expected, "abcdefgh", sizeof expected);
  EXPECT_EQ(*reader.Word(P::kBase + P::kPage - 3), expected);
  const std::string whole(P::kPage + 10, 'x');
  space->Put(P::kBase + 100, whole);
  EXPECT_EQ(*PageReader(*space).String(P::kBase + 100, 10000, Errno::k2Big), whole);
}

TEST(PageReaderTest, Errors) {
  auto space = MakeRef<ThreePages>();
  space->Put(P::kEnd - 4, "tail");
  PageReader reader(*space);
  EXPECT_EQ(reader.String(P::kEnd - 4, 100, Errno::k2Big).error(), Errno::kFault)
      << "no end before the memory's";
  EXPECT_EQ(reader.String(P::kEnd - 4, 4, Errno::k2Big).error(), Errno::k2Big);
  EXPECT_EQ(reader.String(P::kEnd, 4, Errno::k2Big).error(), Errno::kFault);
  EXPECT_EQ(reader.Word(P::kEnd - 4).error(), Errno::kFault);
  EXPECT_EQ(reader.Word(~uint64_t{0} - 2).error(), Errno::kFault);
}

}  // namespace
}  // namespace cloister::usermem
