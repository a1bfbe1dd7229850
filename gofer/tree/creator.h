#ifndef CLOISTER_GOFER_TREE_CREATOR_H_
#define CLOISTER_GOFER_TREE_CREATOR_H_

#include <sys/types.h>

#include "base/error/errno_or.h"

namespace cloister::gofer {

// Makes the calling thread create files as uid:gid (setfsuid(2)) for the life of the object, so
// that a new file never has another owner, not even for a moment, and needs no chown by name.
// The thread's capabilities stay as they are: the gofer sets SECBIT_NO_SETUID_FIXUP.
class Creator {
 public:
  // kPerm where this process may not act for them.
  static ErrnoOr<Creator> As(uid_t uid, gid_t gid);
  Creator(Creator&& other) noexcept;
  Creator& operator=(Creator&&) = delete;
  ~Creator();

 private:
  Creator(int uid_before, int gid_before) : uid_before_(uid_before), gid_before_(gid_before) {}
  // -1: unchanged.
  int uid_before_;
  int gid_before_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_CREATOR_H_
