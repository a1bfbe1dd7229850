#ifndef CLOISTER_SENTRY_VFS_FILE_DESCRIPTION_H_
#define CLOISTER_SENTRY_VFS_FILE_DESCRIPTION_H_

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/mm/mappable.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/vfs/inode.h"
#include "sentry/vfs/path.h"
#include "sentry/wait/block.h"
#include "sentry/wait/poll.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::event {
class AnonFile;
class EpollFile;
}  // namespace cloister::event
namespace cloister::net {
class Socket;
}
namespace cloister::pipe {
class PipeFile;
}

namespace cloister::vfs {

using usermem::AddressSpace;
using usermem::UserBuffer;

class DirectoryFile;

// Is told once that an open file goes: its last reference is dropped and it is about to be destroyed
// (epoll(7) drops its interest then). Runs on whatever thread dropped it.
class ReleaseHook : public RefCounted {
 public:
  virtual void OnRelease() = 0;
};

// One ioctl(2): the command, its argument, and the memory that the argument may point into.
struct IoctlRequest {
  uint32_t command;
  uint64_t arg;
  AddressSpace& space;
  const Caller& caller;
};

// An open file. Linux: struct file; open(2) calls it the open file description. Shared by count
// between fd tables, mappings and messages; credentials fixed at open. Thread-safe.
//
// Files never sleep: what would block answers kAgain, whatever O_NONBLOCK says; the syscall layer
// then waits on wait_queue() for Ready() and asks again, or gives kAgain to the guest.
class FileDescription : public RefCounted {
 public:
  // flags: access mode and status flags of open(2). path may be empty (sockets, eventfd).
  FileDescription(int flags, Path path, auth::CredRef cred);
  ~FileDescription() override;

  // Access mode 3 is neither: for ioctl(2) alone.
  bool readable() const { return access_mode() == O_RDONLY || access_mode() == O_RDWR; }
  bool writable() const { return access_mode() == O_WRONLY || access_mode() == O_RDWR; }
  bool is_path_only() const { return (access_ & O_PATH) != 0; }
  // Access mode and status flags, as fcntl(2) F_GETFL (O_LARGEFILE included).
  int flags() const { return access_ | status_.load(std::memory_order_relaxed); }
  bool nonblocking() const { return (flags() & O_NONBLOCK) != 0; }
  // F_SETFL: O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME, O_NONBLOCK. A file that cannot have one says kInval.
  virtual ErrnoOrVoid SetStatusFlags(int flags);

  const Path& path() const { return path_; }
  const auth::CredRef& cred() const { return cred_; }
  // Null only for an O_PATH of nothing, which cannot be: every file has an inode (anonymous ones too).
  virtual Ref<Inode> inode() const;
  // For /proc/PID/fd/N where there is no path: "pipe:[17]", "socket:[3]", "anon_inode:[eventpoll]".
  virtual std::string Name() const;

  // At the file's position (streams: the next bytes). kBadf has been checked; 0 is the end.
  virtual ErrnoOr<size_t> Read(UserBuffer& dst);   // default kInval
  virtual ErrnoOr<size_t> Write(UserBuffer& src);  // default kInval
  // pread(2), pwrite(2): the position stays. Default kSPipe.
  virtual ErrnoOr<size_t> ReadAt(UserBuffer& dst, int64_t offset);
  virtual ErrnoOr<size_t> WriteAt(UserBuffer& src, int64_t offset);
  // At the end of the file whatever the position is (O_APPEND); *end receives the new end. Default kSPipe.
  virtual ErrnoOr<size_t> Append(UserBuffer& src, int64_t* end);
  // lseek(2). Default kSPipe.
  virtual ErrnoOr<int64_t> Seek(int64_t offset, int whence);

  // A read that the guest's own thread is to make: of length bytes, which are there, at offset of a file of
  // the host. Borrowed: open as long as this one. No host_fd: Read and ReadAt it is.
  struct HostRead {
    int host_fd = -1;
    uint64_t host_id = 0;  // no other descriptor's, ever
    int64_t offset = 0;
    size_t length = 0;
  };
  // Of size bytes at the file's position, which moves on; none if fewer than `least` are there.
  virtual HostRead BeginHostRead(size_t /*size*/, size_t /*least*/) { return {}; }
  virtual HostRead HostReadAt(size_t /*size*/, size_t /*least*/, int64_t /*offset*/) { return {}; }
  // What BeginHostRead gave has failed: the position goes back. False: it was moved since.
  virtual bool UndoHostRead(const HostRead&) { return false; }

  virtual wait::Poll Ready() const { return wait::Poll::kIn | wait::Poll::kOut; }
  // Null: always ready, and epoll(7) refuses it (regular files, directories).
  virtual wait::WaitQueue* wait_queue() { return nullptr; }
  // A FIFO whose other end is missing: a blocking open(2) waits on wait_queue() until this is false.
  virtual bool OpenPending() const { return false; }

  // ioctl(2) beyond FIOCLEX, FIONCLEX, FIONBIO, FIOASYNC, which the syscall layer serves. Default kNotTy.
  virtual ErrnoOr<int64_t> Ioctl(const IoctlRequest& request);
  virtual ErrnoOrVoid Sync(bool data_only);                                  // default kInval
  virtual ErrnoOrVoid Allocate(int mode, uint64_t offset, uint64_t length);  // default kNoDev/kSPipe
  // fcntl(2) F_GET_SEALS, F_ADD_SEALS. Default kInval.
  virtual ErrnoOr<int> Seals() { return Errno::kInval; }
  virtual ErrnoOrVoid AddSeals(int) { return Errno::kInval; }
  // Once for each close(2) of a number that refers to it.
  virtual ErrnoOrVoid Flush() { return {}; }

  virtual mm::Mappable* AsMappable() { return nullptr; }
  virtual DirectoryFile* AsDirectory() { return nullptr; }
  virtual event::AnonFile* AsAnon() { return nullptr; }
  virtual event::EpollFile* AsEpoll() { return nullptr; }
  virtual net::Socket* AsSocket() { return nullptr; }
  virtual pipe::PipeFile* AsPipe() { return nullptr; }

  // The file's one hook; null as long as nobody set one. The file keeps a reference.
  ReleaseHook* release_hook() const { return release_hook_.load(std::memory_order_acquire); }
  // False, and nothing changes, if there is one already.
  bool SetReleaseHook(Ref<ReleaseHook> hook) {
    ReleaseHook* none = nullptr;
    if (!release_hook_.compare_exchange_strong(none, hook.get(), std::memory_order_acq_rel)) return false;
    static_cast<void>(hook.Release());
    return true;
  }

  // The file's last reference gives the inode's write access back. Once, by who opens it.
  void KeepWriteAccess(Ref<Inode> inode);

  // fcntl(2) F_SETOWN, F_SETSIG; delivery of SIGIO is the task layer's.
  std::atomic<int> owner_type{0};
  std::atomic<pid_t> owner_pid{0};
  std::atomic<int> owner_signal{0};

 protected:
  // Runs the release hook (first); its flock(2) and open-file-description locks go away.
  void OnLastRef() override;
  // For OnLastRef alone.
  void RunReleaseHook() {
    if (const Ref<ReleaseHook> hook = Ref<ReleaseHook>::Adopt(release_hook_.exchange(nullptr)))
      hook->OnRelease();
  }
  // For subclasses whose Ready changes.
  void set_status(int status) { status_.store(status, std::memory_order_relaxed); }

 private:
  int access_mode() const { return is_path_only() ? 3 : access_ & O_ACCMODE; }

  std::atomic<ReleaseHook*> release_hook_{nullptr};  // one reference
  const int access_;                                 // O_ACCMODE, O_PATH and what never changes
  std::atomic<int> status_;
  const Path path_;
  const auth::CredRef cred_;
  Ref<Inode> written_;  // its write access is held
};

// A file with a position: regular files and what reads like one. Implements Read, Write and Seek
// through ReadAt and WriteAt under the position's lock (f_pos_lock), O_APPEND included.
class SeekableFile : public FileDescription {
 public:
  using FileDescription::FileDescription;
  ErrnoOr<size_t> Read(UserBuffer& dst) override;
  ErrnoOr<size_t> Write(UserBuffer& src) override;
  ErrnoOr<int64_t> Seek(int64_t offset, int whence) override;
  HostRead BeginHostRead(size_t size, size_t least) override;
  bool UndoHostRead(const HostRead& read) override;
  // Atomic with respect to other appenders: WriteAt(Size()) under the inode's append lock.
  ErrnoOr<size_t> Append(UserBuffer& src, int64_t* end) override;

 protected:
  // Current size, for SEEK_END and O_APPEND.
  virtual ErrnoOr<uint64_t> Size() = 0;
  // SEEK_DATA, SEEK_HOLE. Default: all data, one hole at the end.
  virtual ErrnoOr<int64_t> SeekHole(int64_t offset, bool data);

 private:
  absl::Mutex position_mu_;  // above every lock of the file
  int64_t position_ ABSL_GUARDED_BY(position_mu_) = 0;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FILE_DESCRIPTION_H_
