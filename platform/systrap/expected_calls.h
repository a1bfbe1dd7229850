#ifndef CLOISTER_PLATFORM_SYSTRAP_EXPECTED_CALLS_H_
#define CLOISTER_PLATFORM_SYSTRAP_EXPECTED_CALLS_H_

#include <linux/seccomp.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "platform/api/guest_thread.h"
#include "platform/stub/context.h"

namespace cloister::systrap {

// The mappings that a thread was asked for and that the host reports before they happen: only these pass, in
// this order. Not thread-safe: the thread's owner's.
class ExpectedCalls {
 public:
  void Clear() { count_ = next_ = 0; }
  void Add(const stub::Op& op) {
    Call& call = calls_[count_++];
    call.nr = static_cast<int>(op.nr);
    std::copy(std::begin(op.args), std::end(op.args), call.args.begin());
  }
  // False: it is none of those that are left.
  bool Take(const seccomp_data& data) {
    while (next_ < count_) {
      if (calls_[next_++].Matches(data)) return true;
    }
    return false;
  }
  bool AllTaken() const { return next_ == count_; }

 private:
  struct Call {
    int nr;
    std::array<uint64_t, 6> args;
    bool Matches(const seccomp_data& data) const {
      return nr == data.nr && std::equal(args.begin(), args.end(), data.args);
    }
  };
  std::array<Call, platform::GuestThread::kMaxOps> calls_;
  uint32_t count_ = 0, next_ = 0;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_EXPECTED_CALLS_H_
