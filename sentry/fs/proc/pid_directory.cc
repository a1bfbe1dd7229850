#include "sentry/fs/proc/pid_directory.h"

#include <dirent.h>

#include <algorithm>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "sentry/fs/proc/fd_directory.h"
#include "sentry/fs/proc/memory_text.h"
#include "sentry/fs/proc/mount_text.h"
#include "sentry/fs/proc/namespace_links.h"
#include "sentry/fs/proc/net_directory.h"
#include "sentry/fs/proc/process_text.h"
#include "sentry/fs/proc/subject_nodes.h"

namespace cloister::proc {
namespace {

using Section = Subject::Section;
using Reader = ErrnoOr<std::string> (*)(const Subject& subject);
using Writer = ErrnoOrVoid (*)(const Subject& subject, std::string_view text,
                               const auth::Credentials& opener);
using Maker = Ref<vfs::Inode> (*)(Ref<kernfs::Tree> tree, const Subject& subject,
                                  const kernfs::NodeSpec& spec);

// Who may open a file beyond what its mode says.
enum class Opens { kAnyone, kInspectors };

// Below /proc/PID, below /proc/PID/task/TID, or both.
enum class Where { kBoth, kProcess, kThread };

// One name: a text, or something made by `make`.
struct Item {
  std::string_view name;
  mode_t mode;  // with its type
  Reader read;
  Writer write;
  Opens opens;
  Maker make;
  Where where;
};

constexpr Item Text(std::string_view name, mode_t mode, Reader read, Where where = Where::kBoth) {
  return {name, S_IFREG | mode, read, nullptr, Opens::kAnyone, nullptr, where};
}
constexpr Item Writable(std::string_view name, mode_t mode, Reader read, Writer write,
                        Where where = Where::kBoth) {
  return {name, S_IFREG | mode, read, write, Opens::kAnyone, nullptr, where};
}
constexpr Item Guarded(std::string_view name, mode_t mode, Reader read) {
  return {name, S_IFREG | mode, read, nullptr, Opens::kInspectors, nullptr, Where::kBoth};
}
constexpr Item Node(std::string_view name, mode_t mode, Maker make, Where where = Where::kBoth) {
  return {name, mode, nullptr, nullptr, Opens::kAnyone, make, where};
}

class ItemText final : public SubjectText {
 public:
  ItemText(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec, const Item& item)
      : SubjectText(std::move(tree), subject, spec), item_(item) {}

  ErrnoOr<std::string> Generate() override { return item_.read(subject()); }
  ErrnoOrVoid Store(std::string_view text, const auth::Credentials& opener) override {
    if (item_.write == nullptr) return Errno::kIo;
    return item_.write(subject(), text, opener);
  }
  ErrnoOrVoid CheckOpen(const vfs::OpenRequest& request) override {
    if (!subject().Exists()) return Errno::kSrch;
    if (item_.opens == Opens::kInspectors) return subject().CheckInspect(*request.cred);
    return {};
  }

 private:
  const Item& item_;  // of the table
};

Ref<vfs::Inode> MakeTaskDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                  const kernfs::NodeSpec& spec);

constexpr mode_t kPublicDirectory = S_IFDIR | 0555;
constexpr mode_t kLink = S_IFLNK | 0777;

// In Linux' order: fs/proc/base.c, tgid_base_stuff and tid_base_stuff.
constexpr Item kItems[] = {
    Node("task", kPublicDirectory, MakeTaskDirectory, Where::kProcess),
    Node("fd", S_IFDIR | 0500, MakeFdDirectory),
    Node("fdinfo", kPublicDirectory, MakeFdInfoDirectory),
    Node("ns", S_IFDIR | 0511, MakeNamespaceDirectory),
    Node("net", kPublicDirectory, MakeNetDirectory),
    Guarded("environ", 0400, EnvironText),
    Guarded("auxv", 0400, AuxvText),
    Text("status", 0444, StatusText),
    Guarded("personality", 0400, PersonalityText),
    Text("limits", 0444, LimitsText),
    Writable("comm", 0644, CommText, StoreComm),
    Text("cmdline", 0444, CmdlineText),
    Text("stat", 0444, StatText),
    Text("statm", 0444, StatmText),
    Guarded("maps", 0444, MapsText),
    Node("mem", S_IFREG | 0600, MakeMemFile),
    Text("children", 0444, ChildrenText, Where::kThread),
    Node("cwd", kLink, MakeCwdLink),
    Node("root", kLink, MakeRootLink),
    Node("exe", kLink, MakeExeLink),
    Text("mounts", 0444, MountsText),
    Text("mountinfo", 0444, MountInfoText),
    Text("mountstats", 0400, MountStatsText, Where::kProcess),
    Guarded("smaps", 0444, SmapsText),
    Guarded("smaps_rollup", 0444, SmapsRollupText),
    Text("wchan", 0444, WchanText),
    Text("schedstat", 0444, SchedStatText),
    Text("cpuset", 0444, CpusetText),
    Text("cgroup", 0444, CgroupText),
    Text("oom_score", 0444, OomScoreText),
    Writable("oom_adj", 0644, OomAdjText, StoreOomAdj),
    Writable("oom_score_adj", 0644, OomScoreAdjText, StoreOomScoreAdj),
    Text("loginuid", 0444, LoginUidText),
    Text("sessionid", 0444, LoginUidText),
    Writable("coredump_filter", 0644, CoredumpFilterText, StoreCoredumpFilter, Where::kProcess),
    Guarded("io", 0400, IoText),
    Text("uid_map", 0444, IdMapText),
    Text("gid_map", 0444, IdMapText),
    Text("setgroups", 0444, SetGroupsText),
    Writable("timerslack_ns", 0666, TimerSlackText, StoreTimerSlack, Where::kProcess),
};

class PidDirectory final : public SubjectDirectory {
 public:
  PidDirectory(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec, bool below_task)
      : SubjectDirectory(std::move(tree), subject, spec), below_task_(below_task) {}

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    if (!subject().Exists()) return Errno::kNoEnt;
    const auto count = static_cast<int64_t>(std::size(kItems));
    for (int64_t i = std::max<int64_t>(0, from - kFirstCookie); i < count; ++i) {
      const Item& item = kItems[i];
      if (!IsHere(item)) continue;
      if (!emit({NumberOf(item), kernfs::DirentType(item.mode), item.name, i + kFirstCookie + 1})) break;
    }
    return {};
  }

 protected:
  ErrnoOr<Ref<vfs::Inode>> Make(std::string_view name) override {
    const auto* const found = std::find_if(std::begin(kItems), std::end(kItems),
                                           [&](const Item& item) { return item.name == name; });
    if (found == std::end(kItems) || !IsHere(*found)) return Errno::kNoEnt;
    const kernfs::NodeSpec spec{
        .mode = found->mode & 07777, .links = S_ISDIR(found->mode) ? 2u : 1u, .inode = NumberOf(*found)};
    if (found->make != nullptr) return found->make(tree_ref(), subject(), spec);
    return Ref<vfs::Inode>(MakeRef<ItemText>(tree_ref(), subject(), spec, *found));
  }

 private:
  bool IsHere(const Item& item) const {
    return item.where != (below_task_ ? Where::kProcess : Where::kThread);
  }
  uint64_t NumberOf(const Item& item) const {
    return subject().InodeNumber(Section::kFiles, static_cast<uint32_t>(&item - kItems) + 1);
  }

  const bool below_task_;
};

// /proc/PID/task.
class TaskDirectory final : public SubjectDirectory {
 public:
  using SubjectDirectory::SubjectDirectory;

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    if (!subject().Exists()) return Errno::kNoEnt;
    for (const Ref<task::Task>& task : Threads()) {
      const int64_t cookie = kFirstCookie + task->tid();
      if (cookie < from) continue;
      const Subject thread = Subject::OfThread(task);
      const std::string name = absl::StrCat(task->tid());
      if (!emit({thread.InodeNumber(Section::kFiles, 0), DT_DIR, name, cookie + 1})) break;
    }
    return {};
  }

  // The links of a directory are its subdirectories: how some count threads.
  ErrnoOr<struct statx> GetAttr() override {
    struct statx attr = TRY(SubjectDirectory::GetAttr());
    attr.stx_nlink = static_cast<uint32_t>(2 + Threads().size());
    return attr;
  }

 protected:
  ErrnoOr<Ref<vfs::Inode>> Make(std::string_view name) override {
    const std::optional<pid_t> tid = ParsePid(name);
    if (!tid) return Errno::kNoEnt;
    Ref<task::Task> task = subject().kernel().FindTask(*tid);
    if (!task || &task->group() != &subject().group()) return Errno::kNoEnt;
    const Subject thread = Subject::OfThread(std::move(task));
    const kernfs::NodeSpec spec{.mode = 0555, .links = 7, .inode = thread.InodeNumber(Section::kFiles, 0)};
    return Ref<vfs::Inode>(MakeRef<PidDirectory>(tree_ref(), thread, spec, true));
  }
  bool StillThere(std::string_view, vfs::Inode& inode) override { return IsLivePidDirectory(inode); }

 private:
  std::vector<Ref<task::Task>> Threads() const {
    std::vector<Ref<task::Task>> tasks;
    {
      absl::MutexLock lock(&subject().kernel().tree_mu());
      for (task::Task* const task : subject().group().tasks) tasks.emplace_back(task);
    }
    std::sort(tasks.begin(), tasks.end(), [](const auto& a, const auto& b) { return a->tid() < b->tid(); });
    return tasks;
  }
};

Ref<vfs::Inode> MakeTaskDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                  const kernfs::NodeSpec& spec) {
  return MakeRef<TaskDirectory>(std::move(tree), subject, spec);
}

}  // namespace

Ref<vfs::Inode> MakePidDirectory(Ref<kernfs::Tree> tree, const Subject& subject) {
  const kernfs::NodeSpec spec{.mode = 0555, .links = 9, .inode = subject.InodeNumber(Section::kFiles, 0)};
  return MakeRef<PidDirectory>(std::move(tree), subject, spec, false);
}

bool IsLivePidDirectory(vfs::Inode& inode) {
  return static_cast<const PidDirectory&>(inode).subject().Exists();
}

std::optional<pid_t> ParsePid(std::string_view name) {
  const bool digits = std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
  pid_t pid;
  if (!digits || name.starts_with('0')) return std::nullopt;
  if (!absl::SimpleAtoi(absl::string_view(name.data(), name.size()), &pid)) return std::nullopt;
  return pid;
}

}  // namespace cloister::proc
