#include <optional>

#include "sentry/fs/proc/fd_directory.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/mount.h"

namespace cloister::proc {
namespace {

// A link that leads straight to a place. As in Linux only those who may inspect the process read or
// follow it.
class PlaceLink : public SubjectLink {
 public:
  using SubjectLink::SubjectLink;

  ErrnoOr<std::string> Readlink(const vfs::Caller& caller) override {
    const vfs::Path place = TRY(PlaceFor(caller));
    return vfs::PathText(*caller.mounts, caller.root, place);
  }
  ErrnoOr<std::optional<vfs::Path>> Follow(const vfs::Caller& caller) override {
    return std::optional(TRY(PlaceFor(caller)));
  }

 protected:
  // Empty where there is none.
  virtual vfs::Path Place() = 0;

 private:
  ErrnoOr<vfs::Path> PlaceFor(const vfs::Caller& caller) {
    TRY_VOID(subject().CheckInspect(*caller.cred));
    vfs::Path place = Place();
    if (!place) return Errno::kNoEnt;
    return place;
  }
};

class ExeLink final : public PlaceLink {
 public:
  using PlaceLink::PlaceLink;

 protected:
  vfs::Path Place() override {
    const Ref<task::Task> task = subject().Find();
    return task ? task->GetExe() : vfs::Path();
  }
};

class CwdLink final : public PlaceLink {
 public:
  using PlaceLink::PlaceLink;

 protected:
  vfs::Path Place() override {
    const Ref<task::FsContext> fs = subject().Fs();
    return fs ? fs->Get().cwd : vfs::Path();
  }
};

class RootLink final : public PlaceLink {
 public:
  using PlaceLink::PlaceLink;

 protected:
  vfs::Path Place() override {
    const Ref<task::FsContext> fs = subject().Fs();
    return fs ? fs->Get().root : vfs::Path();
  }
};

}  // namespace

Ref<vfs::Inode> MakeExeLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec) {
  return MakeRef<ExeLink>(std::move(tree), subject, spec);
}

Ref<vfs::Inode> MakeCwdLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec) {
  return MakeRef<CwdLink>(std::move(tree), subject, spec);
}

Ref<vfs::Inode> MakeRootLink(Ref<kernfs::Tree> tree, const Subject& subject, const kernfs::NodeSpec& spec) {
  return MakeRef<RootLink>(std::move(tree), subject, spec);
}

}  // namespace cloister::proc
