#ifndef CLOISTER_SENTRY_FS_DEV_ZERO_FILE_H_
#define CLOISTER_SENTRY_FS_DEV_ZERO_FILE_H_

#include <string>
#include <utility>

#include "sentry/fs/dev/device_file.h"

namespace cloister::dev {

// What reads of /dev/zero and /dev/full have in common: zeros without end.
class ZeroSource : public DeviceFile {
 public:
  ZeroSource(const vfs::OpenRequest& request, Ref<vfs::Inode> inode, InterruptedFn interrupted)
      : DeviceFile(request, std::move(inode)), interrupted_(interrupted) {}

  ErrnoOr<size_t> Read(UserBuffer& dst) override;

 private:
  const InterruptedFn interrupted_;
};

// full(4): no room for a single byte, not even for none.
class FullFile final : public ZeroSource {
 public:
  using ZeroSource::ZeroSource;
  ErrnoOr<size_t> Write(UserBuffer&) override { return Errno::kNoSpc; }
};

// zero(4). A private mapping is anonymous memory, each shared one a piece of shared memory of its own.
class ZeroFile final : public ZeroSource, public mm::Mappable {
 public:
  using ZeroSource::ZeroSource;
  // The bytes are not looked at, nor need they be there.
  ErrnoOr<size_t> Write(UserBuffer& src) override;

  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t, uint64_t, bool, bool) override { return Backing{}; }
  Identity identity() const override;
  std::string MappedName() const override;
};

// The bytes left in src, which count as written.
size_t Swallow(UserBuffer& src);

}  // namespace cloister::dev

#endif  // CLOISTER_SENTRY_FS_DEV_ZERO_FILE_H_
