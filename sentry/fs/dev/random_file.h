#ifndef CLOISTER_SENTRY_FS_DEV_RANDOM_FILE_H_
#define CLOISTER_SENTRY_FS_DEV_RANDOM_FILE_H_

#include <utility>

#include "absl/functional/function_ref.h"
#include "sentry/fs/dev/device_file.h"
#include "sentry/wait/wait_queue.h"

namespace cloister::dev {

// random(4): /dev/random and /dev/urandom, which are the same once the host's generator is seeded.
// What is written counts as written and is dropped: a guest has no say in the host's entropy.
class RandomFile final : public DeviceFile {
 public:
  enum class Kind { kRandom, kUrandom };
  RandomFile(const vfs::OpenRequest& request, Ref<vfs::Inode> inode, Kind kind, InterruptedFn interrupted)
      : DeviceFile(request, std::move(inode)), kind_(kind), interrupted_(interrupted) {}

  ErrnoOr<size_t> Read(UserBuffer& dst) override;
  ErrnoOr<size_t> Write(UserBuffer& src) override;
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
  // As in Linux, epoll(7) takes /dev/random alone. Nobody ever has to wait for it.
  wait::WaitQueue* wait_queue() override { return kind_ == Kind::kRandom ? &queue_ : nullptr; }

 private:
  ErrnoOr<size_t> InPieces(UserBuffer& buffer, absl::FunctionRef<ErrnoOr<size_t>(UserBuffer&)> transfer);

  const Kind kind_;
  const InterruptedFn interrupted_;
  wait::WaitQueue queue_;
};

}  // namespace cloister::dev

#endif  // CLOISTER_SENTRY_FS_DEV_RANDOM_FILE_H_
