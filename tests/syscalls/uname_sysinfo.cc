#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"

// uname(2), sethostname(2), sysinfo(2), sysconf(3).
namespace cloister::tests {
namespace {

TEST(Uname, Fields) {
  utsname names;
  ASSERT_THAT(uname(&names), SyscallSucceeds());
  EXPECT_STREQ(names.sysname, "Linux");
  EXPECT_STREQ(names.machine, "x86_64");
  int major = 0, minor = 0;
  ASSERT_GE(sscanf(names.release, "%d.%d", &major, &minor), 2);
  EXPECT_GE(major, 5);
  EXPECT_EQ(ReadFile("/proc/sys/kernel/osrelease"), std::string(names.release) + "\n");
  EXPECT_EQ(ReadFile("/proc/sys/kernel/hostname"), std::string(names.nodename) + "\n");
  EXPECT_THAT(uname(BadPointer<utsname>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Uname, HostnameAgrees) {
  utsname names;
  char host[256] = {};
  ASSERT_THAT(uname(&names), SyscallSucceeds());
  ASSERT_THAT(gethostname(host, sizeof host), SyscallSucceeds());
  EXPECT_STREQ(names.nodename, host);
}

TEST(Uname, SettingNeedsPrivilege) {
  EXPECT_THAT(InChild([] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(sethostname("x", 1) == -1 && errno == EPERM);
                CHILD_CHECK(setdomainname("x", 1) == -1 && errno == EPERM);
              }),
              ExitedWith(0));
}

TEST(Sysinfo, Fields) {
  struct sysinfo info;
  ASSERT_THAT(sysinfo(&info), SyscallSucceeds());
  EXPECT_GT(info.uptime, 0);
  EXPECT_GT(info.totalram, 0u);
  EXPECT_GE(info.totalram, info.freeram);
  EXPECT_GT(info.procs, 0);
  EXPECT_GT(info.mem_unit, 0u);
  EXPECT_THAT(sysinfo(BadPointer<struct sysinfo>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Sysinfo, AgreesWithProc) {
  struct sysinfo info;
  ASSERT_THAT(sysinfo(&info), SyscallSucceeds());
  double up = 0;
  ASSERT_EQ(sscanf(ReadFile("/proc/uptime").c_str(), "%lf", &up), 1);
  EXPECT_NEAR(up, static_cast<double>(info.uptime), 3);
  unsigned long total = 0;
  ASSERT_EQ(sscanf(ReadFile("/proc/meminfo").c_str(), "MemTotal: %lu", &total), 1);
  EXPECT_EQ(total, info.totalram * info.mem_unit / 1024);
}

TEST(Sysconf, Values) {
  EXPECT_EQ(sysconf(_SC_PAGESIZE), 4096);
  EXPECT_EQ(sysconf(_SC_CLK_TCK), 100);
  EXPECT_GE(sysconf(_SC_NPROCESSORS_CONF), sysconf(_SC_NPROCESSORS_ONLN));
  EXPECT_GE(sysconf(_SC_NPROCESSORS_ONLN), 1);
  EXPECT_GT(sysconf(_SC_PHYS_PAGES), sysconf(_SC_AVPHYS_PAGES));
}

}  // namespace
}  // namespace cloister::tests
