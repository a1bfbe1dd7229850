#include "sentry/boot/file_systems.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/error/status.h"
#include "sentry/boot/terminal.h"
#include "sentry/fs/cgroup/cgroup_fs.h"
#include "sentry/fs/dev/memory_devices.h"
#include "sentry/fs/mqueue/mqueue_fs.h"
#include "sentry/fs/overlay/overlay_fs.h"
#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/fs/proc/proc_fs.h"
#include "sentry/fs/sys/sys_fs.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/vfs/file_system_types.h"

namespace cloister::boot {
namespace {

bool CallerIsInterrupted() {
  const task::Task* const task = task::CurrentTask::Get();
  return task != nullptr && task->interrupted();
}

cgroup::Limits LimitsOf(const control::Container& container) {
  cgroup::Limits limits;
  if (container.memory_limit() != 0) limits.memory = container.memory_limit();
  return limits;
}

// The queues of whoever mounts them.
ErrnoOr<Ref<vfs::Mount>> MountQueues(const vfs::NewMount& request) {
  const task::Task* const task = task::CurrentTask::Get();
  if (task == nullptr || !request.options.empty()) return Errno::kInval;
  return mqueue::MountMqueue(task->ipc(), request.flags, std::string(request.source));
}

}  // namespace

absl::StatusOr<kernfs::Mountable> MakeFileSystem(task::Kernel& kernel, const control::Container& container,
                                                 const control::Mount& mount) {
  const std::string& type = mount.type();
  if (type == "proc") {
    const std::string options = absl::StrJoin(mount.options(), ",");
    ErrnoOr<kernfs::Mountable> made = proc::MakeProc(kernel, options);
    if (!made.ok()) return ToStatus(made.error(), options);
    return *std::move(made);
  }
  if (type == "sysfs") return sys::MakeSys(kernel);
  if (type == "devpts") return MountDevPts(kernel, container.id(), mount);
  if (type == "cgroup" || type == "cgroup2") return cgroup::MakeCgroup2(kernel, LimitsOf(container));
  return absl::InvalidArgumentError(absl::StrCat("unknown file system type \"", type, "\""));
}

absl::StatusOr<kernfs::Mountable> OverlayOver(task::Kernel& kernel, kernfs::Mountable lower) {
  tmp::TmpOptions options = tmp::TmpOptions::DefaultsFor(kernel.machine().total_memory);
  options.mode = 0755;
  const Ref<vfs::Mount> upper = tmp::MountTmp(options, 0);
  ErrnoOr<overlay::Layer> made = overlay::Make({std::move(lower.fs), std::move(lower.root)},
                                               {Ref<vfs::FileSystem>(&upper->fs()), upper->root()->inode()});
  if (!made.ok()) return ToStatus(made.error(), "overlay");
  return kernfs::Mountable{std::move(made->fs), std::move(made->root)};
}

void RegisterMountTypes(task::Kernel& kernel, const control::Container& container) {
  vfs::FileSystemTypes::Get().Register("mqueue", MountQueues);
  for (const char* type : {"proc", "sysfs", "devpts", "cgroup", "cgroup2"}) {
    vfs::FileSystemTypes::Get().Register(
        type, [&kernel, container, type](const vfs::NewMount& request) -> ErrnoOr<Ref<vfs::Mount>> {
          const task::Task* const task = task::CurrentTask::Get();
          if (task == nullptr) return Errno::kInval;
          control::Container own = container;
          own.set_id(task->group().container_id);
          control::Mount mount;
          mount.set_type(type);
          if (!request.options.empty()) mount.add_options(std::string(request.options));
          const absl::StatusOr<kernfs::Mountable> made = MakeFileSystem(kernel, own, mount);
          if (!made.ok()) return Errno::kInval;
          return MakeRef<vfs::Mount>(made->fs, vfs::Dentry::MakeRoot(made->root), request.flags,
                                     std::string(request.source));
        });
  }
}

void RegisterSpecialFiles() {
  pipe::ServeFifos();
  dev::RegisterMemoryDevices(CallerIsInterrupted);
}

}  // namespace cloister::boot
