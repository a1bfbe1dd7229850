#include <linux/fs.h>
#include <sys/stat.h>

#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "sentry/boot/overlay_fixture.h"

namespace cloister::overlay {
namespace {

using ::testing::AnyOf;

class OverlayThreadsTest : public OverlayTest {
 protected:
  // One change or look, whatever comes of it.
  void Act(std::mt19937& random) {
    const auto name = [&] {
      return (random() % 2 == 0 ? "/d/f" : "/e/f") + std::to_string(random() % kNames);
    };
    const std::string one = name(), other = name();
    switch (random() % 9) {
      case 0:
        static_cast<void>(Open(root, one, O_RDWR | O_CREAT | O_TRUNC));
        return;
      case 1:
        if (const auto file = Open(root, one, O_RDWR | O_APPEND); file.ok()) {
          EXPECT_THAT(Write(**file, "more"), Succeeds());
        }
        return;
      case 2:
        static_cast<void>(Remove(root, one));
        return;
      case 3:
        static_cast<void>(Rename(root, one, other));
        return;
      case 4:
        static_cast<void>(Rename(root, one, other, RENAME_EXCHANGE));
        return;
      case 5:
        if (const auto path = Find(root, one); path.ok()) {
          static_cast<void>(vfs::MakeLink(root, *path, root.cwd, other));
        }
        return;
      case 6:
        if (const auto path = Find(root, one); path.ok()) {
          EXPECT_THAT(vfs::ChangeMode(root, *path, 0600 + random() % 64), Succeeds());
        }
        return;
      case 7:
        static_cast<void>(Rename(root, "/d/sub", "/e/sub"));
        static_cast<void>(Rename(root, "/e/sub", "/d/sub"));
        static_cast<void>(List("/d"));
        return;
      default:
        ForgetCache();
        return;
    }
  }

  static constexpr int kNames = 20;
};

TEST_F(OverlayThreadsTest, AReaderAndAWriter) {
  ASSERT_THAT(Mkdir(root, "/d"), Succeeds());
  constexpr int kFiles = 50;
  const auto name = [](int i) { return "/d/f" + std::to_string(i); };
  for (int i = 0; i < kFiles; ++i) Put(name(i), std::string(10'000, 'l'));
  Stack();
  std::thread changer([&] {
    for (int i = 0; i < kFiles; ++i) {
      const auto file = Open(root, name(i), O_RDWR);
      ASSERT_THAT(file, Succeeds());
      ASSERT_THAT(Write(**file, "u"), Succeeds());
      ASSERT_THAT(Rename(root, name(i), name(i) + "x"), Succeeds());
      if (i % 2 != 0) continue;
      ASSERT_THAT(Remove(root, name(i) + "x"), Succeeds());
    }
  });
  for (int i = 0; i < kFiles; ++i) {
    const auto file = Open(user, name(i), O_RDONLY);
    if (file.ok()) {
      const std::string text = ReadAll(**file);
      EXPECT_EQ(text.size(), 10'000u);
      EXPECT_THAT(text[0], AnyOf('l', 'u'));
      EXPECT_EQ(text[9'999], 'l');
    }
    const size_t listed = List("/d").size();
    EXPECT_GE(listed, 2u + kFiles / 2);
    EXPECT_LE(listed, 2u + kFiles + 1);
    if (i % 8 == 0) ForgetCache();
    EXPECT_THAT(Open(root, name(i), O_WRONLY), AnyOf(Succeeds(), FailsWith(Errno::kNoEnt)));
  }
  changer.join();
  EXPECT_EQ(List("/d").size(), 2u + kFiles / 2);
}

TEST_F(OverlayThreadsTest, NamesAndLinkCountsAgreeAfterAll) {
  for (const char* directory : {"/d", "/e", "/d/sub"}) ASSERT_THAT(Mkdir(root, directory), Succeeds());
  for (int i = 0; i < kNames; ++i) {
    Put("/d/f" + std::to_string(i), "lower");
    ASSERT_THAT(Link("/d/f" + std::to_string(i), "/e/f" + std::to_string(i)), Succeeds());
  }
  Stack();
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 3; ++seed) {
    threads.emplace_back([this, seed] {
      std::mt19937 random(seed);
      for (int i = 0; i < 2000; ++i) Act(random);
    });
  }
  for (std::thread& thread : threads) thread.join();
  ForgetCache();
  std::map<uint64_t, unsigned> names, links;
  for (const std::string directory : {"/d", "/e"}) {
    for (const std::string& name : List(directory)) {
      if (name[0] != 'f') continue;
      const struct statx attr = Stat(directory + "/" + name);
      EXPECT_EQ(ListedIno(directory, name), attr.stx_ino);
      ++names[attr.stx_ino];
      links[attr.stx_ino] = attr.stx_nlink;
    }
  }
  EXPECT_EQ(names, links);
  EXPECT_GT(names.size(), 1u);
}

}  // namespace
}  // namespace cloister::overlay
