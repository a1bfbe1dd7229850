#include "sentry/fs/sys/sys_fs.h"

#include <algorithm>

#include "platform/inproc/inproc.h"
#include "sentry/fs/sys/cpu.h"
#include "sentry/fs/tmp/vfs_fixture.h"
#include "sentry/net/socket/net_namespace.h"
#include "sentry/net/socket/socket.h"

namespace cloister::sys {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using tmp::FailsWith;
using tmp::Succeeds;

// A stack with a loopback device alone.
class LoopbackOnly final : public net::Stack {
 public:
  ErrnoOr<Ref<net::Socket>> MakeSocket(const net::SocketRequest&, Ref<net::NetNamespace>) override {
    return Errno::kAfNoSupport;
  }
  ErrnoOr<std::vector<net::Interface>> Interfaces() override {
    net::Interface lo;
    lo.index = 1;
    lo.name = "lo";
    lo.flags = 0x49;
    lo.mtu = 65536;
    lo.type = 772;
    return std::vector<net::Interface>{lo};
  }
  ErrnoOr<Messages> RouteDump(uint16_t, uint8_t) override { return Messages(); }
};

class SysFsTest : public tmp::VfsTest {
 protected:
  SysFsTest() { Boot(Machine()); }

  static task::Machine Machine() {
    task::Machine machine;
    machine.cpus = 4;
    machine.total_memory = uint64_t{2} << 30;
    machine.cpu_vendor = "GenuineIntel";
    machine.cpu_cache_kb = 16384;
    return machine;
  }
  void Boot(task::Machine machine) {
    kernel = std::make_unique<task::Kernel>(std::make_unique<inproc::Inproc>(), std::move(machine), nullptr);
    const kernfs::Mountable sys = MakeSys(*kernel);
    mounts = MakeRef<vfs::MountNamespace>(
        MakeRef<vfs::Mount>(sys.fs, vfs::Dentry::MakeRoot(sys.root), 0, std::string("sysfs")));
    root = CallerOf(auth::Credentials::Root());
    user = CallerOf(user.cred);
  }

  std::unique_ptr<task::Kernel> kernel;
};

TEST(CpuMaps, AreShownAsLinuxShowsThem) {
  EXPECT_EQ(CpuMap(0, 2, 2), "3");
  EXPECT_EQ(CpuMap(1, 2, 6), "02");
  EXPECT_EQ(CpuMap(0, 40, 40), "ff,ffffffff");
  EXPECT_EQ(CpuMap(0, 1, 64), "00000000,00000001");
  EXPECT_EQ(CpuList(1), "0");
  EXPECT_EQ(CpuList(40), "0-39");
}

TEST_F(SysFsTest, CpusAreTheMachines) {
  EXPECT_EQ(Contents("/devices/system/cpu/online"), "0-3\n");
  EXPECT_EQ(Contents("/devices/system/cpu/possible"), "0-3\n");
  EXPECT_EQ(Contents("/devices/system/cpu/offline"), "\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu2/topology/core_id"), "2\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu2/topology/thread_siblings_list"), "2\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu2/topology/core_siblings_list"), "0-3\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu2/topology/core_siblings"), "f\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu2/node0/cpulist"), "0-3\n");
  EXPECT_EQ(Contents("/bus/cpu/devices/cpu3/online"), "1\n");
  EXPECT_THAT(Find(root, "/devices/system/cpu/cpu4"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/devices/system/cpu/cpu0/online"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(List("/devices/system/cpu/cpu0/cache"),
              ElementsAre(".", "..", "index0", "index1", "index2", "index3"));
  EXPECT_EQ(Contents("/devices/system/cpu/cpu0/cache/index3/size"), "16384K\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu0/cache/index3/shared_cpu_list"), "0-3\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu0/cache/index0/type"), "Data\n");
}

TEST_F(SysFsTest, AmdTellsItsSecondLevel) {
  task::Machine machine = Machine();
  machine.cpu_vendor = "AuthenticAMD";
  machine.cpu_cache_kb = 512;
  Boot(machine);
  EXPECT_EQ(Contents("/devices/system/cpu/cpu1/cache/index2/size"), "512K\n");
  EXPECT_EQ(Contents("/devices/system/cpu/cpu1/cache/index2/number_of_sets"), "1024\n");
  EXPECT_THAT(Find(root, "/devices/system/cpu/cpu1/cache/index3"), FailsWith(Errno::kNoEnt));
}

TEST_F(SysFsTest, OneNodeHasItAll) {
  EXPECT_EQ(Contents("/devices/system/node/online"), "0\n");
  EXPECT_THAT(Contents("/devices/system/node/node0/meminfo"),
              HasSubstr("Node 0 MemTotal:        2097152 kB\n"));
  EXPECT_EQ(Contents("/devices/system/node/node0/cpu1/topology/core_id"), "1\n");
}

TEST_F(SysFsTest, FilesAreAPageAndRefuseWrites) {
  const struct statx attr = Stat("/kernel/mm/transparent_hugepage/enabled");
  EXPECT_EQ(attr.stx_size, 4096u);
  EXPECT_EQ(attr.stx_mode, S_IFREG | 0444);
  const auto file = Open(root, "/kernel/mm/transparent_hugepage/enabled", O_WRONLY);
  ASSERT_THAT(file, Succeeds());
  EXPECT_THAT(Write(**file, "always"), FailsWith(Errno::kIo));
  EXPECT_THAT(Open(user, "/power", O_RDONLY), Succeeds());
  EXPECT_THAT(Mkdir(root, "/fs/cgroup/new"), FailsWith(Errno::kPerm));
}

TEST_F(SysFsTest, NothingOfTheHostIsListed) {
  EXPECT_THAT(List("/"), ElementsAre(".", "..", "block", "bus", "class", "dev", "devices", "firmware", "fs",
                                     "kernel", "module", "power"));
  for (const char* empty :
       {"/block", "/class/tty", "/dev/char", "/firmware", "/fs/cgroup", "/module", "/power"})
    EXPECT_THAT(List(empty), ElementsAre(".", "..")) << empty;
}

TEST_F(SysFsTest, InterfacesAreTheStacks) {
  EXPECT_THAT(List("/class/net"), Not(Contains("lo")));
  net::NetNamespace::Install(MakeRef<net::NetNamespace>(MakeRef<LoopbackOnly>()));
  EXPECT_THAT(List("/class/net"), ElementsAre(".", "..", "lo"));
  EXPECT_EQ(Contents("/class/net/lo/mtu"), "65536\n");
  EXPECT_EQ(Contents("/devices/virtual/net/lo/address"), "00:00:00:00:00:00\n");
  EXPECT_THAT(Find(root, "/class/net/eth0"), FailsWith(Errno::kNoEnt));
}

}  // namespace
}  // namespace cloister::sys
