#include "sentry/vfs/anon/anon_inode.h"

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <atomic>
#include <string_view>

#include "sentry/vfs/file_description.h"

namespace cloister::vfs {
namespace {

constexpr uint64_t kPipeFsMagic = 0x50495045;     // PIPEFS_MAGIC
constexpr uint64_t kSockFsMagic = 0x534F434B;     // SOCKFS_MAGIC
constexpr uint64_t kAnonInodeMagic = 0x09041934;  // ANON_INODE_FS_MAGIC
constexpr uint32_t kBlockSize = 4096;

class AnonFs final : public FileSystem {
 public:
  AnonFs(std::string_view type, uint64_t magic) : type_(type), magic_(magic) {}
  std::string_view type() const override { return type_; }
  ErrnoOr<struct statfs> StatFs() override {
    struct statfs result = {};
    result.f_type = static_cast<decltype(result.f_type)>(magic_);
    result.f_bsize = kBlockSize;
    result.f_namelen = 255;
    return result;
  }

 private:
  const std::string_view type_;
  const uint64_t magic_;
};

timespec WallClock() {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now;
}

statx_timestamp ToStatx(const timespec& time) {
  statx_timestamp result = {};
  result.tv_sec = time.tv_sec;
  result.tv_nsec = static_cast<uint32_t>(time.tv_nsec);
  return result;
}

}  // namespace

Ref<FileSystem> AnonFileSystem(AnonKind kind) {
  static FileSystem* const anon = new AnonFs("anon_inodefs", kAnonInodeMagic);
  static FileSystem* const pipe = new AnonFs("pipefs", kPipeFsMagic);
  static FileSystem* const socket = new AnonFs("sockfs", kSockFsMagic);
  switch (kind) {
    case AnonKind::kAnonInode:
      return Ref<FileSystem>(anon);
    case AnonKind::kPipe:
      return Ref<FileSystem>(pipe);
    case AnonKind::kSocket:
      return Ref<FileSystem>(socket);
  }
  return Ref<FileSystem>(anon);
}

uint64_t NextAnonInodeNumber() {
  static std::atomic<uint64_t> next{2};
  return next.fetch_add(1, std::memory_order_relaxed);
}

AnonInode::AnonInode(AnonKind kind, mode_t mode, uint64_t number, const auth::Credentials& cred)
    : Inode(AnonFileSystem(kind), mode & S_IFMT), number_(number) {
  absl::MutexLock lock(&mu_);
  owner_ = {mode, cred.fsuid, cred.fsgid};
  atime_ = mtime_ = ctime_ = WallClock();
}

ErrnoOr<struct statx> AnonInode::GetAttr() {
  absl::MutexLock lock(&mu_);
  struct statx result = {};
  result.stx_mask = STATX_BASIC_STATS;
  result.stx_blksize = kBlockSize;
  result.stx_nlink = 1;
  result.stx_uid = owner_.uid;
  result.stx_gid = owner_.gid;
  result.stx_mode = static_cast<uint16_t>(owner_.mode);
  result.stx_ino = number_;
  result.stx_atime = ToStatx(atime_);
  result.stx_mtime = ToStatx(mtime_);
  result.stx_ctime = ToStatx(ctime_);
  result.stx_dev_major = major(fs().device());
  result.stx_dev_minor = minor(fs().device());
  return result;
}

ErrnoOr<Ownership> AnonInode::GetOwnership() {
  absl::MutexLock lock(&mu_);
  return owner_;
}

ErrnoOrVoid AnonInode::SetAttr(const AttrChange& change) {
  if (change.size) return Errno::kInval;
  const timespec now = WallClock();
  absl::MutexLock lock(&mu_);
  if (change.mode) owner_.mode = (owner_.mode & S_IFMT) | (*change.mode & 07777);
  if (change.uid) owner_.uid = *change.uid;
  if (change.gid) owner_.gid = *change.gid;
  if (change.atime) atime_ = change.atime->now ? now : change.atime->at;
  if (change.mtime) mtime_ = change.mtime->now ? now : change.mtime->at;
  ctime_ = now;
  return {};
}

ErrnoOr<Ref<FileDescription>> AnonInode::Open(const OpenRequest&) { return Errno::kNxIo; }

Ref<Inode> SharedAnonInode() {
  static Inode* const shared =
      new AnonInode(AnonKind::kAnonInode, 0600, NextAnonInodeNumber(), *auth::Credentials::Root());
  return Ref<Inode>(shared);
}

}  // namespace cloister::vfs
