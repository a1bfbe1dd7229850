#include "sentry/fs/sys/sys_fs.h"

#include <linux/magic.h>

#include "absl/strings/str_cat.h"
#include "sentry/fs/kernfs/tree.h"
#include "sentry/fs/sys/cpu.h"
#include "sentry/fs/sys/net_class.h"
#include "sentry/fs/sys/sys_nodes.h"

namespace cloister::sys {
namespace {

void FillDevices(task::Kernel& kernel, Folder& devices) {
  devices.AddFolder("system", [&kernel](Folder& system) {
    system.AddFolder("cpu", [&kernel](Folder& cpus) { FillCpus(kernel.machine(), cpus); });
    system.AddFolder("node", [&kernel](Folder& nodes) { FillNodes(kernel, nodes); });
  });
  devices.AddFolder("virtual", [](Folder& made_up) {
    made_up.Add("net", MakeRef<NetDirectory>(made_up.owner(), NetDirectory::Shows::kDevices));
  });
}

void FillClass(Folder& classes) {
  for (const char* empty : {"block", "graphics", "input", "mem", "misc", "tty"}) classes.AddFolder(empty);
  classes.Add("net", MakeRef<NetDirectory>(classes.owner(), NetDirectory::Shows::kLinks));
}

// hwloc asks here first.
void FillBus(const task::Machine& machine, Folder& buses) {
  buses.AddFolder("cpu", [&machine](Folder& bus) {
    bus.AddFolder("devices", [&machine](Folder& devices) {
      for (uint32_t cpu = 0; cpu < machine.cpus; ++cpu)
        devices.AddLink(absl::StrCat("cpu", cpu), absl::StrCat("../../../devices/system/cpu/cpu", cpu));
    });
    bus.AddFolder("drivers");
  });
  buses.AddFolder("node", [](Folder& bus) {
    bus.AddFolder("devices",
                  [](Folder& devices) { devices.AddLink("node0", "../../../devices/system/node/node0"); });
    bus.AddFolder("drivers");
  });
}

void FillHugePages(Folder& folder) {
  folder.AddText("enabled", "always [madvise] never");
  folder.AddText("defrag", "always defer defer+madvise [madvise] never");
  folder.AddText("shmem_enabled", "always within_size advise [never] deny force");
  folder.AddText("hpage_pmd_size", "2097152");
  folder.AddText("use_zero_page", "1");
}

void FillKernel(Folder& folder) {
  folder.AddFolder("mm", [](Folder& mm) {
    mm.AddFolder("transparent_hugepage", FillHugePages);
    mm.AddFolder("hugepages");  // none of any size
  });
  folder.AddFolder("security");
  folder.AddFolder("debug");
  folder.AddFolder("tracing");
}

void FillRoot(task::Kernel& kernel, Folder& root) {
  root.AddFolder("block");
  root.AddFolder("bus", [&kernel](Folder& buses) { FillBus(kernel.machine(), buses); });
  root.AddFolder("class", FillClass);
  root.AddFolder("dev", [](Folder& dev) {
    dev.AddFolder("block");
    dev.AddFolder("char");
  });
  root.AddFolder("devices", [&kernel](Folder& devices) { FillDevices(kernel, devices); });
  root.AddFolder("firmware");
  root.AddFolder("fs", [](Folder& fs) { fs.AddFolder("cgroup"); });
  root.AddFolder("kernel", FillKernel);
  root.AddFolder("module");
  root.AddFolder("power");
}

}  // namespace

kernfs::Mountable MakeSys(task::Kernel& kernel) {
  auto tree = MakeRef<kernfs::Tree>("sysfs", SYSFS_MAGIC);
  auto root = MakeRef<Folder>(tree, [&kernel](Folder& folder) { FillRoot(kernel, folder); }, mode_t{0555});
  return {tree, root};
}

}  // namespace cloister::sys
