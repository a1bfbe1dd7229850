#include "sentry/fs/cgroup/cgroup_fs.h"

#include <linux/magic.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "sentry/fs/cgroup/members.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/fs/kernfs/text_file.h"
#include "sentry/fs/kernfs/tree.h"

namespace cloister::cgroup {
namespace {

constexpr absl::string_view kControllers[] = {"cpuset", "cpu", "io", "memory", "pids"};
constexpr uint64_t kPageSize = 4096;

std::string OrMax(const std::optional<uint64_t>& limit) { return limit ? absl::StrCat(*limit) : "max"; }

// Linux: cgroup_file_write. A container does not change its own limits: only what is marked
// delegatable is written in the root of a cgroup namespace.
ErrnoOrVoid Refuse(std::string_view, const auth::Credentials&) { return Errno::kPerm; }

// Linux: cgroup_subtree_control_write. A group with processes passes no controller on to children.
ErrnoOrVoid WriteSubtreeControl(std::string_view text, const auth::Credentials&) {
  bool enables = false;
  const absl::string_view words(text.data(), text.size());
  for (const absl::string_view word : absl::StrSplit(words, absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    const bool known = std::count(std::begin(kControllers), std::end(kControllers), word.substr(1)) != 0;
    if (!known || (word[0] != '+' && word[0] != '-')) return Errno::kInval;
    enables = enables || word[0] == '+';
  }
  if (enables) return Errno::kBusy;
  return {};
}

// Puts the files together. What they read from is shared by them, so that it lives as long as any.
class Builder {
 public:
  Builder(task::Kernel& kernel, const Limits& limits)
      : machine_(kernel.machine()),
        limits_(limits),
        members_(std::make_shared<const Members>(kernel)),
        tree_(MakeRef<kernfs::Tree>("cgroup2", CGROUP2_SUPER_MAGIC, "nsdelegate")),
        root_(MakeRef<kernfs::StaticDirectory>(tree_, kernfs::NodeSpec{.mode = 0755, .links = 2})) {}

  kernfs::Mountable Build() {
    AddCore();
    AddCpu();
    AddMemory();
    AddOthers();
    return {tree_, root_};
  }

 private:
  // A file that is always the same. Without a newline to add it is empty.
  void Fixed(const char* name, std::string text) {
    if (!text.empty()) text += '\n';
    root_->Text(name, std::move(text));
  }
  // The same where Linux has a file that can be written.
  void Setting(const char* name, std::string text) {
    Add(name, 0644, [text = text + '\n'] { return text; }, Refuse);
  }
  void Add(const char* name, mode_t mode, kernfs::TextReader reader, kernfs::TextWriter writer = nullptr) {
    root_->Add(name, kernfs::MakeText(tree_, mode, std::move(reader), std::move(writer)));
  }
  // A count and its newline.
  template <typename Count>
  void Counter(const char* name, Count count) {
    Add(name, 0444, [members = members_, count] { return absl::StrCat(count(*members), "\n"); });
  }
  void Ids(const char* name, std::vector<pid_t> (Members::*list)() const) {
    const auto read = [members = members_, list] {
      std::string text;
      for (const pid_t id : ((*members).*list)()) absl::StrAppend(&text, id, "\n");
      return text;
    };
    const auto write = [members = members_](std::string_view text, const auth::Credentials&) {
      return members->Move(text);
    };
    Add(name, 0644, read, write);
  }

  void AddCore() {
    std::string controllers;
    for (const absl::string_view name : kControllers)
      absl::StrAppend(&controllers, controllers.empty() ? "" : " ", name);
    Fixed("cgroup.controllers", controllers);
    Add("cgroup.subtree_control", 0644, [] { return std::string(); }, WriteSubtreeControl);
    Ids("cgroup.procs", &Members::Processes);
    Ids("cgroup.threads", &Members::Threads);
    Setting("cgroup.type", "domain");
    Fixed("cgroup.events", "populated 1\nfrozen 0");
    Setting("cgroup.freeze", "0");
    Fixed("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0");
    Setting("cgroup.max.depth", "max");
    Setting("cgroup.max.descendants", "max");
  }

  void AddCpu() {
    Setting("cpu.max", absl::StrCat(OrMax(limits_.cpu_quota), " 100000"));
    Setting("cpu.max.burst", "0");
    Setting("cpu.weight", "100");
    Setting("cpu.weight.nice", "0");
    Setting("cpu.idle", "0");
    // The host tells one time, which is shown as the user's, as getrusage(2) does.
    Add("cpu.stat", 0444, [members = members_] {
      const uint64_t used = members->CpuMicroseconds();
      return absl::StrCat("usage_usec ", used, "\nuser_usec ", used,
                          "\nsystem_usec 0\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n"
                          "nr_bursts 0\nburst_usec 0\n");
    });
    const std::string cpus = machine_.cpus == 1 ? "0" : absl::StrCat("0-", machine_.cpus - 1);
    Setting("cpuset.cpus", "");
    Fixed("cpuset.cpus.effective", cpus);
    Setting("cpuset.cpus.partition", "member");
    Setting("cpuset.mems", "");
    Fixed("cpuset.mems.effective", "0");
  }

  void AddMemory() {
    const auto whole_pages = [](uint64_t bytes) { return bytes / kPageSize * kPageSize; };
    Setting("memory.max", limits_.memory ? absl::StrCat(whole_pages(*limits_.memory)) : "max");
    Setting("memory.high", "max");
    Setting("memory.low", "0");
    Setting("memory.min", "0");
    Setting("memory.oom.group", "0");
    Setting("memory.swap.max", "max");
    Setting("memory.swap.high", "max");
    Fixed("memory.swap.current", "0");
    Fixed("memory.swap.events", "high 0\nmax 0\nfail 0");
    for (const char* name : {"memory.events", "memory.events.local"})
      Fixed(name, "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0");
    Counter("memory.current", [](const Members& members) { return members.MemoryBytes(); });
    Add("memory.stat", 0444, [members = members_] {
      std::string text = absl::StrCat("anon ", members->MemoryBytes(), "\n");
      for (const char* none :
           {"file",        "kernel",      "kernel_stack",     "pagetables",         "percpu",
            "sock",        "shmem",       "file_mapped",      "file_dirty",         "file_writeback",
            "swapcached",  "anon_thp",    "inactive_anon",    "active_anon",        "inactive_file",
            "active_file", "unevictable", "slab_reclaimable", "slab_unreclaimable", "slab",
            "pgfault",     "pgmajfault"})
        absl::StrAppend(&text, none, " 0\n");
      return text;
    });
  }

  void AddOthers() {
    Setting("pids.max", OrMax(limits_.tasks));
    Counter("pids.current", [](const Members& members) { return members.Threads().size(); });
    Fixed("pids.events", "max 0");
    Fixed("io.stat", "");
    Setting("io.weight", "default 100");
    Add("io.max", 0644, [] { return std::string(); }, Refuse);
  }

  const task::Machine& machine_;
  const Limits& limits_;
  const std::shared_ptr<const Members> members_;
  const Ref<kernfs::Tree> tree_;
  const Ref<kernfs::StaticDirectory> root_;
};

}  // namespace

kernfs::Mountable MakeCgroup2(task::Kernel& kernel, const Limits& limits) {
  return Builder(kernel, limits).Build();
}

kernfs::Mountable MakeCgroup2(task::Kernel& kernel) {
  return MakeCgroup2(kernel, {.memory = kernel.machine().total_memory});
}

}  // namespace cloister::cgroup
