#include "sentry/fs/proc/fd_directory.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/event/anon_file.h"
#include "sentry/task/current.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/mount.h"

namespace cloister::proc {
namespace {

using Section = Subject::Section;

ErrnoOr<Ref<vfs::FileDescription>> FileOf(const Subject& subject, int fd) {
  const Ref<vfs::FdTable> files = subject.Files();
  if (!files) return Errno::kNoEnt;
  auto file = files->Get(fd);
  if (!file.ok()) return Errno::kNoEnt;
  return file;
}

// The mode of a link says how the descriptor is open.
mode_t LinkMode(const vfs::FileDescription& file) {
  if (file.is_path_only()) return 0;
  return (file.readable() ? 0500 : 0) | (file.writable() ? 0300 : 0);
}

// A file that no path leads to: a place of its own, made for whoever follows the link.
vfs::Path PlaceOf(const vfs::FileDescription& file) {
  if (file.path()) return file.path();
  const Ref<vfs::Inode> inode = file.inode();
  if (!inode) return {};
  auto root = vfs::Dentry::MakeRoot(inode);
  return {MakeRef<vfs::Mount>(inode->fs_ref(), root, uint64_t{0}, std::string("none")), root};
}

std::string TextOf(const vfs::FileDescription& file, const vfs::Caller& caller) {
  std::string name = file.Name();
  if (!file.path()) return name;
  if (!name.empty() && !caller.mounts->Contains(*file.path().mount())) return name;
  return vfs::PathText(*caller.mounts, caller.root, file.path());
}

// /proc/PID/fd/N.
class FdLink final : public SubjectLink {
 public:
  FdLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec, int fd)
      : SubjectLink(std::move(tree), subject, spec), fd_(fd) {}

  ErrnoOr<vfs::Ownership> GetOwnership() override {
    vfs::Ownership owner = TRY(SubjectLink::GetOwnership());
    const auto file = FileOf(subject(), fd_);
    owner.mode = S_IFLNK | (file.ok() ? LinkMode(**file) : 0);
    return owner;
  }
  ErrnoOr<std::string> Readlink(const vfs::Caller& caller) override {
    TRY_VOID(subject().CheckInspect(*caller.cred));
    return TextOf(*TRY(FileOf(subject(), fd_)), caller);
  }
  ErrnoOr<std::optional<vfs::Path>> Follow(const vfs::Caller& caller) override {
    TRY_VOID(subject().CheckInspect(*caller.cred));
    vfs::Path place = PlaceOf(*TRY(FileOf(subject(), fd_)));
    if (!place) return Errno::kNoEnt;
    return std::optional(std::move(place));
  }

 private:
  const int fd_;
};

// /proc/PID/fdinfo/N.
class FdInfo final : public SubjectText {
 public:
  FdInfo(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec, int fd)
      : SubjectText(std::move(tree), subject, spec), fd_(fd) {}

  ErrnoOrVoid CheckOpen(const vfs::OpenRequest& request) override {
    return subject().CheckInspect(*request.cred);
  }
  ErrnoOr<std::string> Generate() override {
    const Ref<vfs::FileDescription> file = TRY(FileOf(subject(), fd_));
    const Ref<vfs::FdTable> files = subject().Files();
    const ErrnoOr<bool> cloexec = files ? files->GetCloexec(fd_) : ErrnoOr<bool>(false);
    const int flags = file->flags() | (cloexec.ok() && *cloexec ? O_CLOEXEC : 0);
    const Ref<vfs::Inode> inode = file->inode();
    uint64_t number = 0;
    if (inode) {
      if (const auto attr = inode->GetAttr(); attr.ok()) number = attr->stx_ino;
    }
    // Files of proc are not asked: one of them, perhaps this very one, is being read, and has its
    // position locked.
    const bool of_proc = inode && inode->fs().type() == fs().type();
    const ErrnoOr<int64_t> position =
        of_proc || file->is_path_only() ? Errno::kSPipe : file->Seek(0, SEEK_CUR);
    std::string text = absl::StrFormat("pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%u\n",
                                       position.ok() ? *position : int64_t{0}, flags,
                                       file->path() ? file->path().mount()->id() : 0, number);
    if (const event::AnonFile* const anon = file->AsAnon()) text += anon->FdInfo();
    return text;
  }

 private:
  const int fd_;
};

// Both directories. Node: what is made for a number.
template <typename Node, Section kSection, mode_t kEntryMode, mode_t kEntryType>
class FdDirectory final : public SubjectDirectory {
 public:
  using SubjectDirectory::SubjectDirectory;

  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override {
    const Ref<vfs::FdTable> files = subject().Files();
    if (!files) return {};
    for (const int fd : files->Numbers()) {
      const int64_t cookie = kFirstCookie + fd;
      if (cookie < from) continue;
      const std::string name = absl::StrCat(fd);
      if (!emit({NumberOf(fd), kernfs::DirentType(kEntryType), name, cookie + 1})) break;
    }
    return {};
  }

  // The size is the count of descriptors since Linux 6.2.
  ErrnoOr<struct statx> GetAttr() override {
    struct statx attr = TRY(SubjectDirectory::GetAttr());
    const Ref<vfs::FdTable> files = subject().Files();
    if (kSection == Section::kFd && files) attr.stx_size = files->Numbers().size();
    return attr;
  }

 protected:
  ErrnoOr<Ref<vfs::Inode>> Make(std::string_view name) override {
    const std::optional<int> fd = Parse(name);
    if (!fd || !FileOf(subject(), *fd).ok()) return Errno::kNoEnt;
    return Ref<vfs::Inode>(MakeRef<Node>(tree_ref(), subject(),
                                         kernfs::NodeSpec{.mode = kEntryMode, .inode = NumberOf(*fd)}, *fd));
  }
  bool StillThere(std::string_view name, vfs::Inode&) override {
    const std::optional<int> fd = Parse(name);
    return fd && FileOf(subject(), *fd).ok();
  }

 private:
  uint64_t NumberOf(int fd) const { return subject().InodeNumber(kSection, static_cast<uint32_t>(fd)); }

  // As Linux' name_to_int: no sign, no leading zero.
  static std::optional<int> Parse(std::string_view name) {
    const bool digits = std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    int fd;
    if (!digits || (name.size() > 1 && name[0] == '0')) return std::nullopt;
    if (!absl::SimpleAtoi(absl::string_view(name.data(), name.size()), &fd)) return std::nullopt;
    return fd;
  }
};

}  // namespace

Ref<vfs::Inode> MakeFdDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                const kernfs::NodeSpec& spec) {
  return MakeRef<FdDirectory<FdLink, Section::kFd, 0777, S_IFLNK>>(std::move(tree), subject, spec);
}

Ref<vfs::Inode> MakeFdInfoDirectory(Ref<kernfs::Tree> tree, const Subject& subject,
                                    const kernfs::NodeSpec& spec) {
  return MakeRef<FdDirectory<FdInfo, Section::kFdInfo, 0444, S_IFREG>>(std::move(tree), subject, spec);
}

}  // namespace cloister::proc
