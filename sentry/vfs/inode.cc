#include "sentry/vfs/inode.h"

#include <sys/sysmacros.h>

#include "sentry/vfs/file_description.h"
#include "sentry/vfs/file_locks.h"
#include "sentry/vfs/flat_delete.h"

namespace cloister::vfs {
namespace {

// Major 0 with a counting minor, as Linux numbers file systems without a device.
dev_t NextDevice() {
  static std::atomic<unsigned> next{20};
  return makedev(0, next.fetch_add(1, std::memory_order_relaxed));
}

}  // namespace

FileSystem::FileSystem() : device_(NextDevice()) {}

Inode::Inode(Ref<FileSystem> fs, mode_t type) : fs_(std::move(fs)), type_(type & S_IFMT) {}

Inode::~Inode() { delete locks_.load(std::memory_order_acquire); }

void Inode::OnLastRef() {
  FlatDelete::Run([](void* inode) { delete static_cast<Inode*>(inode); }, this);
}

ErrnoOr<Ownership> Inode::GetOwnership() {
  const struct statx attr = TRY(GetAttr());
  return Ownership{attr.stx_mode, attr.stx_uid, attr.stx_gid};
}

ErrnoOr<std::string> Inode::GetXattr(const std::string&) { return Errno::kOpNotSupp; }
ErrnoOrVoid Inode::SetXattr(const std::string&, std::string_view, int) { return Errno::kOpNotSupp; }
ErrnoOrVoid Inode::RemoveXattr(const std::string&) { return Errno::kOpNotSupp; }
ErrnoOr<std::vector<std::string>> Inode::ListXattr() { return std::vector<std::string>(); }

FileLocks& Inode::locks() {
  FileLocks* locks = locks_.load(std::memory_order_acquire);
  if (locks != nullptr) return *locks;
  FileLocks* const made = new FileLocks;
  if (locks_.compare_exchange_strong(locks, made, std::memory_order_acq_rel)) return *made;
  delete made;
  return *locks;
}

ErrnoOrVoid Inode::TakeWriteAccess() {
  int writers = writers_.load(std::memory_order_relaxed);
  do {
    if (writers < 0) return Errno::kTxtBsy;
  } while (!writers_.compare_exchange_weak(writers, writers + 1, std::memory_order_relaxed));
  return {};
}

ErrnoOrVoid Inode::DenyWriteAccess() {
  int writers = writers_.load(std::memory_order_relaxed);
  do {
    if (writers > 0) return Errno::kTxtBsy;
  } while (!writers_.compare_exchange_weak(writers, writers - 1, std::memory_order_relaxed));
  return {};
}

Ref<RefCounted> Inode::SharedState(absl::FunctionRef<Ref<RefCounted>()> make) {
  absl::MutexLock lock(&state_mu_);
  if (!state_) state_ = make();
  return state_;
}

ErrnoOr<Ref<Inode>> DirectoryInode::Revalidate(std::string_view name, const Ref<Inode>&) {
  return Lookup(name);
}

ErrnoOr<Ref<Inode>> DirectoryInode::Create(std::string_view, const NewNode&) { return Errno::kPerm; }
ErrnoOr<Ref<Inode>> DirectoryInode::Symlink(std::string_view, std::string_view, const NewNode&) {
  return Errno::kPerm;
}
ErrnoOrVoid DirectoryInode::Link(std::string_view, Inode&) { return Errno::kPerm; }
ErrnoOrVoid DirectoryInode::Unlink(std::string_view, Inode&) { return Errno::kPerm; }
ErrnoOrVoid DirectoryInode::Rmdir(std::string_view, Inode&) { return Errno::kPerm; }
ErrnoOrVoid DirectoryInode::Rename(std::string_view, Inode&, DirectoryInode&, std::string_view, Inode*,
                                   uint32_t) {
  return Errno::kPerm;
}
ErrnoOr<Ref<Inode>> DirectoryInode::CreateUnnamed(const NewNode&) { return Errno::kOpNotSupp; }

}  // namespace cloister::vfs
