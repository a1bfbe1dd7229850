// inotify through the system call table.

#include <errno.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::syscalls {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class WatchSyscallTest : public SandboxTest {
 protected:
  WatchSyscallTest() { fd_ = Must(SYS_inotify_init1, {IN_NONBLOCK}); }

  uint64_t Text(int slot, std::string_view text) {
    return PutText(scratch_ + 4096 + static_cast<uint64_t>(slot) * 512, text);
  }
  std::optional<int64_t> Watch(std::string_view path, uint32_t mask = IN_ALL_EVENTS) {
    return Call(SYS_inotify_add_watch, {fd_, Text(0, path), mask});
  }
  uint64_t Open(std::string_view path, uint64_t flags) {
    return Must(SYS_open, {Text(0, path), flags, 0644});
  }
  void Mkdir(std::string_view path) { Must(SYS_mkdir, {Text(0, path), 0755}); }
  void Rename(std::string_view from, std::string_view to) { Must(SYS_rename, {Text(0, from), Text(1, to)}); }

  static std::string Word(uint32_t mask) {
    constexpr std::pair<uint32_t, const char*> kWords[] = {
        {IN_ACCESS, "access"},           {IN_MODIFY, "modify"},           {IN_ATTRIB, "attrib"},
        {IN_CLOSE_WRITE, "close_write"}, {IN_CLOSE_NOWRITE, "close"},     {IN_OPEN, "open"},
        {IN_MOVED_FROM, "moved_from"},   {IN_MOVED_TO, "moved_to"},       {IN_CREATE, "create"},
        {IN_DELETE, "delete"},           {IN_DELETE_SELF, "delete_self"}, {IN_MOVE_SELF, "move_self"},
        {IN_IGNORED, "ignored"},         {IN_Q_OVERFLOW, "overflow"}};
    for (const auto& [bit, word] : kWords) {
      if ((mask & ~IN_ISDIR) == bit) return absl::StrCat(word, mask & IN_ISDIR ? "/" : "");
    }
    return absl::StrCat("mask ", mask);
  }
  // All events that wait: "1 create name".
  std::vector<std::string> Events() {
    std::vector<std::string> found;
    const std::optional<int64_t> got = Call(SYS_read, {fd_, scratch_ + 8192, 8192});
    if (!got.has_value() || *got < 0) return found;
    const std::string bytes = GetText(scratch_ + 8192, static_cast<size_t>(*got));
    for (size_t at = 0; at < bytes.size();) {
      inotify_event event;
      memcpy(&event, bytes.data() + at, sizeof event);
      const std::string name = bytes.c_str() + at + sizeof event;
      EXPECT_EQ(event.len % sizeof event, 0u);
      found.push_back(absl::StrCat(event.wd, " ", Word(event.mask), event.len > 0 ? " " + name : ""));
      at += sizeof event + event.len;
      if (event.cookie != 0) cookies_.push_back(event.cookie);
    }
    return found;
  }

  uint64_t fd_ = 0;
  std::vector<uint32_t> cookies_;
};

TEST_F(WatchSyscallTest, DirectoryTellsOfItsEntries) {
  Mkdir("/d");
  ASSERT_EQ(Watch("/d"), 1);
  const uint64_t file = Open("/d/file", O_CREAT | O_RDWR);
  Must(SYS_write, {file, scratch_, 3});
  Must(SYS_write, {file, scratch_, 3});
  Must(SYS_pread64, {file, scratch_, 1, 0});
  Must(SYS_ftruncate, {file, 1});
  Must(SYS_fchmod, {file, 0600});
  Must(SYS_close, {file});
  EXPECT_THAT(Events(), ElementsAre("1 create file", "1 open file", "1 modify file", "1 access file",
                                    "1 modify file", "1 attrib file", "1 close_write file"));
  Mkdir("/d/sub");
  Must(SYS_rmdir, {Text(0, "/d/sub")});
  Must(SYS_unlink, {Text(0, "/d/file")});
  EXPECT_THAT(Events(), ElementsAre("1 create/ sub", "1 delete/ sub", "1 delete file"));
  EXPECT_THAT(Events(), IsEmpty());
}

TEST_F(WatchSyscallTest, MovesAreJoinedByACookie) {
  Mkdir("/a");
  Mkdir("/b");
  Must(SYS_close, {Open("/a/x", O_CREAT | O_WRONLY)});
  Must(SYS_close, {Open("/b/y", O_CREAT | O_WRONLY)});
  ASSERT_EQ(Watch("/a"), 1);
  ASSERT_EQ(Watch("/b"), 2);
  ASSERT_EQ(Watch("/a/x", IN_MOVE_SELF), 3);
  ASSERT_EQ(Watch("/b/y", IN_DELETE_SELF), 4);
  Rename("/a/x", "/b/y");
  EXPECT_THAT(Events(),
              ElementsAre("1 moved_from x", "2 moved_to y", "3 move_self", "4 delete_self", "4 ignored"));
  ASSERT_EQ(cookies_.size(), 2u);
  EXPECT_EQ(cookies_[0], cookies_[1]);
}

TEST_F(WatchSyscallTest, WatchedFileEndsWithItsLastName) {
  Must(SYS_close, {Open("/one", O_CREAT | O_WRONLY)});
  ASSERT_EQ(Watch("/one", IN_ATTRIB | IN_DELETE_SELF), 1);
  Must(SYS_link, {Text(0, "/one"), Text(1, "/two")});
  Must(SYS_unlink, {Text(0, "/one")});
  EXPECT_THAT(Events(), ElementsAre("1 attrib"));  // two equal ones are merged
  Must(SYS_unlink, {Text(0, "/two")});
  EXPECT_THAT(Events(), ElementsAre("1 attrib", "1 delete_self", "1 ignored"));
  EXPECT_EQ(Call(SYS_inotify_rm_watch, {fd_, 1}), -EINVAL);
}

TEST_F(WatchSyscallTest, MasksAreReplacedOrAddedTo) {
  Mkdir("/d");
  ASSERT_EQ(Watch("/d", IN_CREATE), 1);
  EXPECT_EQ(Watch("/d", IN_DELETE | IN_MASK_CREATE), -EEXIST);
  EXPECT_EQ(Watch("/d", IN_DELETE | IN_MASK_ADD), 1);
  Mkdir("/d/x");
  Must(SYS_rmdir, {Text(0, "/d/x")});
  EXPECT_THAT(Events(), ElementsAre("1 create/ x", "1 delete/ x"));
  EXPECT_EQ(Watch("/d", IN_DELETE | IN_ONESHOT), 1);
  Mkdir("/d/x");
  Mkdir("/d/y");
  Must(SYS_rmdir, {Text(0, "/d/x")});
  Must(SYS_rmdir, {Text(0, "/d/y")});
  EXPECT_THAT(Events(), ElementsAre("1 delete/ x", "1 ignored"));
  EXPECT_EQ(Watch("/d", IN_CREATE), 2);
  EXPECT_EQ(Call(SYS_inotify_rm_watch, {fd_, 2}), 0);
  EXPECT_THAT(Events(), ElementsAre("2 ignored"));
}

TEST_F(WatchSyscallTest, WhatIsRefused) {
  EXPECT_EQ(Watch("/none"), -ENOENT);
  EXPECT_EQ(Watch("/bin", 0), -EINVAL);
  EXPECT_EQ(Watch("/bin/test", IN_OPEN | IN_ONLYDIR), -ENOTDIR);
  EXPECT_EQ(Call(SYS_inotify_add_watch, {Must(SYS_eventfd, {0}), Text(0, "/bin"), IN_OPEN}), -EINVAL);
  EXPECT_EQ(Call(SYS_inotify_add_watch, {99, Text(0, "/bin"), IN_OPEN}), -EBADF);
  EXPECT_EQ(Call(SYS_inotify_init1, {1}), -EINVAL);
  EXPECT_EQ(Call(SYS_write, {fd_, scratch_, 8}), -EBADF);
  Mkdir("/d");
  Must(SYS_chmod, {Text(0, "/d"), 0700});
  Must(SYS_setresuid, {1000, 1000, 1000});
  EXPECT_EQ(Watch("/d"), -EACCES);
}

TEST_F(WatchSyscallTest, ReadersWaitAndSmallBuffersFail) {
  Mkdir("/d");
  ASSERT_EQ(Watch("/d", IN_CREATE), 1);
  Put(scratch_, pollfd{static_cast<int>(fd_), POLLIN, 0});
  EXPECT_EQ(Call(SYS_poll, {scratch_, 1, 0}), 0);
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(Call(SYS_poll, {scratch_, 1, ~uint64_t{0}}), std::nullopt);
  const uint64_t path = scratch_ + 256;
  child->space().Write(path, std::as_bytes(std::span("/d/new", 7)));
  EXPECT_EQ(child->Syscall(SYS_mkdir, {path, 0700}), 0);
  EXPECT_EQ(Result(*thread_), 1);
  EXPECT_EQ(Call(SYS_ioctl, {fd_, FIONREAD, scratch_}), 0);
  EXPECT_EQ(Get<int>(scratch_), 32);
  EXPECT_EQ(Call(SYS_read, {fd_, scratch_, 31}), -EINVAL);
  EXPECT_THAT(Events(), ElementsAre("1 create/ new"));
}

TEST_F(WatchSyscallTest, QueueOverflows) {
  Mkdir("/d");
  ASSERT_EQ(Watch("/d", IN_CREATE | IN_DELETE), 1);
  for (int i = 0; i < 8200; ++i) {
    Mkdir("/d/x");
    Must(SYS_rmdir, {Text(0, "/d/x")});
  }
  std::string last;
  size_t count = 0;
  for (auto events = Events(); !events.empty(); events = Events()) {
    count += events.size();
    last = events.back();
  }
  EXPECT_EQ(count, 16385u);
  EXPECT_EQ(last, "-1 overflow");
}

}  // namespace
}  // namespace cloister::syscalls
