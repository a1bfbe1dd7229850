#include "gofer/tree/creator.h"

#include <sys/fsuid.h>

#include <utility>

namespace cloister::gofer {
namespace {

// setfsuid(2) and setfsgid(2) return the former id and never fail aloud; an impossible id asks.
constexpr uid_t kAsk = static_cast<uid_t>(-1);

}  // namespace

ErrnoOr<Creator> Creator::As(uid_t uid, gid_t gid) {
  if (uid == kAsk || gid == kAsk) return Errno::kInval;
  Creator creator(-1, -1);
  const int gid_now = setfsgid(kAsk);
  if (static_cast<gid_t>(gid_now) != gid) {
    creator.gid_before_ = gid_now;
    setfsgid(gid);
    if (static_cast<gid_t>(setfsgid(kAsk)) != gid) return Errno::kPerm;
  }
  const int uid_now = setfsuid(kAsk);
  if (static_cast<uid_t>(uid_now) != uid) {
    creator.uid_before_ = uid_now;
    setfsuid(uid);
    if (static_cast<uid_t>(setfsuid(kAsk)) != uid) return Errno::kPerm;
  }
  return creator;
}

Creator::Creator(Creator&& other) noexcept
    : uid_before_(std::exchange(other.uid_before_, -1)), gid_before_(std::exchange(other.gid_before_, -1)) {}

Creator::~Creator() {
  if (uid_before_ != -1) setfsuid(static_cast<uid_t>(uid_before_));
  if (gid_before_ != -1) setfsgid(static_cast<gid_t>(gid_before_));
}

}  // namespace cloister::gofer
