#include "sentry/fs/proc/proc_fs.h"

#include <dirent.h>
#include <linux/magic.h>

#include <memory>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/fs/kernfs/link.h"
#include "sentry/fs/kernfs/text_file.h"
#include "sentry/fs/proc/ipc_text.h"
#include "sentry/fs/proc/pid_directory.h"
#include "sentry/fs/proc/subject_nodes.h"
#include "sentry/fs/proc/sys_tree.h"
#include "sentry/fs/proc/system_text.h"
#include "sentry/task/current.h"
#include "sentry/vfs/caller.h"

namespace cloister::proc {
namespace {

constexpr int64_t kFirstPidCookie = 4096;  // behind every fixed entry

// /proc/self and /proc/thread-self.
class SelfLink final : public kernfs::LinkBase {
 public:
  SelfLink(Ref<kernfs::Tree> tree, bool thread) : LinkBase(std::move(tree)), thread_(thread) {}

  ErrnoOr<std::string> Readlink(const vfs::Caller& caller) override {
    const task::Task* const asking = task::CurrentTask::Get();
    const pid_t pid = asking != nullptr ? asking->pid() : caller.thread_group;
    if (pid == 0) return Errno::kNoEnt;
    if (!thread_) return absl::StrCat(pid);
    return absl::StrCat(pid, "/task/", asking != nullptr ? asking->tid() : pid);
  }

 private:
  const bool thread_;
};

// The root: fixed names, then a directory for each process.
class RootDirectory final : public NothingIsMade<kernfs::StaticDirectory> {
 public:
  RootDirectory(Ref<kernfs::Tree> tree, task::Kernel& kernel)
      : NothingIsMade(std::move(tree), kernfs::NodeSpec{.mode = 0555, .links = 2, .inode = 1}),
        kernel_(kernel) {}

  Cache cache() const override { return Cache::kRevalidate; }

  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override {
    const std::optional<pid_t> pid = ParsePid(name);
    if (!pid) return StaticDirectory::Lookup(name);
    if (const Ref<task::ThreadGroup> group = kernel_.FindGroup(*pid))
      return MakePidDirectory(tree_ref(), Subject::OfProcess(group));
    // proc(5): threads that are no leaders are found, not listed.
    if (Ref<task::Task> task = kernel_.FindTask(*pid))
      return MakePidDirectory(tree_ref(), Subject::OfThread(std::move(task)));
    return Errno::kNoEnt;
  }

  ErrnoOr<Ref<vfs::Inode>> Revalidate(std::string_view name, const Ref<vfs::Inode>& cached) override {
    if (!ParsePid(name)) {
      if (cached) return cached;
    } else if (cached && IsLivePidDirectory(*cached)) {
      return cached;
    }
    return Lookup(name);
  }

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    bool more = true;
    const auto emit_fixed = [&](const Entry& entry) {
      more = emit(entry);
      return more;
    };
    if (from < kFirstPidCookie) TRY_VOID(StaticDirectory::Emit(from, emit_fixed));
    if (!more) return {};
    for (const Ref<task::ThreadGroup>& group : kernel_.Groups()) {
      const int64_t cookie = kFirstPidCookie + group->pid();
      if (cookie < from) continue;
      const uint64_t number = Subject::OfProcess(group).InodeNumber(Subject::Section::kFiles, 0);
      const std::string name = absl::StrCat(group->pid());
      if (!emit({number, DT_DIR, name, cookie + 1})) break;
    }
    return {};
  }

 private:
  task::Kernel& kernel_;
};

constexpr const char* kFileSystems =
    "nodev\tsysfs\nnodev\ttmpfs\nnodev\tproc\nnodev\tcgroup2\nnodev\tdevpts\nnodev\tmqueue\n"
    "nodev\tsockfs\nnodev\tpipefs\nnodev\toverlay\n";
constexpr const char* kDevices =
    "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n";

void AddSystemFiles(const Ref<kernfs::Tree>& tree, RootDirectory& root, task::Kernel& kernel) {
  const auto system = std::make_shared<System>(kernel);
  const auto add = [&](const char* name, auto text) {
    root.Add(name, kernfs::MakeText(tree, 0444, [system, text] { return ((*system).*text)(); }));
  };
  add("meminfo", &System::MemInfo);
  add("cpuinfo", &System::CpuInfo);
  add("stat", &System::Stat);
  add("uptime", &System::Uptime);
  add("loadavg", &System::LoadAverage);
  add("vmstat", &System::VmStat);
  add("interrupts", &System::Interrupts);
  add("softirqs", &System::SoftInterrupts);
}

void AddFixedFiles(RootDirectory& root) {
  root.Text("version", absl::StrCat(task::Machine::kSysname, " version ", task::Machine::kRelease,
                                    " (root@cloister) (g++) ", task::Machine::kVersion, "\n"));
  root.Text("cmdline", "quiet\n");
  root.Text("filesystems", kFileSystems);
  root.Text("devices", kDevices);
  root.Text("swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
  for (const char* empty : {"partitions", "diskstats", "modules", "key-users", "keys", "locks", "mdstat"})
    root.Text(empty, "");
  root.Text("consoles", "");
  root.Text("misc", "");
  root.Text("cgroups", "#subsys_name\thierarchy\tnum_cgroups\tenabled\n");
  root.Text("buddyinfo", "");
  root.AddLink("mounts", "self/mounts");
  root.AddLink("net", "self/net");
  for (const char* empty : {"bus", "driver", "fs", "irq", "tty"}) root.Dir(empty);
}

}  // namespace

kernfs::Mountable MakeProc(task::Kernel& kernel) {
  auto tree = MakeRef<kernfs::Tree>("proc", uint32_t{PROC_SUPER_MAGIC});
  auto root = MakeRef<RootDirectory>(tree, kernel);
  static_cast<void>(tree->NextInode());  // the root's
  root->Add("self", MakeRef<SelfLink>(tree, false));
  root->Add("thread-self", MakeRef<SelfLink>(tree, true));
  AddSystemFiles(tree, *root, kernel);
  AddFixedFiles(*root);
  FillSysTree(tree, root->Dir("sys"), kernel);
  FillSysvIpc(tree, root->Dir("sysvipc"), kernel);
  return {tree, root};
}

ErrnoOr<kernfs::Mountable> MakeProc(task::Kernel& kernel, std::string_view options) {
  const absl::string_view text(options.data(), options.size());
  for (const absl::string_view option : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> parts =
        absl::StrSplit(option, absl::MaxSplits('=', 1));
    uint32_t gid;
    const bool shows_all = parts.first == "hidepid" && (parts.second == "0" || parts.second == "off");
    const bool group = parts.first == "gid" && absl::SimpleAtoi(parts.second, &gid);
    if (!shows_all && !group) return Errno::kInval;
  }
  return MakeProc(kernel);
}

}  // namespace cloister::proc
