#include "sentry/fs/host/host_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace cloister::hostfs {
namespace {

using usermem::UserBuffer;

class HostFileTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    signal(SIGPIPE, SIG_IGN);
    ASSERT_TRUE(wait::Poller::Get().Start().ok());
  }

  static Ref<vfs::FileDescription> Import(int fd) {
    auto file = ImportHostFile(UniqueFd(fd), 1000, 1001, auth::Credentials::Root());
    EXPECT_TRUE(file.ok());
    return *std::move(file);
  }

  static ErrnoOr<std::string> ReadSome(vfs::FileDescription& file, size_t most) {
    std::string text(most, '\0');
    UserBuffer buffer = UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    text.resize(TRY(file.Read(buffer)));
    return text;
  }

  static ErrnoOr<size_t> WriteSome(vfs::FileDescription& file, std::string_view text) {
    UserBuffer buffer = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return file.Write(buffer);
  }
};

TEST_F(HostFileTest, EmptyPipeWouldBlockAndStaysBlockingForOthers) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd writer(ends[1]);
  const auto file = Import(ends[0]);
  EXPECT_EQ(ReadSome(*file, 10).error(), Errno::kAgain);
  EXPECT_EQ(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
  ASSERT_EQ(write(writer.get(), "hello", 5), 5);
  EXPECT_TRUE(file->Ready().Any(wait::Poll::kIn));
  EXPECT_EQ(*ReadSome(*file, 10), "hello");
  EXPECT_EQ(file->Name().substr(0, 6), "pipe:[");
}

TEST_F(HostFileTest, FullPipeWouldBlock) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  UniqueFd reader(ends[0]);
  const auto file = Import(ends[1]);
  const std::string lot(1 << 20, 'x');
  const auto first = WriteSome(*file, lot);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(*first, 65536u);
  EXPECT_EQ(WriteSome(*file, lot).error(), Errno::kAgain);
  reader.reset();
  EXPECT_EQ(WriteSome(*file, lot).error(), Errno::kPipe);
}

TEST_F(HostFileTest, SocketIsReadWithoutBlocking) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd peer(ends[1]);
  const auto file = Import(ends[0]);
  EXPECT_EQ(ReadSome(*file, 10).error(), Errno::kAgain);
  EXPECT_EQ(*WriteSome(*file, "abc"), 3u);
  char got[4] = {};
  EXPECT_EQ(read(peer.get(), got, 3), 3);
}

TEST_F(HostFileTest, RegularFileSharesTheHostsPosition) {
  const int fd = memfd_create("log", 0);
  ASSERT_EQ(write(fd, "before", 6), 6);
  const auto file = Import(fd);
  EXPECT_EQ(*WriteSome(*file, " after"), 6u);
  EXPECT_EQ(*file->Seek(0, SEEK_SET), 0);
  EXPECT_EQ(*ReadSome(*file, 100), "before after");
  EXPECT_EQ(*ReadSome(*file, 100), "");
  const auto attr = file->inode()->GetAttr();
  EXPECT_EQ(attr->stx_size, 12u);
  EXPECT_EQ(attr->stx_uid, 1000u);
  EXPECT_EQ(file->wait_queue(), nullptr);
}

TEST_F(HostFileTest, ReopeningObeysTheHostsMode) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  const auto file = Import(ends[1]);
  const Ref<vfs::Inode> inode = file->inode();
  EXPECT_EQ(inode->Open({O_RDONLY, {}, auth::Credentials::Root()}).error(), Errno::kAcces);
  const auto again = inode->Open({O_WRONLY | O_APPEND, {}, auth::Credentials::Root()});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(*WriteSome(**again, "x"), 1u);
}

TEST_F(HostFileTest, DirectoriesAreRefused) {
  EXPECT_EQ(
      ImportHostFile(UniqueFd(open("/", O_RDONLY | O_DIRECTORY)), 0, 0, auth::Credentials::Root()).error(),
      Errno::kInval);
}

TEST_F(HostFileTest, NullDevice) {
  const auto file = Import(open("/dev/null", O_RDWR));
  EXPECT_EQ(*ReadSome(*file, 5), "");
  EXPECT_EQ(*WriteSome(*file, "12345"), 5u);
  EXPECT_EQ(file->Name(), "/dev/null");
}

}  // namespace
}  // namespace cloister::hostfs
