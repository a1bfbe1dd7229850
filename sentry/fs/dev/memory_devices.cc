#include "sentry/fs/dev/memory_devices.h"

#include <sys/stat.h>

#include <utility>

#include "sentry/fs/dev/device_file.h"
#include "sentry/fs/dev/kernel_log_file.h"
#include "sentry/fs/dev/random_file.h"
#include "sentry/fs/dev/zero_file.h"
#include "sentry/vfs/special_files.h"

namespace cloister::dev {
namespace {

constexpr unsigned kMemMajor = 1;  // Linux: MEM_MAJOR

// null(4).
class NullFile final : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  ErrnoOr<size_t> Read(UserBuffer&) override { return 0; }
  // As for zero, the bytes need not be there.
  ErrnoOr<size_t> Write(UserBuffer& src) override { return Swallow(src); }
};

void Register(unsigned minor, vfs::SpecialFiles::Opener open) {
  vfs::SpecialFiles::Get().RegisterDevice(
      S_IFCHR, kMemMajor, minor,
      [open = std::move(open)](vfs::Inode& inode,
                               const vfs::OpenRequest& request) -> ErrnoOr<Ref<vfs::FileDescription>> {
        if ((request.flags & O_DIRECT) != 0) return Errno::kInval;
        return open(inode, request);
      });
}

template <typename File, typename... Args>
void RegisterFile(unsigned minor, Args... args) {
  Register(
      minor,
      [args...](vfs::Inode& inode, const vfs::OpenRequest& request) -> ErrnoOr<Ref<vfs::FileDescription>> {
        return Ref<vfs::FileDescription>(MakeRef<File>(request, Ref<vfs::Inode>(&inode), args...));
      });
}

}  // namespace

void RegisterMemoryDevices(bool (*interrupted)()) {
  RegisterFile<NullFile>(3);
  RegisterFile<ZeroFile>(5, interrupted);
  RegisterFile<FullFile>(7, interrupted);
  RegisterFile<RandomFile>(8, RandomFile::Kind::kRandom, interrupted);
  RegisterFile<RandomFile>(9, RandomFile::Kind::kUrandom, interrupted);
  Register(11, KernelLogFile::Open);
}

}  // namespace cloister::dev
