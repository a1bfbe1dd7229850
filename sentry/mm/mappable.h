#ifndef CLOISTER_SENTRY_MM_MAPPABLE_H_
#define CLOISTER_SENTRY_MM_MAPPABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/error/errno_or.h"
#include "base/own/ref.h"

namespace cloister::mm {

// What a file offers in order to be mapped. Implemented by file descriptions of regular files,
// shared anonymous memory and the few devices that map; found by FileDescription::AsMappable.
class Mappable {
 public:
  struct Backing {
    int host_fd = -1;     // borrowed: open as long as the Mappable lives. -1: plain anonymous memory
    uint64_t offset = 0;  // in host_fd, for the file offset that was asked for
  };

  // The host file behind [offset, offset + length), which is one contiguous piece of it. `writable`:
  // a shared mapping that may be written (the host descriptor must then be open for writing).
  // kNoDev where the file cannot be mapped, kAcces where not in this way. Page-aligned arguments.
  virtual ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t length, bool shared, bool writable) = 0;

  // The file's identity for shared futexes and for /proc/PID/maps.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
  };
  virtual Identity identity() const = 0;
  // Path as /proc/PID/maps shows it.
  virtual std::string MappedName() const = 0;

  // System V shared memory counts the areas that show it. Linux: open and close of shm_vm_ops. `by`: the
  // process in whose list they are. Called with the list's lock held.
  virtual void OnAreaAdded(pid_t) {}
  virtual void OnAreaRemoved(pid_t) {}
  // Of what shmat(2) attached: the bytes of the whole, in pages, that shmdt(2) detaches. Else 0.
  virtual uint64_t attached_bytes() const { return 0; }

 protected:
  ~Mappable() = default;
};

// A Mappable and what keeps it alive: always its vfs::FileDescription, which lies in a higher room.
struct MappedFile {
  Ref<RefCounted> keep;
  Mappable* mappable = nullptr;
  explicit operator bool() const { return mappable != nullptr; }
};

}  // namespace cloister::mm

#endif  // CLOISTER_SENTRY_MM_MAPPABLE_H_
