#include <linux/falloc.h>
#include <sys/mman.h>

#include "sentry/fs/tmp/shared_memory.h"
#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::tmp {
namespace {

using usermem::UserBuffer;

class DataTest : public VfsTest {
 protected:
  ErrnoOr<size_t> WriteAt(vfs::FileDescription& file, std::string_view text, int64_t offset) {
    auto buffer = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return file.WriteAt(buffer, offset);
  }
  std::string ReadAt(vfs::FileDescription& file, size_t size, int64_t offset) {
    std::string text(size, '?');
    auto buffer = UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    text.resize(file.ReadAt(buffer, offset).value());
    return text;
  }
};

TEST_F(DataTest, SmallFilesGrowIntoLargeOnes) {
  const auto file = *Open(root, "/f", O_RDWR | O_CREAT);
  std::string all;
  for (int i = 0; i < 100; ++i) {
    const std::string piece(1000, static_cast<char>('a' + i % 26));
    EXPECT_EQ(Write(*file, piece).value(), piece.size());
    all += piece;
  }
  EXPECT_EQ(Contents("/f"), all);
  EXPECT_EQ(Stat("/f").stx_size, all.size());
  EXPECT_EQ(Stat("/f").stx_blocks, 25u * 8);
  EXPECT_EQ(ReadAt(*file, 10, 99995), all.substr(99995));
  EXPECT_EQ(ReadAt(*file, 10, 100000), "");
}

TEST_F(DataTest, PositionsAndAppending) {
  Put("/f", "abc");
  const auto file = *Open(root, "/f", O_RDWR | O_APPEND);
  EXPECT_EQ(Write(*file, "def").value(), 3u);
  EXPECT_EQ(file->Seek(0, SEEK_CUR).value(), 6);
  EXPECT_EQ(file->Seek(-2, SEEK_END).value(), 4);
  EXPECT_EQ(ReadAll(*file), "ef");
  EXPECT_THAT(file->Seek(-1, SEEK_SET), FailsWith(Errno::kInval));
  EXPECT_THAT(file->Seek(0, 99), FailsWith(Errno::kInval));
  EXPECT_EQ(Contents("/f"), "abcdef");
}

TEST_F(DataTest, HolesReadAsZeros) {
  const auto file = *Open(root, "/f", O_RDWR | O_CREAT);
  EXPECT_THAT(WriteAt(*file, "end", 1 << 20), Succeeds());
  EXPECT_EQ(ReadAt(*file, 4, 100), std::string(4, '\0'));
  EXPECT_EQ(Stat("/f").stx_blocks, 8u);
  EXPECT_EQ(file->Seek(0, SEEK_DATA).value(), 1 << 20);
  EXPECT_EQ(file->Seek(0, SEEK_HOLE).value(), 0);
  EXPECT_THAT(file->Seek(2 << 20, SEEK_DATA), FailsWith(Errno::kNxIo));
}

TEST_F(DataTest, TruncateDropsAndZeros) {
  Put("/f", "abcdef");
  const vfs::Path f = At("/f");
  EXPECT_THAT(vfs::Truncate(root, f, 3), Succeeds());
  EXPECT_THAT(vfs::Truncate(root, f, 5), Succeeds());
  EXPECT_EQ(Contents("/f"), std::string("abc\0\0", 5));
  EXPECT_THAT(vfs::Truncate(root, At("/"), 0), FailsWith(Errno::kIsDir));
  root.max_file_size = 100;
  EXPECT_THAT(vfs::Truncate(root, f, 101), FailsWith(Errno::kFBig));
}

TEST_F(DataTest, Fallocate) {
  const auto file = *Open(root, "/f", O_RDWR | O_CREAT);
  EXPECT_THAT(file->Allocate(0, 0, 64 << 10), Succeeds());
  EXPECT_EQ(Stat("/f").stx_size, 64u << 10);
  EXPECT_EQ(Stat("/f").stx_blocks, 128u);
  EXPECT_THAT(file->Allocate(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 32 << 10), Succeeds());
  EXPECT_EQ(Stat("/f").stx_blocks, 64u);
  EXPECT_EQ(Stat("/f").stx_size, 64u << 10);
  EXPECT_THAT(file->Allocate(FALLOC_FL_COLLAPSE_RANGE, 0, 4096), FailsWith(Errno::kOpNotSupp));
}

TEST_F(DataTest, MappingsSeeTheFile) {
  Put("/f", "mapped");
  const auto file = *Open(root, "/f", O_RDWR);
  const auto backing = file->AsMappable()->BackingFor(0, 4096, true, true);
  ASSERT_THAT(backing, Succeeds());
  char* const memory =
      static_cast<char*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, backing->host_fd, 0));
  ASSERT_NE(memory, MAP_FAILED);
  EXPECT_EQ(std::string(memory), "mapped");
  memory[0] = 'M';
  EXPECT_EQ(Contents("/f"), "Mapped");
  munmap(memory, 4096);
}

class LimitedTest : public VfsTest {
 protected:
  LimitedTest() : VfsTest({.max_bytes = 64 << 10, .max_inodes = 4, .mode = 0755}) {}
};

TEST_F(LimitedTest, SpaceRunsOutAndComesBack) {
  const auto file = *Open(root, "/f", O_RDWR | O_CREAT);
  EXPECT_EQ(Write(*file, std::string(60 << 10, 'x')).value(), 60u << 10);
  EXPECT_EQ(Write(*file, std::string(60 << 10, 'x')).value(), 4u << 10);
  EXPECT_THAT(Write(*file, "x"), FailsWith(Errno::kNoSpc));
  EXPECT_EQ(vfs::StatFs(At("/"))->f_bfree, 0u);
  EXPECT_THAT(vfs::Truncate(root, At("/f"), 4096), Succeeds());
  EXPECT_EQ(vfs::StatFs(At("/"))->f_bfree, 15u);
  EXPECT_EQ(file->Seek(0, SEEK_SET).value(), 0);
  EXPECT_EQ(Write(*file, std::string(4096, 'y')).value(), 4096u);
  EXPECT_EQ(vfs::StatFs(At("/"))->f_bfree, 15u);
}

TEST_F(LimitedTest, InodesRunOutAndComeBack) {
  Put("/a", "");
  Put("/b", "");
  Put("/c", "");
  EXPECT_THAT(Mkdir(root, "/d"), FailsWith(Errno::kNoSpc));
  EXPECT_THAT(Remove(root, "/a"), Succeeds());
  EXPECT_THAT(Mkdir(root, "/d"), Succeeds());
}

TEST(TmpOptionsTest, Parse) {
  const auto options = ParseTmpOptions("size=64m,mode=0755,uid=5,gid=6,nr_inodes=1k", {});
  ASSERT_THAT(options, Succeeds());
  EXPECT_EQ(options->max_bytes, 64u << 20);
  EXPECT_EQ(options->mode, 0755u);
  EXPECT_EQ(options->uid, 5u);
  EXPECT_EQ(options->max_inodes, 1024u);
  EXPECT_THAT(ParseTmpOptions("size=", {}), FailsWith(Errno::kInval));
  EXPECT_THAT(ParseTmpOptions("size=12q", {}), FailsWith(Errno::kInval));
  EXPECT_THAT(ParseTmpOptions("mode=9", {}), FailsWith(Errno::kInval));
  EXPECT_THAT(ParseTmpOptions("what", {}), FailsWith(Errno::kInval));
}

TEST(SharedMemoryTest, SealsHold) {
  const auto file = *MakeMemFd("name", MFD_ALLOW_SEALING, auth::Credentials::Root());
  auto buffer = UserBuffer::KernelConst(std::as_bytes(std::span("text")));
  EXPECT_THAT(file->Write(buffer), Succeeds());
  EXPECT_EQ(file->Seals().value(), 0);
  EXPECT_THAT(file->AddSeals(F_SEAL_WRITE | F_SEAL_GROW), Succeeds());
  buffer = UserBuffer::KernelConst(std::as_bytes(std::span("text")));
  EXPECT_THAT(file->Write(buffer), FailsWith(Errno::kPerm));
  EXPECT_THAT(file->AsMappable()->BackingFor(0, 4096, true, true), FailsWith(Errno::kPerm));
  EXPECT_THAT(file->AsMappable()->BackingFor(0, 4096, false, true), Succeeds());
  const auto closed = *MakeMemFd("name", 0, auth::Credentials::Root());
  EXPECT_EQ(closed->Seals().value(), F_SEAL_SEAL);
  EXPECT_THAT(closed->AddSeals(F_SEAL_WRITE), FailsWith(Errno::kPerm));
  EXPECT_EQ(closed->AsMappable()->MappedName(), "/memfd:name (deleted)");
}

}  // namespace
}  // namespace cloister::tmp
