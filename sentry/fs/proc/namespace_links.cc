#include "sentry/fs/proc/namespace_links.h"

#include <dirent.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/sched.h>

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"
#include "sentry/vfs/mount.h"

namespace cloister::proc {
namespace {

// Linux: the numbers that the first namespaces always have (proc_ns.h).
struct Kind {
  std::string_view link;
  std::string_view type;
  uint32_t clone_flag;  // CLONE_NEW…
  uint32_t number;      // 0: a mount namespace, of which there may be many
};
constexpr Kind kKinds[] = {{"cgroup", "cgroup", CLONE_NEWCGROUP, 0xEFFFFFFB},
                           {"ipc", "ipc", CLONE_NEWIPC, 0xEFFFFFFF},
                           {"mnt", "mnt", CLONE_NEWNS, 0},
                           {"net", "net", CLONE_NEWNET, 0xF0000000},
                           {"pid", "pid", CLONE_NEWPID, 0xEFFFFFFC},
                           {"pid_for_children", "pid", CLONE_NEWPID, 0xEFFFFFFC},
                           {"time", "time", CLONE_NEWTIME, 0xEFFFFFFA},
                           {"time_for_children", "time", CLONE_NEWTIME, 0xEFFFFFFA},
                           {"user", "user", CLONE_NEWUSER, 0xEFFFFFFD},
                           {"uts", "uts", CLONE_NEWUTS, 0xEFFFFFFE}};
constexpr uint64_t kFirstMountNamespace = 0xF0000001;

// A namespace, open: it can be held and compared, not read.
class NamespaceFile final : public vfs::FileDescription {
 public:
  NamespaceFile(const vfs::OpenRequest& request, std::string name, uint32_t clone_flag)
      : FileDescription(request.flags, request.path, request.cred),
        name_(std::move(name)),
        clone_flag_(clone_flag) {}
  std::string Name() const override { return name_; }

  // ioctl_ns(2). Owners and parents are outside the caller's own user namespace: EPERM.
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override {
    const bool nests = clone_flag_ == CLONE_NEWPID || clone_flag_ == CLONE_NEWUSER;
    switch (request.command) {
      case NS_GET_USERNS:
        return Errno::kPerm;
      case NS_GET_PARENT:
        return nests ? Errno::kPerm : Errno::kInval;
      case NS_GET_NSTYPE:
        return int64_t{clone_flag_};
      default:
        return Errno::kNotTy;
    }
  }

 private:
  const std::string name_;
  const uint32_t clone_flag_;
};

// A node of nsfs.
class NamespaceInode final : public vfs::Inode {
 public:
  NamespaceInode(const Ref<kernfs::Tree>& nsfs, std::string name, uint32_t clone_flag, uint64_t number)
      : Inode(nsfs, S_IFREG),
        name_(std::move(name)),
        clone_flag_(clone_flag),
        attr_(*nsfs, S_IFREG, {.mode = 0444, .inode = number}) {}

  ErrnoOr<struct statx> GetAttr() override { return attr_.Get(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return attr_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return attr_.Set(change); }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override {
    if ((request.flags & O_ACCMODE) != O_RDONLY) return Errno::kPerm;
    return Ref<vfs::FileDescription>(MakeRef<NamespaceFile>(request, name_, clone_flag_));
  }

 private:
  const std::string name_;
  const uint32_t clone_flag_;
  kernfs::NodeAttr attr_;
};

const Ref<kernfs::Tree>& NsFs() {
  static const auto* const nsfs = new Ref<kernfs::Tree>(MakeRef<kernfs::Tree>("nsfs", uint32_t{NSFS_MAGIC}));
  return *nsfs;
}

class NamespaceLink final : public SubjectLink {
 public:
  NamespaceLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec,
                const Kind& kind)
      : SubjectLink(std::move(tree), subject, spec), kind_(kind) {}

  ErrnoOr<std::string> Readlink(const vfs::Caller& caller) override { return NameOf(TRY(NumberFor(caller))); }
  ErrnoOr<std::optional<vfs::Path>> Follow(const vfs::Caller& caller) override {
    const uint64_t number = TRY(NumberFor(caller));
    auto root =
        vfs::Dentry::MakeRoot(MakeRef<NamespaceInode>(NsFs(), NameOf(number), kind_.clone_flag, number));
    return std::optional(
        vfs::Path(MakeRef<vfs::Mount>(NsFs(), root, uint64_t{0}, std::string("nsfs")), root));
  }

 private:
  std::string NameOf(uint64_t number) const {
    return absl::StrCat(absl::string_view(kind_.type.data(), kind_.type.size()), ":[", number, "]");
  }
  ErrnoOr<uint64_t> NumberFor(const vfs::Caller& caller) {
    TRY_VOID(subject().CheckInspect(*caller.cred));
    if (kind_.number != 0) return kind_.number;
    const Ref<task::FsContext> fs = subject().Fs();
    if (!fs) return Errno::kNoEnt;
    return kFirstMountNamespace + static_cast<uint64_t>(fs->Get().mounts->root()->id());
  }

  const Kind& kind_;  // of the table
};

class NamespaceDirectory final : public SubjectDirectory {
 public:
  using SubjectDirectory::SubjectDirectory;

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    const auto count = static_cast<int64_t>(std::size(kKinds));
    for (int64_t i = std::max<int64_t>(0, from - kFirstCookie); i < count; ++i)
      if (!emit({NumberOf(kKinds[i]), DT_LNK, kKinds[i].link, i + kFirstCookie + 1})) break;
    return {};
  }

 protected:
  ErrnoOr<Ref<vfs::Inode>> Make(std::string_view name) override {
    const auto* const found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                           [&](const Kind& kind) { return kind.link == name; });
    if (found == std::end(kKinds)) return Errno::kNoEnt;
    const kernfs::NodeSpec spec{.mode = 0777, .inode = NumberOf(*found)};
    return Ref<vfs::Inode>(MakeRef<NamespaceLink>(tree_ref(), subject(), spec, *found));
  }

 private:
  uint64_t NumberOf(const Kind& kind) const {
    return subject().InodeNumber(Subject::Section::kNamespaces, static_cast<uint32_t>(&kind - kKinds));
  }
};

}  // namespace

Ref<vfs::Inode> MakeNamespaceDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                       const kernfs::NodeSpec& spec) {
  return MakeRef<NamespaceDirectory>(std::move(tree), subject, spec);
}

}  // namespace cloister::proc
