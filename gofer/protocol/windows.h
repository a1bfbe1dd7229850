#ifndef CLOISTER_GOFER_PROTOCOL_WINDOWS_H_
#define CLOISTER_GOFER_PROTOCOL_WINDOWS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "base/host/unique_fd.h"

namespace cloister::gofer {

// The memory that sentry and gofer both map: for each connection one window of kWindowBytes, which
// holds the request under way and then its reply. The gofer makes it, as a file in memory whose size
// is sealed, so that neither side can make the other's access fail. What is in it the peer may
// change at any moment: copy first, then look. Immutable but for the bytes.
class Windows {
 public:
  static absl::StatusOr<std::shared_ptr<Windows>> Make(uint32_t count);
  // The peer's; refused unless its size is right and sealed.
  static absl::StatusOr<std::shared_ptr<Windows>> Map(UniqueFd memory, uint32_t count);
  ~Windows();
  Windows(const Windows&) = delete;
  Windows& operator=(const Windows&) = delete;

  // index is below count.
  std::span<std::byte> At(uint32_t index) const;
  uint32_t count() const { return count_; }
  int fd() const { return memory_.get(); }

 private:
  Windows(UniqueFd memory, std::byte* start, uint32_t count)
      : memory_(std::move(memory)), start_(start), count_(count) {}

  const UniqueFd memory_;
  std::byte* const start_;
  const uint32_t count_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_WINDOWS_H_
