#ifndef CLOISTER_BASE_HOST_UNIQUE_FD_H_
#define CLOISTER_BASE_HOST_UNIQUE_FD_H_

#include <utility>

namespace cloister {

// Owns one descriptor of this host process, or none (-1).
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }
  [[nodiscard]] int Release() { return std::exchange(fd_, -1); }
  // Closes what is held and takes fd instead.
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_UNIQUE_FD_H_
