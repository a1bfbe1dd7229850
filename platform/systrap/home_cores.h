#ifndef CLOISTER_PLATFORM_SYSTRAP_HOME_CORES_H_
#define CLOISTER_PLATFORM_SYSTRAP_HOME_CORES_H_

#include <sched.h>
#include <sys/types.h>

#include <utility>

namespace cloister::systrap {

// The cores of a host thread that may be kept off one of them for a while, sched_setaffinity(2). Not
// thread-safe.
class HomeCores {
 public:
  // Nothing happens if that is the only one it has, or if it is kept off one already.
  void KeepOff(pid_t tid, int core) {
    if (is_kept_ || stays_) return;
    CPU_ZERO(&home_);
    if (sched_getaffinity(tid, sizeof home_, &home_) != 0) return;
    cpu_set_t others = home_;
    CPU_CLR(core, &others);
    is_kept_ = CPU_COUNT(&others) > 0 && sched_setaffinity(tid, sizeof others, &others) == 0;
  }
  void Restore(pid_t tid) {
    if (std::exchange(is_kept_, false)) sched_setaffinity(tid, sizeof home_, &home_);
  }
  // At home, and not to be kept off until Go: a child that is made now takes after it.
  void Stay(pid_t tid) {
    Restore(tid);
    stays_ = true;
  }
  void Go() { stays_ = false; }
  // Null while it is kept off none.
  const cpu_set_t* kept_from() const { return is_kept_ ? &home_ : nullptr; }

 private:
  cpu_set_t home_ = {};
  bool is_kept_ = false, stays_ = false;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_HOME_CORES_H_
