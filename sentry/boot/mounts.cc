#include "sentry/boot/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "base/log/log.h"
#include "sentry/boot/file_systems.h"
#include "sentry/boot/program.h"
#include "sentry/fs/mqueue/mqueue_fs.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/vfs/operations.h"

// Macros of sys/sysmacros.h; the messages have fields by these names.
#undef major
#undef minor

namespace cloister::boot {
namespace {

// The tree under construction, seen as root sees it.
class Builder {
 public:
  Builder(task::Kernel& kernel, const control::Container& container, const GoferMounter& gofer)
      : kernel_(kernel), container_(container), gofer_(gofer) {}

  absl::StatusOr<Ref<task::FsContext>> Build() {
    RETURN_IF_ERROR(MountRoot());
    for (const control::Mount& mount : container_.mounts()) {
      const absl::Status mounted = MountOne(mount);
      if (!mounted.ok()) {
        return absl::Status(mounted.code(), absl::StrCat("mounting \"", mount.destination(), "\" (",
                                                         mount.type(), "): ", mounted.message()));
      }
    }
    RETURN_IF_ERROR(SupplyDev());
    for (const control::Device& device : container_.devices()) RETURN_IF_ERROR(MakeDevice(device));
    for (const std::string& path : container_.readonly_paths()) RETURN_IF_ERROR(MakeReadOnly(path));
    for (const std::string& path : container_.masked_paths()) RETURN_IF_ERROR(Mask(path));
    if (container_.root_readonly()) root_->set_flags(root_->flags() | MS_RDONLY);
    return MakeRef<task::FsContext>(caller_.mounts, caller_.root, caller_.root, 022);
  }

 private:
  absl::Status MountRoot() {
    kernfs::Mountable root = TRY_STATUS(gofer_(0, container_.root_shared()));
    if (container_.root_overlay()) root = TRY_STATUS(OverlayOver(kernel_, std::move(root)));
    root_ = MakeRef<vfs::Mount>(root.fs, vfs::Dentry::MakeRoot(root.root), 0, std::string("none"));
    caller_.cred = auth::Credentials::Root();
    caller_.mounts = MakeRef<vfs::MountNamespace>(root_);
    caller_.root = caller_.mounts->RootPath();
    caller_.cwd = caller_.root;
    caller_.umask = 0;
    return absl::OkStatus();
  }

  absl::StatusOr<Ref<vfs::Mount>> MakeMount(const control::Mount& mount) {
    if (mount.gofer_mount() >= 0) {
      const kernfs::Mountable bound = TRY_STATUS(gofer_(mount.gofer_mount(), mount.shared_access()));
      return MakeRef<vfs::Mount>(bound.fs, vfs::Dentry::MakeRoot(bound.root), mount.flags(),
                                 std::string("none"));
    }
    if (mount.type() == "mqueue" && mount.options().empty())
      return mqueue::MountMqueue(*kernel_.ipc(), mount.flags(), mount.type());
    if (mount.type() == "tmpfs") {
      const tmp::TmpOptions options = tmp::TmpOptions::DefaultsFor(kernel_.machine().total_memory);
      const ErrnoOr<tmp::TmpOptions> parsed =
          tmp::ParseTmpOptions(absl::StrJoin(mount.options(), ","), options);
      if (!parsed.ok()) return ToStatus(parsed.error(), absl::StrJoin(mount.options(), ","));
      return tmp::MountTmp(*parsed, mount.flags(), mount.type());
    }
    const kernfs::Mountable made = TRY_STATUS(MakeFileSystem(kernel_, container_, mount));
    return MakeRef<vfs::Mount>(made.fs, vfs::Dentry::MakeRoot(made.root), mount.flags(), mount.type());
  }

  absl::Status MountOne(const control::Mount& mount) {
    Ref<vfs::Mount> made = TRY_STATUS(MakeMount(mount));
    const vfs::Path at =
        TRY_STATUS(MountPoint(mount.destination(), mount.gofer_mount() >= 0 && mount.is_file()));
    const ErrnoOrVoid attached = caller_.mounts->Attach(std::move(made), at);
    if (!attached.ok()) return ToStatus(attached.error(), "attach");
    if (mount.destination() == "/dev") has_dev_ = true;
    if (mount.destination() == "/dev" && mount.gofer_mount() < 0) own_dev_ = true;
    return absl::OkStatus();
  }

  // The place itself, made where it is missing.
  absl::StatusOr<vfs::Path> MountPoint(const std::string& destination, bool is_file) {
    std::string done;
    vfs::Path at = caller_.root;
    const std::vector<std::string> names = absl::StrSplit(destination, '/', absl::SkipEmpty());
    for (size_t i = 0; i < names.size(); ++i) {
      absl::StrAppend(&done, "/", names[i]);
      const bool file_here = is_file && i + 1 == names.size();
      ErrnoOr<vfs::Path> next = vfs::Resolve(caller_, caller_.root, done, {});
      if (!next.ok() && next.error() == Errno::kNoEnt) next = MakePlace(at, done, names[i], file_here);
      if (!next.ok()) return ToStatus(next.error(), absl::StrCat("mount point ", done));
      at = *next;
    }
    return at;
  }

  // On a file system that cannot be changed the place exists in the sentry's tree alone.
  ErrnoOr<vfs::Path> MakePlace(const vfs::Path& parent, const std::string& path, const std::string& name,
                               bool file) {
    const ErrnoOrVoid made = [&]() -> ErrnoOrVoid {
      if (!file) return vfs::MakeDirectory(caller_, caller_.root, path, 0755);
      TRY(vfs::MakeNode(caller_, caller_.root, path, S_IFREG | 0644, 0));
      return {};
    }();
    if (made.ok()) return vfs::Resolve(caller_, caller_.root, path, {});
    if (made.error() != Errno::kRofs && made.error() != Errno::kAcces && made.error() != Errno::kPerm)
      return made.error();
    const Ref<vfs::Mount> holder = tmp::MountTmp({.mode = 0755}, 0);
    Ref<vfs::Inode> inode = holder->root()->inode();
    if (file) {
      vfs::NewNode node;
      node.mode = S_IFREG | 0644;
      inode = TRY(inode->AsDirectory()->Create("file", node));
    }
    vfs::Dentry& directory = *parent.dentry();
    absl::MutexLock lock(&directory.mu());
    return vfs::Path(parent.mount(), directory.SetChildLocked(name, std::move(inode)));
  }

  // A /dev that config.json wants in memory is filled as a device file system would be.
  absl::Status SupplyDev() {
    if (!has_dev_ || !own_dev_) return absl::OkStatus();
    struct Node {
      const char* path;
      unsigned major, minor;
    };
    constexpr Node kNodes[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                               {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
    for (const Node& node : kNodes) {
      static_cast<void>(
          vfs::MakeNode(caller_, caller_.root, node.path, S_IFCHR | 0666, makedev(node.major, node.minor)));
    }
    if (container_.process().terminal()) {
      static_cast<void>(
          vfs::MakeNode(caller_, caller_.root, "/dev/console", S_IFCHR | 0620, makedev(136, 0)));
    }
    constexpr std::pair<const char*, const char*> kLinks[] = {
        {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
        {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
        {"pts/ptmx", "/dev/ptmx"},          {"/proc/kcore", "/dev/core"}};
    for (const auto& [target, path] : kLinks) {
      static_cast<void>(vfs::MakeSymlink(caller_, target, caller_.root, path));
    }
    return absl::OkStatus();
  }

  absl::Status MakeDevice(const control::Device& device) {
    const mode_t type = device.type() == "b" ? S_IFBLK : device.type() == "p" ? S_IFIFO : S_IFCHR;
    const ErrnoOr<vfs::Path> made =
        vfs::MakeNode(caller_, caller_.root, device.path(), type | (device.mode() & 07777),
                      makedev(device.major(), device.minor()));
    if (!made.ok() && made.error() != Errno::kExist) {
      LOG(kWarning, "device %s: %s", device.path(), std::string(ErrnoName(made.error())));
      return absl::OkStatus();
    }
    if (made.ok()) static_cast<void>(vfs::ChangeOwner(caller_, *made, device.uid(), device.gid()));
    return absl::OkStatus();
  }

  absl::Status MakeReadOnly(const std::string& path) {
    const ErrnoOr<vfs::Path> at = vfs::Resolve(caller_, caller_.root, path, {});
    if (!at.ok()) return absl::OkStatus();  // as runc: what is not there needs no protection
    const vfs::Mount& under = *at->mount();
    const ErrnoOrVoid attached =
        caller_.mounts->Attach(MakeRef<vfs::Mount>(Ref<vfs::FileSystem>(&under.fs()), at->dentry(),
                                                   under.flags() | MS_RDONLY, under.source()),
                               *at);
    if (!attached.ok()) return ToStatus(attached.error(), absl::StrCat("readonly path ", path));
    return absl::OkStatus();
  }

  // A directory becomes an empty one, a file becomes /dev/null.
  absl::Status Mask(const std::string& path) {
    const ErrnoOr<vfs::Path> at = vfs::Resolve(caller_, caller_.root, path, {});
    if (!at.ok()) return absl::OkStatus();
    const Ref<vfs::Inode> inode = at->dentry()->inode();
    Ref<vfs::Mount> cover = tmp::MountTmp({.mode = 0755}, MS_RDONLY);
    if (!inode->is_directory()) {
      vfs::NewNode node;
      node.mode = S_IFCHR | 0666;
      node.rdev = makedev(1, 3);
      ErrnoOr<Ref<vfs::Inode>> null = cover->root()->inode()->AsDirectory()->Create("null", node);
      if (!null.ok()) return ToStatus(null.error(), absl::StrCat("masked path ", path));
      cover =
          MakeRef<vfs::Mount>(Ref<vfs::FileSystem>(&cover->fs()), vfs::Dentry::MakeRoot(*null), 0, "tmpfs");
    }
    const ErrnoOrVoid attached = caller_.mounts->Attach(std::move(cover), *at);
    if (!attached.ok()) return ToStatus(attached.error(), absl::StrCat("masked path ", path));
    return absl::OkStatus();
  }

  task::Kernel& kernel_;
  const control::Container& container_;
  const GoferMounter& gofer_;
  vfs::Caller caller_;
  Ref<vfs::Mount> root_;
  bool has_dev_ = false;
  bool own_dev_ = false;
};

}  // namespace

absl::StatusOr<Ref<task::FsContext>> BuildTree(task::Kernel& kernel, const control::Container& container,
                                               const GoferMounter& gofer) {
  return Builder(kernel, container, gofer).Build();
}

}  // namespace cloister::boot
