#include "sentry/fs/proc/proc_fs.h"

#include <algorithm>

#include "sentry/fs/proc/proc_fixture.h"

namespace cloister::proc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;
using tmp::FailsWith;
using tmp::Succeeds;

class ProcFsTest : public ProcTest {};

TEST_F(ProcFsTest, ListsProcessesBehindItsFiles) {
  const std::vector<std::string> names = List("/proc");
  EXPECT_THAT(names, IsSupersetOf({std::string("self"), std::string("meminfo"), std::string("sys"),
                                   std::to_string(one_->pid()), std::to_string(other_->pid())}));
  EXPECT_EQ(names.back(), std::to_string(other_->pid()));
  EXPECT_EQ(std::count(names.begin(), names.end(), std::to_string(one_->pid())), 1);
}

TEST_F(ProcFsTest, ListingGoesOnWhereItStopped) {
  const auto file = Open(root, "/proc", O_RDONLY | O_DIRECTORY).value();
  std::vector<std::string> names;
  size_t before;
  do {  // two entries at a time
    before = names.size();
    EXPECT_THAT(file->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      if (names.size() == before + 2) return false;
      names.emplace_back(entry.name);
      return true;
    }),
                Succeeds());
  } while (names.size() > before);
  EXPECT_EQ(names, List("/proc"));
}

TEST_F(ProcFsTest, SelfIsWhoAsks) {
  EXPECT_EQ(*LinkText(root, "/proc/self"), std::to_string(one_->pid()));
  AskAs(*other_);
  EXPECT_EQ(*LinkText(user, "/proc/self"), std::to_string(other_->pid()));
  EXPECT_EQ(*LinkText(user, "/proc/thread-self"),
            std::to_string(other_->pid()) + "/task/" + std::to_string(other_->pid()));
  EXPECT_EQ(Contents("/proc/mounts"), Contents("/proc/self/mounts"));
}

TEST_F(ProcFsTest, NamesAreNumbersWithoutOrnament) {
  for (const char* name : {"/proc/0", "/proc/01", "/proc/+1", "/proc/-1", "/proc/1x", "/proc/30000",
                           "/proc/99999999999", "/proc/nothing"})
    EXPECT_THAT(Find(root, name), FailsWith(Errno::kNoEnt)) << name;
}

TEST_F(ProcFsTest, NothingIsMadeOrRemoved) {
  EXPECT_THAT(Mkdir(root, "/proc/new"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Open(root, "/proc/self/new", O_CREAT | O_RDWR), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Mkdir(root, "/proc/sys/new"), FailsWith(Errno::kPerm));
  EXPECT_THAT(Remove(root, "/proc/self/status"), FailsWith(Errno::kPerm));
  EXPECT_THAT(vfs::ChangeMode(root, At("/proc/meminfo"), 0777), FailsWith(Errno::kPerm));
}

TEST_F(ProcFsTest, OptionsThatAreNotKnown) {
  EXPECT_THAT(MakeProc(*kernel_, ""), Succeeds());
  EXPECT_THAT(MakeProc(*kernel_, "hidepid=0,gid=5"), Succeeds());
  EXPECT_THAT(MakeProc(*kernel_, "hidepid=2"), FailsWith(Errno::kInval));
  EXPECT_THAT(MakeProc(*kernel_, "gid=x"), FailsWith(Errno::kInval));
  EXPECT_THAT(MakeProc(*kernel_, "newinstance"), FailsWith(Errno::kInval));
}

TEST_F(ProcFsTest, MemoryIsTheMachines) {
  const std::vector<std::string> lines = Words(Contents("/proc/meminfo"), '\n');
  EXPECT_EQ(lines[0], "MemTotal:        1048576 kB");
  EXPECT_THAT(lines[1], StartsWith("MemFree:         10"));
  EXPECT_THAT(lines, Contains("SwapTotal:             0 kB"));
}

TEST_F(ProcFsTest, ProcessorsAreTheMachines) {
  const std::string text = Contents("/proc/cpuinfo");
  EXPECT_THAT(text, AllOf(HasSubstr("processor\t: 3\n"), Not(HasSubstr("processor\t: 4\n")),
                          HasSubstr("model name\t: Model\n"), HasSubstr("flags\t\t: fpu sse\n"),
                          HasSubstr("cpu MHz\t\t: 2000.000\n"), HasSubstr("bogomips\t: 4000.00\n")));
  const std::vector<std::string> lines = Words(Contents("/proc/stat"), '\n');
  EXPECT_THAT(lines[0], StartsWith("cpu  "));
  EXPECT_THAT(lines[4], StartsWith("cpu3 "));
  EXPECT_THAT(lines[5], StartsWith("intr "));
  EXPECT_THAT(lines,
              Contains(StartsWith("btime " + std::to_string(kernel_->boot_realtime_ns() / 1'000'000'000))));
}

TEST_F(ProcFsTest, TimesSinceBoot) {
  double up = 0, idle = 0;
  ASSERT_EQ(sscanf(Contents("/proc/uptime").c_str(), "%lf %lf\n", &up, &idle), 2);
  EXPECT_GE(idle, 0);
  double loads[3];
  int running = 0, all = 0, newest = 0;
  ASSERT_EQ(sscanf(Contents("/proc/loadavg").c_str(), "%lf %lf %lf %d/%d %d\n", &loads[0], &loads[1],
                   &loads[2], &running, &all, &newest),
            6);
  EXPECT_EQ(all, 2);
  EXPECT_EQ(newest, other_->pid());
}

TEST_F(ProcFsTest, SaysNothingOfTheHost) {
  EXPECT_THAT(Contents("/proc/version"), StartsWith("Linux version 6.6.0-cloister "));
  EXPECT_EQ(Contents("/proc/sys/kernel/osrelease"), "6.6.0-cloister\n");
  EXPECT_EQ(Contents("/proc/partitions"), "");
  EXPECT_EQ(Contents("/proc/modules"), "");
  EXPECT_THAT(Contents("/proc/filesystems"), HasSubstr("nodev\tproc\n"));
  EXPECT_EQ(Contents("/proc/sys/kernel/random/boot_id"), "00000000-0000-0000-0000-000000000000\n");
}

TEST_F(ProcFsTest, HostnameIsWrittenByAdministrators) {
  EXPECT_EQ(Contents("/proc/sys/kernel/hostname"), "box\n");
  EXPECT_THAT(WriteTo(root, "/proc/sys/kernel/hostname", "other\nrest"), Succeeds());
  EXPECT_EQ(kernel_->hostname(), "other");
  EXPECT_THAT(WriteTo(user, "/proc/sys/kernel/hostname", "x"), FailsWith(Errno::kAcces));
  auth::Credentials weak = *root.cred;
  weak.effective = weak.effective.Without(auth::CapSet::Of(CAP_SYS_ADMIN));
  const vfs::Caller caller = CallerOf(std::make_shared<const auth::Credentials>(weak));
  EXPECT_THAT(WriteTo(caller, "/proc/sys/kernel/hostname", "x"), FailsWith(Errno::kPerm));
  EXPECT_EQ(Contents("/proc/sys/kernel/domainname"), "(none)\n");
  EXPECT_THAT(WriteTo(root, "/proc/sys/kernel/domainname", std::string(200, 'd')), Succeeds());
  EXPECT_EQ(kernel_->domainname(), std::string(64, 'd'));
}

TEST_F(ProcFsTest, SysctlsThatCannotBeWritten) {
  EXPECT_THAT(WriteTo(root, "/proc/sys/kernel/pid_max", "10"), FailsWith(Errno::kAcces));
  EXPECT_EQ(Contents("/proc/sys/kernel/pid_max"), "32768\n");
  EXPECT_EQ(Contents("/proc/sys/kernel/cap_last_cap"), std::to_string(CAP_LAST_CAP) + "\n");
  EXPECT_EQ(Contents("/proc/sys/net/ipv4/ip_local_port_range"), "32768\t60999\n");
  EXPECT_EQ(Contents("/proc/sys/vm/max_map_count"), "65530\n");
}

TEST_F(ProcFsTest, UuidsAreRandom) {
  const std::string one = Contents("/proc/sys/kernel/random/uuid");
  EXPECT_EQ(one.size(), 37u);
  EXPECT_EQ(one[14], '4');
  EXPECT_NE(one, Contents("/proc/sys/kernel/random/uuid"));
}

}  // namespace
}  // namespace cloister::proc
