#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// inotify(7): what is told of a watched file or directory, in which order.
namespace cloister::tests {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Event {
  int watch;
  uint32_t mask;
  uint32_t cookie;
  std::string name;
  bool operator==(const Event& other) const {
    return watch == other.watch && mask == other.mask && name == other.name;
  }
};

void PrintTo(const Event& event, std::ostream* out) {
  *out << "{" << event.watch << ", 0x" << std::hex << event.mask << std::dec << ", " << event.name << "}";
}

class InotifyTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  const TestFd fd_ = TestFd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));

  int Watch(const std::string& path, uint32_t mask) const {
    const int watch = inotify_add_watch(fd_.get(), path.c_str(), mask);
    EXPECT_GT(watch, 0) << DescribeErrno(errno);
    return watch;
  }

  // Everything that waits.
  std::vector<Event> Take() const {
    alignas(inotify_event) char buffer[16384];
    const ssize_t got = read(fd_.get(), buffer, sizeof buffer);
    std::vector<Event> events;
    for (ssize_t at = 0; at < got;) {
      inotify_event event;
      memcpy(&event, buffer + at, sizeof event);
      const char* const name = buffer + at + sizeof event;
      events.push_back({event.wd, event.mask, event.cookie, event.len > 0 ? std::string(name) : ""});
      // The name is padded with zeros to a multiple of the record's size.
      EXPECT_EQ(event.len % sizeof event, 0u);
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
    return events;
  }
};

TEST_F(InotifyTest, LifeOfAFileInAWatchedDirectory) {
  const int watch = Watch(dir_.path(), IN_ALL_EVENTS);
  TestFd file = Open(dir_.File("file"), O_CREAT | O_WRONLY);
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_CREATE, 0, "file"}, Event{watch, IN_OPEN, 0, "file"}));
  ASSERT_THAT(write(file.get(), "x", 1), SyscallSucceedsWithValue(1));
  file.reset();
  EXPECT_THAT(Take(),
              ElementsAre(Event{watch, IN_MODIFY, 0, "file"}, Event{watch, IN_CLOSE_WRITE, 0, "file"}));
  ASSERT_THAT(chmod(dir_.File("file").c_str(), 0600), SyscallSucceeds());
  ASSERT_THAT(unlink(dir_.File("file").c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_ATTRIB, 0, "file"}, Event{watch, IN_DELETE, 0, "file"}));
}

TEST_F(InotifyTest, DirectoriesAreMarked) {
  const int watch = Watch(dir_.path(), IN_CREATE | IN_DELETE);
  ASSERT_THAT(mkdir(dir_.File("sub").c_str(), 0755), SyscallSucceeds());
  ASSERT_THAT(rmdir(dir_.File("sub").c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_CREATE | IN_ISDIR, 0, "sub"},
                                  Event{watch, IN_DELETE | IN_ISDIR, 0, "sub"}));
}

TEST_F(InotifyTest, BothEndsOfARenameHaveOneCookie) {
  const std::string from = dir_.WithDirectory("from"), to = dir_.WithDirectory("to");
  dir_.WithFile("from/file");
  const int source = Watch(from, IN_MOVE), target = Watch(to, IN_MOVE);
  const int self = Watch(from + "/file", IN_MOVE_SELF);
  ASSERT_THAT(rename((from + "/file").c_str(), (to + "/new").c_str()), SyscallSucceeds());
  const std::vector<Event> events = Take();
  ASSERT_THAT(events, ElementsAre(Event{source, IN_MOVED_FROM, 0, "file"},
                                  Event{target, IN_MOVED_TO, 0, "new"}, Event{self, IN_MOVE_SELF, 0, ""}));
  EXPECT_NE(events[0].cookie, 0u);
  EXPECT_EQ(events[0].cookie, events[1].cookie);
  EXPECT_EQ(events[2].cookie, 0u);
}

TEST_F(InotifyTest, WhatARenameReplacesIsGone) {
  const std::string moved = dir_.WithFile("moved"), replaced = dir_.WithFile("replaced");
  const int directory = Watch(dir_.path(), IN_MOVE | IN_DELETE);
  const int self = Watch(moved, IN_MOVE_SELF), other = Watch(replaced, IN_ATTRIB | IN_DELETE_SELF);
  ASSERT_THAT(rename(moved.c_str(), replaced.c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(), ElementsAre(Event{directory, IN_MOVED_FROM, 0, "moved"},
                                  Event{directory, IN_MOVED_TO, 0, "replaced"},
                                  Event{other, IN_ATTRIB, 0, ""}, Event{self, IN_MOVE_SELF, 0, ""},
                                  Event{other, IN_DELETE_SELF, 0, ""}, Event{other, IN_IGNORED, 0, ""}));
}

TEST_F(InotifyTest, SelfHearsBeforeTheDirectory) {
  const std::string file = dir_.WithFile("file"), sub = dir_.WithDirectory("sub");
  const int directory = Watch(dir_.path(), IN_DELETE);
  const int file_watch = Watch(file, IN_ATTRIB | IN_DELETE_SELF), sub_watch = Watch(sub, IN_DELETE_SELF);
  ASSERT_THAT(unlink(file.c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(),
              ElementsAre(Event{file_watch, IN_ATTRIB, 0, ""}, Event{file_watch, IN_DELETE_SELF, 0, ""},
                          Event{file_watch, IN_IGNORED, 0, ""}, Event{directory, IN_DELETE, 0, "file"}));
  ASSERT_THAT(rmdir(sub.c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(),
              ElementsAre(Event{sub_watch, IN_DELETE_SELF, 0, ""}, Event{sub_watch, IN_IGNORED, 0, ""},
                          Event{directory, IN_DELETE | IN_ISDIR, 0, "sub"}));
}

TEST_F(InotifyTest, WatchEndsWithItsFile) {
  const std::string file = dir_.WithFile("file");
  const int watch = Watch(file, IN_DELETE_SELF);
  ASSERT_THAT(unlink(file.c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_DELETE_SELF, 0, ""}, Event{watch, IN_IGNORED, 0, ""}));
  EXPECT_THAT(inotify_rm_watch(fd_.get(), watch), SyscallFailsWithErrno(EINVAL));
}

TEST_F(InotifyTest, AnOpenFileIsNotYetDeleted) {
  const std::string file = dir_.WithFile("file");
  const int watch = Watch(file, IN_DELETE_SELF | IN_ATTRIB);
  TestFd open = Open(file, O_RDONLY);
  ASSERT_THAT(unlink(file.c_str()), SyscallSucceeds());
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_ATTRIB, 0, ""}));  // the link count
  open.reset();
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_DELETE_SELF, 0, ""}, Event{watch, IN_IGNORED, 0, ""}));
}

TEST_F(InotifyTest, RemovedByTheCaller) {
  const int watch = Watch(dir_.path(), IN_CREATE);
  EXPECT_THAT(inotify_rm_watch(fd_.get(), watch), SyscallSucceeds());
  dir_.WithFile("file");
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_IGNORED, 0, ""}));
  EXPECT_THAT(inotify_rm_watch(fd_.get(), watch), SyscallFailsWithErrno(EINVAL));
}

TEST_F(InotifyTest, EqualNeighboursAreOneEvent) {
  const TestFd file = Open(dir_.WithFile("file"), O_WRONLY);
  const int watch = Watch(dir_.File("file"), IN_MODIFY);
  for (int i = 0; i < 5; ++i) ASSERT_THAT(write(file.get(), "x", 1), SyscallSucceedsWithValue(1));
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_MODIFY, 0, ""}));
}

TEST_F(InotifyTest, OneWatchForEachFile) {
  const std::string file = dir_.WithFile("file");
  ASSERT_THAT(link(file.c_str(), dir_.File("other").c_str()), SyscallSucceeds());
  const int watch = Watch(file, IN_OPEN);
  EXPECT_EQ(Watch(dir_.File("other"), IN_CLOSE_NOWRITE), watch);  // replaces the mask
  Open(file, O_RDONLY).reset();
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_CLOSE_NOWRITE, 0, ""}));
  EXPECT_EQ(Watch(file, IN_OPEN | IN_MASK_ADD), watch);
  Open(file, O_RDONLY).reset();
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_OPEN, 0, ""}, Event{watch, IN_CLOSE_NOWRITE, 0, ""}));
  EXPECT_THAT(inotify_add_watch(fd_.get(), file.c_str(), IN_OPEN | IN_MASK_CREATE),
              SyscallFailsWithErrno(EEXIST));
}

TEST_F(InotifyTest, OneShot) {
  const std::string file = dir_.WithFile("file");
  const int watch = Watch(file, IN_OPEN | IN_ONESHOT);
  Open(file, O_RDONLY).reset();
  Open(file, O_RDONLY).reset();
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_OPEN, 0, ""}, Event{watch, IN_IGNORED, 0, ""}));
}

TEST_F(InotifyTest, ReadsArePiecesOfWholeEvents) {
  const int watch = Watch(dir_.path(), IN_CREATE);
  dir_.WithFile("a");
  dir_.WithFile("b");
  int waiting = 0;
  EXPECT_THAT(ioctl(fd_.get(), FIONREAD, &waiting), SyscallSucceeds());
  constexpr int kRecord = sizeof(inotify_event) + 16;
  EXPECT_EQ(waiting, 2 * kRecord);
  char small[kRecord - 1];
  EXPECT_THAT(read(fd_.get(), small, sizeof small), SyscallFailsWithErrno(EINVAL));
  char one[2 * kRecord - 1];
  EXPECT_THAT(read(fd_.get(), one, sizeof one), SyscallSucceedsWithValue(kRecord));
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_CREATE, 0, "b"}));
  EXPECT_THAT(read(fd_.get(), one, sizeof one), SyscallFailsWithErrno(EAGAIN));
}

TEST_F(InotifyTest, ReadyWhenThereIsSomething) {
  Watch(dir_.path(), IN_CREATE);
  pollfd entry = {.fd = fd_.get(), .events = POLLIN | POLLOUT, .revents = 0};
  EXPECT_THAT(poll(&entry, 1, 0), SyscallSucceedsWithValue(0));
  ScopedThread maker([this] { dir_.WithFile("file"); });
  EXPECT_THAT(poll(&entry, 1, 10000), SyscallSucceedsWithValue(1));
  EXPECT_EQ(entry.revents, POLLIN);
}

TEST_F(InotifyTest, BlockedReaderIsWoken) {
  const TestFd blocking(inotify_init());
  ASSERT_THAT(inotify_add_watch(blocking.get(), dir_.path().c_str(), IN_CREATE), SyscallSucceeds());
  char buffer[512];
  ssize_t got = 0;
  ScopedThread reader([&] { got = read(blocking.get(), buffer, sizeof buffer); });
  const pid_t tid = reader.tid();
  EXPECT_TRUE(YieldUntil([tid] { return ProcessState(tid) == 'S'; }));
  dir_.WithFile("file");
  reader.Join();
  EXPECT_EQ(got, static_cast<ssize_t>(sizeof(inotify_event) + 16));
}

TEST_F(InotifyTest, OtherProcessesAreSeen) {
  const int watch = Watch(dir_.path(), IN_CREATE);
  EXPECT_THAT(InChild([this] { CHILD_CHECK(mkdir(dir_.File("theirs").c_str(), 0700) == 0); }), ExitedWith(0));
  EXPECT_THAT(Take(), ElementsAre(Event{watch, IN_CREATE | IN_ISDIR, 0, "theirs"}));
}

TEST_F(InotifyTest, Errors) {
  const std::string file = dir_.WithFile("file");
  EXPECT_THAT(inotify_init1(1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(inotify_add_watch(-1, file.c_str(), IN_OPEN), SyscallFailsWithErrno(EBADF));
  const TestFd other = Open(file, O_RDONLY);
  EXPECT_THAT(inotify_add_watch(other.get(), file.c_str(), IN_OPEN), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(inotify_rm_watch(other.get(), 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(inotify_add_watch(fd_.get(), file.c_str(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(inotify_add_watch(fd_.get(), file.c_str(), IN_OPEN | IN_ONLYDIR),
              SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(inotify_add_watch(fd_.get(), dir_.File("none").c_str(), IN_OPEN),
              SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(inotify_add_watch(fd_.get(), BadPointer<char>(), IN_OPEN), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(write(fd_.get(), "x", 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Take(), IsEmpty());
}

}  // namespace
}  // namespace cloister::tests
