#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// shmget(2), shmat(2), shmdt(2), shmctl(2).
namespace cloister::tests {
namespace {

void* const kFailed = reinterpret_cast<void*>(-1);

// A segment that goes with the object.
class Segment {
 public:
  explicit Segment(size_t size, int mode = 0600, key_t key = IPC_PRIVATE)
      : id_(shmget(key, size, IPC_CREAT | IPC_EXCL | mode)) {
    EXPECT_GE(id_, 0) << errno;
  }
  Segment(const Segment&) = delete;
  ~Segment() {
    if (id_ >= 0) shmctl(id_, IPC_RMID, nullptr);
  }
  int id() const { return id_; }
  int Release() { return std::exchange(id_, -1); }

 private:
  int id_;
};

shmid_ds Stat(int id) {
  shmid_ds status = {};
  EXPECT_THAT(shmctl(id, IPC_STAT, &status), SyscallSucceeds());
  return status;
}

char* Attach(int id, int flags = 0) {
  void* const at = shmat(id, nullptr, flags);
  EXPECT_NE(at, kFailed) << errno;
  return static_cast<char*>(at);
}

key_t FreshKey() { return 0x5a000000 + (getpid() & 0xffff) * 16; }

TEST(Shm, IsSharedWithChildrenAndAmongAttachments) {
  const Segment segment(2 * kPage);
  char* const a = Attach(segment.id());
  char* const b = Attach(segment.id());
  ASSERT_NE(a, b);
  EXPECT_EQ(a[kPage], 0);
  a[1] = 'x';
  EXPECT_EQ(b[1], 'x');
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(a[1] == 'x');
                b[kPage + 1] = 'c';
              }),
              ExitedWith(0));
  EXPECT_EQ(a[kPage + 1], 'c');
  EXPECT_THAT(shmdt(a), SyscallSucceeds());
  EXPECT_THAT(shmdt(b), SyscallSucceeds());
  char* const again = Attach(segment.id());
  EXPECT_EQ(again[kPage + 1], 'c');
  EXPECT_THAT(shmdt(again), SyscallSucceeds());
}

TEST(Shm, StatusTellsWhoAndHowMany) {
  const Segment segment(100, 0640);
  shmid_ds status = Stat(segment.id());
  EXPECT_EQ(status.shm_segsz, 100u);
  EXPECT_EQ(status.shm_nattch, 0u);
  EXPECT_EQ(status.shm_cpid, getpid());
  EXPECT_EQ(status.shm_lpid, 0);
  EXPECT_EQ(status.shm_atime, 0);
  EXPECT_EQ(status.shm_dtime, 0);
  EXPECT_GT(status.shm_ctime, 0);
  EXPECT_EQ(status.shm_perm.mode, 0640);
  EXPECT_EQ(status.shm_perm.uid, getuid());
  EXPECT_EQ(status.shm_perm.cgid, getgid());
  EXPECT_EQ(status.shm_perm.__key, IPC_PRIVATE);
  char* const at = Attach(segment.id());
  status = Stat(segment.id());
  EXPECT_EQ(status.shm_nattch, 1u);
  EXPECT_EQ(status.shm_lpid, getpid());
  EXPECT_GT(status.shm_atime, 0);
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
  status = Stat(segment.id());
  EXPECT_EQ(status.shm_nattch, 0u);
  EXPECT_GT(status.shm_dtime, 0);
}

TEST(Shm, ForkExecAndExitCountAttachments) {
  const Segment segment(kPage);
  char* const at = Attach(segment.id());
  const Pipe to_child, from_child;
  Child child([&] {
    char byte;
    CHILD_CHECK(write(from_child.write.get(), "f", 1) == 1);
    CHILD_CHECK(read(to_child.read.get(), &byte, 1) == 1);
    execl("/bin/sleep", "sleep", "1000", nullptr);
  });
  char byte;
  ASSERT_EQ(read(from_child.read.get(), &byte, 1), 1);
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 2u);
  ASSERT_EQ(write(to_child.write.get(), "e", 1), 1);
  EXPECT_TRUE(YieldUntil([&] { return Stat(segment.id()).shm_nattch == 1; }));
  EXPECT_EQ(Stat(segment.id()).shm_lpid, child.pid());
  EXPECT_THAT(InChild([&] { CHILD_CHECK(Stat(segment.id()).shm_nattch == 2); }), ExitedWith(0));
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 1u);
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
}

TEST(Shm, PiecesAreCountedAndDetachedTogether) {
  const Segment segment(4 * kPage);
  char* const at = Attach(segment.id());
  ASSERT_THAT(mprotect(at + kPage, kPage, PROT_READ), SyscallSucceeds());
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 3u);
  ASSERT_THAT(munmap(at + 2 * kPage, kPage), SyscallSucceeds());
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 3u);
  ASSERT_THAT(munmap(at, kPage), SyscallSucceeds());
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 2u);
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 0u);
  EXPECT_THAT(shmdt(at), SyscallFailsWithErrno(EINVAL));
}

TEST(Shm, RemovalWaitsForTheLastDetach) {
  const key_t key = FreshKey();
  Segment segment(kPage, 0600, key);
  char* const at = Attach(segment.id());
  at[0] = 'k';
  EXPECT_THAT(shmctl(segment.id(), IPC_RMID, nullptr), SyscallSucceeds());
  EXPECT_THAT(shmget(key, 0, 0), SyscallFailsWithErrno(ENOENT));
  const shmid_ds status = Stat(segment.id());
  EXPECT_EQ(status.shm_perm.mode, 0600 | SHM_DEST);
  EXPECT_EQ(status.shm_perm.__key, IPC_PRIVATE);
  char* const second = Attach(segment.id());
  EXPECT_EQ(second[0], 'k');
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
  EXPECT_EQ(second[0], 'k');
  EXPECT_THAT(shmdt(second), SyscallSucceeds());
  shmid_ds gone;
  EXPECT_THAT(shmctl(segment.id(), IPC_STAT, &gone), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(shmat(segment.id(), nullptr, 0), kFailed);
  EXPECT_EQ(errno, EINVAL);
  static_cast<void>(segment.Release());
}

TEST(Shm, RemovedAtTheEndOfTheLastProcess) {
  Segment segment(kPage);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(shmat(segment.id(), nullptr, 0) != kFailed);
                CHILD_CHECK(shmctl(segment.id(), IPC_RMID, nullptr) == 0);
                shmid_ds status;
                CHILD_CHECK(shmctl(segment.id(), IPC_STAT, &status) == 0);
              }),
              ExitedWith(0));
  shmid_ds status;
  EXPECT_THAT(shmctl(segment.Release(), IPC_STAT, &status), SyscallFailsWithErrno(EINVAL));
}

TEST(Shm, Keys) {
  const key_t key = FreshKey() + 1;
  EXPECT_THAT(shmget(key, kPage, 0600), SyscallFailsWithErrno(ENOENT));
  const Segment segment(kPage, 0600, key);
  EXPECT_THAT(shmget(key, 0, 0), SyscallSucceedsWithValue(segment.id()));
  EXPECT_THAT(shmget(key, kPage, IPC_CREAT | 0600), SyscallSucceedsWithValue(segment.id()));
  EXPECT_THAT(shmget(key, kPage, IPC_CREAT | IPC_EXCL | 0600), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(shmget(key, kPage + 1, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmget(IPC_PRIVATE, 0, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmget(IPC_PRIVATE, size_t(-1), 0600), SyscallFailsWithErrno(EINVAL));
}

TEST(Shm, TwoPrivateSegmentsDiffer) {
  const Segment a(kPage), b(kPage);
  EXPECT_NE(a.id(), b.id());
}

TEST(Shm, ReadOnlyAttachment) {
  const Segment segment(kPage);
  char* const writable = Attach(segment.id());
  char* const readonly = Attach(segment.id(), SHM_RDONLY);
  writable[3] = 'r';
  EXPECT_EQ(readonly[3], 'r');
  EXPECT_THAT(InChild([&] { *static_cast<volatile char*>(readonly) = 1; }), KilledBy(SIGSEGV));
  EXPECT_THAT(mprotect(readonly, kPage, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(shmdt(readonly), SyscallSucceeds());
  EXPECT_THAT(shmdt(writable), SyscallSucceeds());
}

TEST(Shm, ExecutableAttachment) {
  const Segment segment(kPage, 0700);
  char* const at = Attach(segment.id(), SHM_EXEC);
  at[0] = '\xb8';  // mov $42, %eax; ret
  at[1] = 42;
  at[5] = '\xc3';
  EXPECT_EQ(reinterpret_cast<int (*)()>(at)(), 42);
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
}

TEST(Shm, ChosenAddresses) {
  const Segment segment(2 * kPage);
  Mapping room = MapAnonymous(4 * kPage);
  char* const place = room.data() + kPage;
  EXPECT_EQ(shmat(segment.id(), place, 0), kFailed);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(shmat(segment.id(), place, SHM_REMAP), place);
  EXPECT_EQ(shmat(segment.id(), place + 1, SHM_REMAP), kFailed);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_THAT(shmdt(place), SyscallSucceeds());
  EXPECT_EQ(shmat(segment.id(), place, 0), place);  // nothing is there now
  EXPECT_EQ(shmat(segment.id(), place + 100, SHM_RND | SHM_REMAP), place);
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 1u);
  place[0] = 'p';
  EXPECT_THAT(shmdt(place + kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmdt(place + 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmdt(room.data()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmdt(place), SyscallSucceeds());
}

TEST(Shm, BadAttachments) {
  const Segment segment(kPage);
  EXPECT_EQ(shmat(-1, nullptr, 0), kFailed);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(shmat(segment.id(), nullptr, SHM_REMAP), kFailed);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(shmat(segment.id(), reinterpret_cast<void*>(100), SHM_RND | SHM_REMAP), kFailed);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_THAT(shmdt(reinterpret_cast<void*>(0x10000)), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 0u);
}

TEST(Shm, PermissionsOfOthers) {
  const Segment secret(kPage, 0600), readable(kPage, 0644);
  EXPECT_THAT(
      InChild([&] {
        BecomeUser(1000, 1000);
        CHILD_CHECK(shmat(secret.id(), nullptr, SHM_RDONLY) == kFailed && errno == EACCES);
        CHILD_CHECK(shmat(readable.id(), nullptr, 0) == kFailed && errno == EACCES);
        CHILD_CHECK(shmat(readable.id(), nullptr, SHM_RDONLY | SHM_EXEC) == kFailed && errno == EACCES);
        CHILD_CHECK(shmat(readable.id(), nullptr, SHM_RDONLY) != kFailed);
        shmid_ds status;
        CHILD_CHECK(shmctl(secret.id(), IPC_STAT, &status) == -1 && errno == EACCES);
        CHILD_CHECK(shmctl(readable.id(), IPC_STAT, &status) == 0);
        CHILD_CHECK(shmctl(readable.id(), IPC_SET, &status) == -1 && errno == EPERM);
        CHILD_CHECK(shmctl(readable.id(), IPC_RMID, nullptr) == -1 && errno == EPERM);
        CHILD_CHECK(shmctl(readable.id(), SHM_UNLOCK, nullptr) == -1 && errno == EPERM);
      }),
      ExitedWith(0));
}

TEST(Shm, OwnerChanges) {
  const Segment segment(kPage, 0600);
  shmid_ds status = Stat(segment.id());
  status.shm_perm.uid = 1000;
  status.shm_perm.gid = 1001;
  status.shm_perm.mode = 07666;
  EXPECT_THAT(shmctl(segment.id(), IPC_SET, &status), SyscallSucceeds());
  status = Stat(segment.id());
  EXPECT_EQ(status.shm_perm.uid, 1000u);
  EXPECT_EQ(status.shm_perm.gid, 1001u);
  EXPECT_EQ(status.shm_perm.cuid, 0u);
  EXPECT_EQ(status.shm_perm.mode, 0666);
  EXPECT_THAT(InChild([&] {
                BecomeUser(1000, 1000);
                shmid_ds mine;
                CHILD_CHECK(shmctl(segment.id(), IPC_STAT, &mine) == 0);
                mine.shm_perm.mode = 0400;
                CHILD_CHECK(shmctl(segment.id(), IPC_SET, &mine) == 0);
                CHILD_CHECK(shmat(segment.id(), nullptr, 0) == kFailed && errno == EACCES);
              }),
              ExitedWith(0));
  status.shm_perm.uid = uid_t(-1);
  EXPECT_THAT(shmctl(segment.id(), IPC_SET, &status), SyscallFailsWithErrno(EINVAL));
}

TEST(Shm, Locking) {
  const Segment segment(kPage);
  EXPECT_THAT(shmctl(segment.id(), SHM_LOCK, nullptr), SyscallSucceeds());
  EXPECT_EQ(Stat(segment.id()).shm_perm.mode, 0600 | SHM_LOCKED);
  EXPECT_THAT(shmctl(segment.id(), SHM_LOCK, nullptr), SyscallSucceeds());
  EXPECT_THAT(shmctl(segment.id(), SHM_UNLOCK, nullptr), SyscallSucceeds());
  EXPECT_EQ(Stat(segment.id()).shm_perm.mode, 0600);
}

TEST(Shm, LockingHasALimit) {
  EXPECT_THAT(InChild([] {
                const rlimit limit = {kPage, kPage};
                CHILD_CHECK(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
                BecomeUser(54321, 54321);
                const int small = shmget(IPC_PRIVATE, kPage, 0600),
                          large = shmget(IPC_PRIVATE, 2 * kPage, 0600);
                CHILD_CHECK(shmctl(large, SHM_LOCK, nullptr) == -1 && errno == ENOMEM);
                CHILD_CHECK(shmctl(small, SHM_LOCK, nullptr) == 0);
                CHILD_CHECK(shmctl(small, IPC_RMID, nullptr) == 0);
                CHILD_CHECK(shmctl(large, IPC_RMID, nullptr) == 0);
              }),
              ExitedWith(0));
}

TEST(Shm, InfoAndPlaces) {
  const Segment segment(3 * kPage - 5);
  char* const at = Attach(segment.id());
  at[0] = 1;
  shminfo limits = {};
  EXPECT_THAT(shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&limits)), SyscallSucceeds());
  EXPECT_EQ(limits.shmmin, 1u);
  EXPECT_EQ(std::to_string(limits.shmmax) + "\n", ReadFile("/proc/sys/kernel/shmmax"));
  EXPECT_EQ(std::to_string(limits.shmall) + "\n", ReadFile("/proc/sys/kernel/shmall"));
  EXPECT_EQ(std::to_string(limits.shmmni) + "\n", ReadFile("/proc/sys/kernel/shmmni"));
  EXPECT_EQ(limits.shmseg, limits.shmmni);
  shm_info usage = {};
  const int highest = shmctl(0, SHM_INFO, reinterpret_cast<shmid_ds*>(&usage));
  ASSERT_GE(highest, 0);
  EXPECT_GE(usage.used_ids, 1);
  EXPECT_GE(usage.shm_tot, 3u);
  EXPECT_GE(usage.shm_rss, 1u);
  bool found = false;
  for (int place = 0; place <= highest; ++place) {
    shmid_ds status;
    const int id = shmctl(place, SHM_STAT, &status);
    if (id != segment.id()) continue;
    found = true;
    EXPECT_EQ(status.shm_segsz, 3 * kPage - 5);
    EXPECT_THAT(shmctl(place, SHM_STAT_ANY, &status), SyscallSucceedsWithValue(id));
    EXPECT_THAT(InChild([&] {
                  BecomeUser(1000, 1000);
                  CHILD_CHECK(shmctl(place, SHM_STAT, &status) == -1 && errno == EACCES);
                  CHILD_CHECK(shmctl(place, SHM_STAT_ANY, &status) == id);
                }),
                ExitedWith(0));
  }
  EXPECT_TRUE(found);
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
}

TEST(Shm, ListedInProc) {
  const key_t key = FreshKey() + 2;
  const Segment segment(kPage + 1, 0604, key);
  char* const at = Attach(segment.id());
  bool found = false;
  for (const std::string& line : Split(ReadFile("/proc/sysvipc/shm"), '\n')) {
    int its_key, id;
    unsigned mode, owner, group;
    unsigned long size, attached;
    int creator, last;
    if (sscanf(line.c_str(), "%d %d %o %lu %d %d %lu %u %u", &its_key, &id, &mode, &size, &creator, &last,
               &attached, &owner, &group) != 9 ||
        id != segment.id())
      continue;
    found = true;
    EXPECT_EQ(its_key, key);
    EXPECT_EQ(mode, 0604u);
    EXPECT_EQ(size, kPage + 1);
    EXPECT_EQ(creator, getpid());
    EXPECT_EQ(last, getpid());
    EXPECT_EQ(attached, 1u);
    EXPECT_EQ(owner, 0u);
  }
  EXPECT_TRUE(found);
  char name[32];
  snprintf(name, sizeof name, "/SYSV%08x (deleted)", static_cast<unsigned>(key));
  EXPECT_THAT(ReadFile("/proc/self/maps"), testing::HasSubstr(name));
  EXPECT_THAT(shmdt(at), SyscallSucceeds());
}

TEST(Shm, BadControls) {
  const Segment segment(kPage);
  EXPECT_THAT(shmctl(segment.id(), 77, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmctl(segment.id(), -1, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmctl(-1, IPC_RMID, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmctl(segment.id() + 32768, IPC_RMID, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmctl(segment.id(), IPC_STAT, BadPointer<shmid_ds>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(shmctl(segment.id(), IPC_SET, BadPointer<shmid_ds>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(shmctl(segment.id(), IPC_INFO, BadPointer<shmid_ds>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Shm, AttachedByThreadsAtOnce) {
  const Segment segment(kPage);
  const auto work = [&] {
    for (int i = 0; i < 200; ++i) {
      char* const at = Attach(segment.id());
      at[1] = 1;
      EXPECT_THAT(shmdt(at), SyscallSucceeds());
    }
  };
  {
    const ScopedThread a(work), b(work);
  }
  EXPECT_EQ(Stat(segment.id()).shm_nattch, 0u);
}

}  // namespace
}  // namespace cloister::tests
