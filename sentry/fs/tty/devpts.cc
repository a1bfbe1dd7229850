#include "sentry/fs/tty/devpts.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/fs/tty/job_control.h"
#include "sentry/fs/tty/terminal_file.h"
#include "sentry/vfs/special_files.h"

namespace cloister::tty {
namespace {

using vfs::FileDescription;
using vfs::Inode;
using vfs::OpenRequest;

constexpr uint64_t kPtmxInode = 2;
constexpr uint64_t kFirstPtsInode = 3;

// /dev/pts/N or /dev/pts/ptmx (terminal null).
class Node final : public Inode {
 public:
  Node(Ref<DevPts> devpts, Ref<Terminal> terminal, const kernfs::NodeSpec& spec)
      : Inode(devpts, S_IFCHR), attr_(*devpts, S_IFCHR, spec), terminal_(std::move(terminal)) {}

  ErrnoOr<struct statx> GetAttr() override { return attr_.Get(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return attr_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return attr_.Set(change); }
  ErrnoOr<Ref<FileDescription>> Open(const OpenRequest& request) override {
    auto& devpts = static_cast<DevPts&>(fs());
    return terminal_ ? devpts.OpenTerminal(*terminal_, request) : devpts.OpenMaster(request);
  }

 private:
  kernfs::NodeAttr attr_;
  const Ref<Terminal> terminal_;
};

class Root final : public kernfs::Directory {
 public:
  explicit Root(Ref<DevPts> devpts)
      : Directory(devpts, {.mode = 0755, .changeable = true, .links = 2, .inode = 1}),
        ptmx_(MakeRef<Node>(devpts, Ref<Terminal>(),
                            kernfs::NodeSpec{.mode = devpts->options().ptmx_mode,
                                             .changeable = true,
                                             .rdev = makedev(5, 2),
                                             .inode = kPtmxInode})) {}

  Cache cache() const override { return Cache::kRevalidate; }

  ErrnoOr<Ref<Inode>> Lookup(std::string_view name) override {
    if (name == "ptmx") return ptmx_;
    unsigned index;
    const bool plain = name == "0" || (!name.empty() && name[0] >= '1' && name[0] <= '9');
    if (!plain || !absl::SimpleAtoi(absl::string_view(name.data(), name.size()), &index))
      return Errno::kNoEnt;
    Ref<Inode> node = devpts().FindNode(index);
    if (!node) return Errno::kNoEnt;
    return node;
  }

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    if (from <= kFirstCookie && !emit({kPtmxInode, DT_CHR, "ptmx", kFirstCookie + 1})) return {};
    const auto first = static_cast<unsigned>(std::max<int64_t>(0, from - kFirstCookie - 1));
    for (const unsigned index : devpts().Numbers(first)) {
      const std::string name = absl::StrCat(index);
      if (!emit({kFirstPtsInode + index, DT_CHR, name, kFirstCookie + 2 + index})) break;
    }
    return {};
  }

 private:
  DevPts& devpts() const { return static_cast<DevPts&>(fs()); }
  const Ref<Inode> ptmx_;
};

std::string OptionText(const DevPts::Options& options) {
  std::string text;
  if (options.has_uid) absl::StrAppend(&text, "uid=", options.uid, ",");
  if (options.has_gid) absl::StrAppend(&text, "gid=", options.gid, ",");
  absl::StrAppendFormat(&text, "mode=%03o,ptmxmode=%03o", options.mode, options.ptmx_mode);
  return text;
}

bool ParseOctal(std::string_view text, mode_t* mode) {
  uint32_t value = 0;
  if (text.empty() || text.size() > 6) return false;
  for (const char c : text) {
    if (c < '0' || c > '7') return false;
    value = value * 8 + static_cast<uint32_t>(c - '0');
  }
  *mode = value & 07777;
  return true;
}

}  // namespace

ErrnoOr<DevPts::Options> DevPts::ParseOptions(std::string_view text) {
  Options options;
  for (const absl::string_view option : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(option, absl::MaxSplits('=', 1));
    const std::string_view name(pair.first.data(), pair.first.size());
    const std::string_view value(pair.second.data(), pair.second.size());
    bool good = true;
    if (name == "uid") {
      good = options.has_uid = absl::SimpleAtoi(pair.second, &options.uid);
    } else if (name == "gid") {
      good = options.has_gid = absl::SimpleAtoi(pair.second, &options.gid);
    } else if (name == "mode") {
      good = ParseOctal(value, &options.mode);
    } else if (name == "ptmxmode") {
      good = ParseOctal(value, &options.ptmx_mode);
    } else if (name == "max") {
      good = absl::SimpleAtoi(pair.second, &options.max) && options.max <= 1 << 20;
    } else {
      good = name.empty() || name == "newinstance";
    }
    if (!good) return Errno::kInval;
  }
  return options;
}

DevPts::DevPts(task::Kernel& kernel, const Options& options)
    : Tree("devpts", DEVPTS_SUPER_MAGIC, OptionText(options)), kernel_(kernel), pts_options_(options) {}

Ref<Inode> DevPts::MakeRoot() { return MakeRef<Root>(Ref<DevPts>(this)); }

ErrnoOr<unsigned> DevPts::FreeIndexLocked() const {
  unsigned index = 0;
  for (const auto& [used, entry] : entries_) {
    if (used != index) break;
    ++index;
  }
  if (index >= pts_options_.max) return Errno::kNoSpc;
  return index;
}

Ref<Inode> DevPts::MakeNode(Ref<Terminal> terminal, uid_t uid, gid_t gid) {
  const kernfs::NodeSpec spec = {.mode = pts_options_.mode,
                                 .uid = pts_options_.has_uid ? pts_options_.uid : uid,
                                 .gid = pts_options_.has_gid ? pts_options_.gid : gid,
                                 .changeable = true,
                                 .rdev = terminal->device(),
                                 .inode = kFirstPtsInode + terminal->index()};
  return MakeRef<Node>(Ref<DevPts>(this), std::move(terminal), spec);
}

absl::StatusOr<Ref<HostTerminal>> DevPts::AddHostTerminal(UniqueFd fd, uid_t uid) {
  absl::MutexLock lock(&mu_);
  const ErrnoOr<unsigned> index = FreeIndexLocked();
  if (!index.ok()) return absl::ResourceExhaustedError("too many terminals");
  auto made = HostTerminal::Make(kernel_, *index, std::move(fd), Ref<DevPts>(this));
  if (!made.ok()) return made.status();
  // runc: the terminal is the user's, and of the group that the mount says.
  entries_[*index] = {*made, MakeNode(*made, uid, 0), true};
  return made;
}

ErrnoOr<Ref<FileDescription>> DevPts::OpenMaster(const OpenRequest& request) {
  absl::MutexLock lock(&mu_);
  const unsigned index = TRY(FreeIndexLocked());
  auto pty = MakeRef<Pty>(kernel_, index);
  entries_[index] = {pty, MakeNode(pty, request.cred->fsuid, request.cred->fsgid), false};
  return Ref<FileDescription>(
      MakeRef<MasterFile>(request.flags, request.path, request.cred, Ref<DevPts>(this), std::move(pty)));
}

ErrnoOr<Ref<FileDescription>> DevPts::OpenTerminal(Terminal& terminal, const OpenRequest& request) {
  if (terminal.IsLocked() || terminal.hung_up()) return Errno::kIo;
  if (terminal.exclusive.load() && !request.cred->Has(CAP_SYS_ADMIN)) return Errno::kBusy;
  auto file = MakeRef<TerminalFile>(request.flags, request.path, request.cred, FindNode(terminal.index()),
                                    Ref<Terminal>(&terminal));
  if (!(request.flags & O_NOCTTY) && file->readable()) TakeIfFree(terminal);
  return Ref<FileDescription>(std::move(file));
}

Ref<Terminal> DevPts::Find(unsigned index) const {
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(index);
  return it == entries_.end() ? nullptr : it->second.terminal;
}

Ref<Inode> DevPts::FindNode(unsigned index) const {
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(index);
  return it == entries_.end() ? nullptr : it->second.node;
}

std::vector<unsigned> DevPts::Numbers(unsigned from) const {
  absl::MutexLock lock(&mu_);
  std::vector<unsigned> numbers;
  for (auto it = entries_.lower_bound(from); it != entries_.end(); ++it) numbers.push_back(it->first);
  return numbers;
}

Ref<Terminal> DevPts::Console() const {
  absl::MutexLock lock(&mu_);
  for (const auto& [index, entry] : entries_) {
    if (entry.is_host) return entry.terminal;
  }
  return nullptr;
}

std::vector<Ref<HostTerminal>> DevPts::HostTerminals() const {
  absl::MutexLock lock(&mu_);
  std::vector<Ref<HostTerminal>> terminals;
  for (const auto& [index, entry] : entries_) {
    if (entry.is_host) terminals.emplace_back(static_cast<HostTerminal*>(entry.terminal.get()));
  }
  return terminals;
}

void DevPts::Remove(const Terminal& terminal) {
  Entry gone;  // released outside the lock
  absl::MutexLock lock(&mu_);
  const auto it = entries_.find(terminal.index());
  if (it == entries_.end() || it->second.terminal.get() != &terminal) return;
  gone = std::move(it->second);
  entries_.erase(it);
}

void RegisterTerminalDevices(std::function<Ref<DevPts>()> own) {
  vfs::SpecialFiles& files = vfs::SpecialFiles::Get();
  files.RegisterDevice(S_IFCHR, 5, 0, [](Inode& inode, const OpenRequest& request) {
    return [&]() -> ErrnoOr<Ref<FileDescription>> {
      Ref<Terminal> terminal = CallersTerminal();
      if (!terminal) return Errno::kNxIo;
      return Ref<FileDescription>(MakeRef<TerminalFile>(request.flags, request.path, request.cred,
                                                        Ref<Inode>(&inode), std::move(terminal)));
    }();
  });
  files.RegisterDevice(S_IFCHR, 5, 1, [own](Inode&, const OpenRequest& request) {
    const Ref<DevPts> devpts = own();
    const Ref<Terminal> console = devpts->Console();
    if (!console) return ErrnoOr<Ref<FileDescription>>(Errno::kNxIo);
    OpenRequest quiet = request;
    quiet.flags |= O_NOCTTY;  // Linux: the console never becomes a controlling terminal by itself
    return devpts->OpenTerminal(*console, quiet);
  });
  files.RegisterDevice(S_IFCHR, 5, 2,
                       [own](Inode&, const OpenRequest& request) { return own()->OpenMaster(request); });
  files.RegisterDevice(
      S_IFCHR, 136, vfs::SpecialFiles::kAnyMinor, [own](Inode& inode, const OpenRequest& request) {
        const Ref<DevPts> devpts = own();
        const ErrnoOr<struct statx> attr = inode.GetAttr();
        const Ref<Terminal> terminal = attr.ok() ? devpts->Find(attr->stx_rdev_minor) : nullptr;
        if (!terminal) return ErrnoOr<Ref<FileDescription>>(Errno::kIo);
        return devpts->OpenTerminal(*terminal, request);
      });
}

}  // namespace cloister::tty
