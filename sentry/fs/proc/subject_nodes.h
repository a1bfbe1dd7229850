#ifndef CLOISTER_SENTRY_FS_PROC_SUBJECT_NODES_H_
#define CLOISTER_SENTRY_FS_PROC_SUBJECT_NODES_H_

#include <string>
#include <utility>

#include "sentry/fs/kernfs/directory.h"
#include "sentry/fs/kernfs/link.h"
#include "sentry/fs/kernfs/text_file.h"
#include "sentry/fs/proc/subject.h"

namespace cloister::proc {

// Attributes of a node about a subject: what the tree says, with the subject's owner.
template <typename Base>
class SubjectNode : public Base {
 public:
  SubjectNode(Ref<kernfs::Tree> tree, Subject subject, const kernfs::NodeSpec& spec)
      : Base(std::move(tree), spec), subject_(std::move(subject)), mode_(spec.mode) {}

  const Subject& subject() const { return subject_; }

  ErrnoOr<struct statx> GetAttr() override {
    struct statx attr = TRY(Base::GetAttr());
    const vfs::Ownership owner = TRY(GetOwnership());
    attr.stx_mode = static_cast<uint16_t>(owner.mode);
    attr.stx_uid = owner.uid;
    attr.stx_gid = owner.gid;
    return attr;
  }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return subject_.Owner(this->type() | mode_); }

 private:
  const Subject subject_;
  const mode_t mode_;
};

using SubjectText = SubjectNode<kernfs::TextInode>;
using SubjectLink = SubjectNode<kernfs::LinkBase>;

// Linux answers ENOENT to whoever wants to make a name in proc: there the lookup itself fails, before
// permission and support for it are looked at.
template <typename Base>
class NothingIsMade : public Base {
 public:
  using Base::Base;
  ErrnoOr<Ref<vfs::Inode>> Create(std::string_view, const vfs::NewNode&) override { return Errno::kNoEnt; }
  ErrnoOr<Ref<vfs::Inode>> Symlink(std::string_view, std::string_view, const vfs::NewNode&) override {
    return Errno::kNoEnt;
  }
};

// A directory about a subject. It is empty as soon as the subject is gone, whatever was found in it.
class SubjectDirectory : public NothingIsMade<SubjectNode<kernfs::Directory>> {
 public:
  using NothingIsMade::NothingIsMade;

  Cache cache() const final { return Cache::kRevalidate; }
  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) final {
    if (!subject().Exists()) return Errno::kNoEnt;
    return Make(name);
  }
  ErrnoOr<Ref<vfs::Inode>> Revalidate(std::string_view name, const Ref<vfs::Inode>& cached) final {
    if (!subject().Exists()) return Errno::kNoEnt;
    if (cached && StillThere(name, *cached)) return cached;
    return Make(name);
  }

 protected:
  // The entry afresh, or kNoEnt.
  virtual ErrnoOr<Ref<vfs::Inode>> Make(std::string_view name) = 0;
  virtual bool StillThere(std::string_view, vfs::Inode&) { return true; }
};

// The namespace and root from which paths are shown to whoever reads now; `fallback`'s where no
// task does.
struct Viewpoint {
  Ref<vfs::MountNamespace> mounts;
  vfs::Path root;
};
Viewpoint ViewpointOfReader(const Subject& fallback);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_SUBJECT_NODES_H_
