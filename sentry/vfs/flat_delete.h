#ifndef CLOISTER_SENTRY_VFS_FLAT_DELETE_H_
#define CLOISTER_SENTRY_VFS_FLAT_DELETE_H_

#include <vector>

namespace cloister::vfs {

// Deletes objects whose destructors drop the last reference to further ones of their kind, one
// after the other instead of one inside the other: a guest may nest directories as deep as it likes.
class FlatDelete {
 public:
  using Deleter = void (*)(void*);

  // Runs deleter(object) now, or after the one that is running on this thread.
  static void Run(Deleter deleter, void* object);

 private:
  struct Item {
    Deleter deleter;
    void* object;
  };
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_FLAT_DELETE_H_
