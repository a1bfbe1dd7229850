#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"

// credentials(7), capabilities(7): the setuid(2) family, setgroups(2), capget(2), prctl(2).
namespace cloister::tests {
namespace {

struct Caps {
  uint64_t effective, permitted, inheritable;
};

Caps Get() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2] = {};
  CHILD_CHECK(syscall(SYS_capget, &header, data) == 0);
  const auto join = [](uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; };
  return {.effective = join(data[0].effective, data[1].effective),
          .permitted = join(data[0].permitted, data[1].permitted),
          .inheritable = join(data[0].inheritable, data[1].inheritable)};
}

int Set(const Caps& caps) {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const auto half = [&](int shift) {
    return __user_cap_data_struct{.effective = static_cast<uint32_t>(caps.effective >> shift),
                                  .permitted = static_cast<uint32_t>(caps.permitted >> shift),
                                  .inheritable = static_cast<uint32_t>(caps.inheritable >> shift)};
  };
  const __user_cap_data_struct data[2] = {half(0), half(32)};
  return static_cast<int>(syscall(SYS_capset, &header, data));
}

constexpr uint64_t Bit(int capability) { return uint64_t{1} << capability; }

bool Uids(uid_t real, uid_t effective, uid_t saved) {
  uid_t r, e, s;
  return getresuid(&r, &e, &s) == 0 && r == real && e == effective && s == saved;
}

bool Gids(gid_t real, gid_t effective, gid_t saved) {
  gid_t r, e, s;
  return getresgid(&r, &e, &s) == 0 && r == real && e == effective && s == saved;
}

TEST(Uid, RootSetsAll) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setuid(1234) == 0 && Uids(1234, 1234, 1234));
                CHILD_CHECK(setuid(0) == -1 && errno == EPERM);
                CHILD_CHECK(Get().effective == 0 && Get().permitted == 0);
              }),
              ExitedWith(0));
}

TEST(Uid, EffectiveComesAndGoes) {
  EXPECT_THAT(InChild([] {
                const uint64_t all = Get().permitted;
                CHILD_CHECK(seteuid(1234) == 0 && Uids(0, 1234, 0));
                CHILD_CHECK(Get().effective == 0 && Get().permitted == all);
                CHILD_CHECK(setuid(777) == -1 && errno == EPERM);
                CHILD_CHECK(seteuid(0) == 0 && Get().effective == all);
              }),
              ExitedWith(0));
}

TEST(Uid, Reuid) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setreuid(10, 20) == 0 && Uids(10, 20, 20));
                CHILD_CHECK(setreuid(20, 10) == 0 && Uids(20, 10, 10));
                CHILD_CHECK(setreuid(-1, 30) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Uid, Resuid) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setresuid(1, 2, 3) == 0 && Uids(1, 2, 3));
                CHILD_CHECK(setresuid(3, 1, 2) == 0 && Uids(3, 1, 2));
                CHILD_CHECK(setresuid(-1, 3, -1) == 0 && Uids(3, 3, 2));
                CHILD_CHECK(setresuid(4, -1, -1) == -1 && errno == EPERM);
                CHILD_CHECK(syscall(SYS_getresuid, BadPointer(), BadPointer(), BadPointer()) == -1 &&
                            errno == EFAULT);
              }),
              ExitedWith(0));
}

TEST(Gid, Family) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setresgid(1, 2, 3) == 0 && Gids(1, 2, 3));
                CHILD_CHECK(setegid(5) == 0 && Gids(1, 5, 3));
                CHILD_CHECK(setregid(7, 8) == 0 && Gids(7, 8, 8));
                CHILD_CHECK(setgid(9) == 0 && Gids(9, 9, 9));
                CHILD_CHECK(setresuid(1234, 1234, 1234) == 0);
                CHILD_CHECK(setgid(10) == -1 && errno == EPERM);
                CHILD_CHECK(setgid(9) == 0);
              }),
              ExitedWith(0));
}

TEST(Groups, SetAndGet) {
  EXPECT_THAT(InChild([] {
                const std::vector<gid_t> groups = {30, 10, 20};
                CHILD_CHECK(setgroups(groups.size(), groups.data()) == 0);
                std::vector<gid_t> read(8);
                CHILD_CHECK(getgroups(0, nullptr) == 3);
                CHILD_CHECK(getgroups(8, read.data()) == 3);
                read.resize(3);
                std::sort(read.begin(), read.end());
                CHILD_CHECK(read == (std::vector<gid_t>{10, 20, 30}));
                CHILD_CHECK(getgroups(2, read.data()) == -1 && errno == EINVAL);
                CHILD_CHECK(syscall(SYS_setgroups, 65537, groups.data()) == -1 && errno == EINVAL);
                CHILD_CHECK(syscall(SYS_setgroups, 2, BadPointer()) == -1 && errno == EFAULT);
                const gid_t nobody[] = {7, static_cast<gid_t>(-1)};
                CHILD_CHECK(setgroups(2, nobody) == -1 && errno == EINVAL);
                CHILD_CHECK(getgroups(0, nullptr) == 3);
                CHILD_CHECK(setresuid(1234, 1234, 1234) == 0);
                CHILD_CHECK(setgroups(0, nullptr) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Groups, GiveAccess) {
  const TempDir dir;
  const std::string path = dir.WithFile("f", "x", 0640);
  ASSERT_THAT(chown(path.c_str(), 0, 4444), SyscallSucceeds());
  EXPECT_THAT(
      InChild([&] {
        const gid_t groups[] = {4444};
        CHILD_CHECK(setgroups(1, groups) == 0 && setresgid(1, 1, 1) == 0 && setresuid(1234, 1234, 1234) == 0);
        CHILD_CHECK(open(path.c_str(), O_RDONLY) >= 0);
      }),
      ExitedWith(0));
}

TEST(Fsuid, AnswersTheOldOne) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(setfsuid(1234) == 0);
                CHILD_CHECK(setfsuid(static_cast<uid_t>(-1)) == 1234);
                CHILD_CHECK(setfsgid(77) == 0 && setfsgid(static_cast<gid_t>(-1)) == 77);
                CHILD_CHECK(geteuid() == 0);
              }),
              ExitedWith(0));
}

TEST(Capabilities, DropAndKeepOut) {
  EXPECT_THAT(InChild([] {
                Caps caps = Get();
                CHILD_CHECK((caps.effective & Bit(CAP_CHOWN)) != 0);
                caps.effective &= ~Bit(CAP_CHOWN);
                CHILD_CHECK(Set(caps) == 0 && (Get().effective & Bit(CAP_CHOWN)) == 0);
                const TempDir dir;
                const std::string path = dir.WithFile("f");
                CHILD_CHECK(chown(path.c_str(), 5, 5) == -1 && errno == EPERM);
                caps.effective |= Bit(CAP_CHOWN);
                CHILD_CHECK(Set(caps) == 0 && chown(path.c_str(), 5, 5) == 0);
                caps.effective &= ~Bit(CAP_CHOWN);
                caps.permitted &= ~Bit(CAP_CHOWN);
                CHILD_CHECK(Set(caps) == 0);
                caps.permitted |= Bit(CAP_CHOWN);
                CHILD_CHECK(Set(caps) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Capabilities, VersionsAndErrors) {
  EXPECT_THAT(InChild([] {
                __user_cap_header_struct header = {.version = 0, .pid = 0};
                CHILD_CHECK(syscall(SYS_capget, &header, nullptr) == 0);
                CHILD_CHECK(header.version == _LINUX_CAPABILITY_VERSION_3);
                __user_cap_data_struct data[2];
                header.version = 5;
                CHILD_CHECK(syscall(SYS_capget, &header, data) == -1 && errno == EINVAL);
                header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = -1};
                CHILD_CHECK(syscall(SYS_capget, &header, data) == -1 && errno == EINVAL);
                header.pid = 1 << 22;
                CHILD_CHECK(syscall(SYS_capget, &header, data) == -1 && errno == ESRCH);
                header.pid = getppid();
                CHILD_CHECK(syscall(SYS_capset, &header, data) == -1 && errno == EPERM);
                CHILD_CHECK(syscall(SYS_capget, BadPointer(), data) == -1 && errno == EFAULT);
              }),
              ExitedWith(0));
}

TEST(Capabilities, KeepcapsKeepsThePermitted) {
  EXPECT_THAT(InChild([] {
                const uint64_t all = Get().permitted;
                CHILD_CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0 && prctl(PR_GET_KEEPCAPS) == 1);
                CHILD_CHECK(setresuid(1234, 1234, 1234) == 0);
                CHILD_CHECK(Get().permitted == all && Get().effective == 0);
                Caps caps = Get();
                caps.effective = Bit(CAP_SETUID);
                CHILD_CHECK(Set(caps) == 0 && setresuid(0, 0, 0) == 0);
              }),
              ExitedWith(0));
}

TEST(Capabilities, BoundingSet) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(prctl(PR_CAPBSET_READ, CAP_CHOWN) == 1);
                CHILD_CHECK(prctl(PR_CAPBSET_DROP, CAP_CHOWN) == 0 && prctl(PR_CAPBSET_READ, CAP_CHOWN) == 0);
                CHILD_CHECK(prctl(PR_CAPBSET_READ, 1000) == -1 && errno == EINVAL);
                CHILD_CHECK((Get().effective & Bit(CAP_CHOWN)) != 0);  // until the next exec
                BecomeUser(1234, 1234);
                CHILD_CHECK(prctl(PR_CAPBSET_DROP, CAP_SETUID) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Capabilities, AmbientSet) {
  EXPECT_THAT(
      InChild([] {
        CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 0);
        CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == -1 && errno == EPERM);
        Caps caps = Get();
        caps.inheritable |= Bit(CAP_CHOWN);
        CHILD_CHECK(Set(caps) == 0);
        CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_CHOWN, 0, 0) == 0);
        CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 1);
        CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0);
        CHILD_CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_CHOWN, 0, 0) == 0);
      }),
      ExitedWith(0));
}

TEST(Securebits, NoSetuidFixup) {
  EXPECT_THAT(
      InChild([] {
        const uint64_t all = Get().effective;
        CHILD_CHECK(prctl(PR_GET_SECUREBITS) == 0);
        CHILD_CHECK(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP | SECBIT_NO_SETUID_FIXUP_LOCKED) == 0);
        CHILD_CHECK(setresuid(1234, 1234, 1234) == 0 && Get().effective == all);
        CHILD_CHECK(prctl(PR_SET_SECUREBITS, 0) == -1 && errno == EPERM);
      }),
      ExitedWith(0));
}

TEST(NoNewPrivs, OneWay) {
  EXPECT_THAT(InChild([] {
                CHILD_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0);
                CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
                CHILD_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
                CHILD_CHECK(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) == -1 && errno == EINVAL);
                CHILD_CHECK(InChild([] { CHILD_CHECK(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1); }) == 0);
              }),
              ExitedWith(0));
}

TEST(Override, RootPassesFilePermissions) {
  const TempDir dir;
  const std::string path = dir.WithFile("f", "x", 0);
  ASSERT_THAT(chown(path.c_str(), 1234, 1234), SyscallSucceeds());
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(close(open(path.c_str(), O_RDWR)) == 0);
                Caps caps = Get();
                caps.effective &= ~(Bit(CAP_DAC_OVERRIDE) | Bit(CAP_DAC_READ_SEARCH));
                CHILD_CHECK(Set(caps) == 0);
                CHILD_CHECK(open(path.c_str(), O_RDONLY) == -1 && errno == EACCES);
                caps.effective |= Bit(CAP_DAC_READ_SEARCH);
                CHILD_CHECK(Set(caps) == 0 && close(open(path.c_str(), O_RDONLY)) == 0);
                CHILD_CHECK(open(path.c_str(), O_WRONLY) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests
