// Data between open files, and files in memory.

#include <errno.h>
#include <sys/mman.h>
#include <sys/sendfile.h>

#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::syscalls {
namespace {

class CopySyscallTest : public SandboxTest {
 protected:
  struct PipeFds {
    uint64_t reader, writer;
  };
  PipeFds MakePipe(uint64_t flags = 0) {
    Must(SYS_pipe2, {scratch_ + 8, flags});
    return {static_cast<uint64_t>(Get<int>(scratch_ + 8)), static_cast<uint64_t>(Get<int>(scratch_ + 12))};
  }
  uint64_t Open(std::string_view path, uint64_t flags) {
    return Must(SYS_open, {PutText(scratch_ + 64, path), flags, 0600});
  }
  std::string Read(uint64_t fd, size_t size) {
    const std::optional<int64_t> got = Call(SYS_read, {fd, data_, size});
    return got.value_or(-1) < 0 ? "" : GetText(data_, static_cast<size_t>(*got));
  }
  const uint64_t offset_ = scratch_ + 256;
  const uint64_t offset2_ = scratch_ + 264;
  const uint64_t data_ = scratch_ + 4096;
};

TEST_F(CopySyscallTest, SendfileMovesThePositionOrTheOffset) {
  PutFile("/from", "0123456789");
  const uint64_t from = Open("/from", O_RDONLY), to = Open("/to", O_RDWR | O_CREAT);
  EXPECT_EQ(Call(SYS_sendfile, {to, from, 0, 4}), 4);
  EXPECT_EQ(Call(SYS_lseek, {from, 0, SEEK_CUR}), 4);
  Put<int64_t>(offset_, 7);
  EXPECT_EQ(Call(SYS_sendfile, {to, from, offset_, 100}), 3);
  EXPECT_EQ(Get<int64_t>(offset_), 10);
  EXPECT_EQ(Call(SYS_lseek, {from, 0, SEEK_CUR}), 4);
  EXPECT_EQ(Call(SYS_sendfile, {to, from, offset_, 100}), 0);
  Must(SYS_lseek, {to, 0, SEEK_SET});
  EXPECT_EQ(Read(to, 64), "0123789");
  EXPECT_EQ(Call(SYS_sendfile, {from, to, 0, 1}), -EBADF);
  Put<int64_t>(offset_, -1);
  EXPECT_EQ(Call(SYS_sendfile, {to, from, offset_, 1}), -EINVAL);
  EXPECT_EQ(Call(SYS_sendfile, {to, from, 8, 1}), -EFAULT);
}

TEST_F(CopySyscallTest, SendfileIntoAFullPipeWaits) {
  PutFile("/from", std::string(100'000, 'x'));
  const uint64_t from = Open("/from", O_RDONLY);
  const auto [reader, writer] = MakePipe();
  EXPECT_EQ(Call(SYS_sendfile, {writer, from, 0, 100'000}), 65536);
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(Call(SYS_sendfile, {writer, from, 0, 100'000}), std::nullopt);
  EXPECT_EQ(child->Syscall(SYS_read, {reader, data_, 8192}), 8192);
  EXPECT_EQ(Result(*thread_), 8192);
  EXPECT_EQ(Call(SYS_lseek, {from, 0, SEEK_CUR}), 65536 + 8192);
}

TEST_F(CopySyscallTest, SpliceThroughAPipe) {
  PutFile("/from", "splice me");
  const uint64_t from = Open("/from", O_RDONLY), to = Open("/to", O_RDWR | O_CREAT);
  const auto [reader, writer] = MakePipe();
  Put<int64_t>(offset_, 7);
  EXPECT_EQ(Call(SYS_splice, {from, offset_, writer, 0, 100, 0}), 2);
  EXPECT_EQ(Get<int64_t>(offset_), 9);
  EXPECT_EQ(Call(SYS_splice, {from, 0, writer, 0, 6, 0}), 6);
  EXPECT_EQ(Call(SYS_splice, {reader, 0, to, 0, 100, 0}), 8);
  Must(SYS_lseek, {to, 0, SEEK_SET});
  EXPECT_EQ(Read(to, 64), "mesplice");
  EXPECT_EQ(Call(SYS_splice, {reader, 0, to, 0, 1, SPLICE_F_NONBLOCK}), -EAGAIN);
  EXPECT_EQ(Call(SYS_splice, {from, 0, to, 0, 1, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_splice, {reader, offset_, to, 0, 1, 0}), -ESPIPE);
  EXPECT_EQ(Call(SYS_splice, {reader, 0, writer, 0, 1, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_splice, {reader, 0, to, 0, 1, 1 << 10}), -EINVAL);
  Must(SYS_close, {writer});
  EXPECT_EQ(Call(SYS_splice, {reader, 0, to, 0, 1, 0}), 0);
}

TEST_F(CopySyscallTest, TeeLeavesTheBytes) {
  const auto one = MakePipe(), other = MakePipe(O_NONBLOCK);
  PutText(data_, "twice");
  Must(SYS_write, {one.writer, data_, 5});
  EXPECT_EQ(Call(SYS_tee, {one.reader, other.writer, 100, 0}), 5);
  EXPECT_EQ(Read(one.reader, 64), "twice");
  EXPECT_EQ(Read(other.reader, 64), "twice");
  EXPECT_EQ(Call(SYS_tee, {one.reader, other.writer, 1, SPLICE_F_NONBLOCK}), -EAGAIN);
  EXPECT_EQ(Call(SYS_tee, {one.reader, one.writer, 1, 0}), -EINVAL);
}

TEST_F(CopySyscallTest, VmspliceCopies) {
  const auto [reader, writer] = MakePipe();
  PutText(data_, "gift");
  Put<uint64_t>(offset_, data_);
  Put<uint64_t>(offset2_, 4);
  EXPECT_EQ(Call(SYS_vmsplice, {writer, offset_, 1, SPLICE_F_GIFT}), 4);
  PutText(data_, "xxxx");
  EXPECT_EQ(Call(SYS_vmsplice, {reader, offset_, 1, 0}), 4);
  EXPECT_EQ(GetText(data_, 4), "gift");
  EXPECT_EQ(Call(SYS_vmsplice, {reader, offset_, 2000, 0}), -EINVAL);
}

TEST_F(CopySyscallTest, CopyFileRange) {
  PutFile("/from", "0123456789");
  const uint64_t from = Open("/from", O_RDONLY), to = Open("/to", O_RDWR | O_CREAT);
  Put<int64_t>(offset_, 8);
  Put<int64_t>(offset2_, 2);
  EXPECT_EQ(Call(SYS_copy_file_range, {from, offset_, to, offset2_, 100, 0}), 2);
  EXPECT_EQ(Get<int64_t>(offset_), 10);
  EXPECT_EQ(Get<int64_t>(offset2_), 4);
  EXPECT_EQ(Read(to, 64), std::string("\0\0"
                                      "89",
                                      4));
  EXPECT_EQ(Call(SYS_copy_file_range, {from, offset_, to, offset2_, 100, 0}), 0);
  EXPECT_EQ(Call(SYS_copy_file_range, {from, 0, to, 0, 1, 1}), -EINVAL);
  Put<int64_t>(offset_, 0);
  Put<int64_t>(offset2_, 1);
  EXPECT_EQ(Call(SYS_copy_file_range, {to, offset_, to, offset2_, 2, 0}), -EINVAL);  // they overlap
  const auto [reader, writer] = MakePipe();
  EXPECT_EQ(Call(SYS_copy_file_range, {from, 0, writer, 0, 1, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_copy_file_range, {from, 0, Open("/bin", O_RDONLY | O_DIRECTORY), 0, 1, 0}), -EISDIR);
  static_cast<void>(reader);
}

TEST_F(CopySyscallTest, MemoryFilesAreSealed) {
  const uint64_t fd =
      Must(SYS_memfd_create, {PutText(scratch_ + 64, "name"), MFD_ALLOW_SEALING | MFD_CLOEXEC});
  EXPECT_EQ(Call(SYS_fcntl, {fd, F_GETFD}), FD_CLOEXEC);
  PutText(data_, "bytes");
  EXPECT_EQ(Call(SYS_write, {fd, data_, 5}), 5);
  EXPECT_EQ(Call(SYS_fcntl, {fd, F_GET_SEALS}), 0);
  EXPECT_EQ(Call(SYS_fcntl, {fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL}), 0);
  EXPECT_EQ(Call(SYS_fcntl, {fd, F_GET_SEALS}), F_SEAL_WRITE | F_SEAL_SEAL);
  EXPECT_EQ(Call(SYS_write, {fd, data_, 5}), -EPERM);
  EXPECT_EQ(Call(SYS_fcntl, {fd, F_ADD_SEALS, F_SEAL_GROW}), -EPERM);
  const uint64_t plain = Must(SYS_memfd_create, {scratch_ + 64, 0});
  EXPECT_EQ(Call(SYS_fcntl, {plain, F_GET_SEALS}), F_SEAL_SEAL);
  EXPECT_EQ(Call(SYS_memfd_create, {scratch_ + 64, 1 << 20}), -EINVAL);
  EXPECT_EQ(Call(SYS_memfd_create, {PutText(scratch_ + 64, std::string(300, 'n')), 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_memfd_secret, {0}), -ENOSYS);
}

}  // namespace
}  // namespace cloister::syscalls
