#include "sentry/fs/pipe/pipe_file.h"

#include <sys/stat.h>

#include <string>

#include "gtest/gtest.h"
#include "sentry/vfs/anon/anon_inode.h"

namespace cloister::pipe {
namespace {

// A FIFO on no file system in particular.
Ref<vfs::Inode> NewFifo() {
  return MakeRef<vfs::AnonInode>(vfs::AnonKind::kAnonInode, S_IFIFO | 0600, 7, *auth::Credentials::Root());
}

ErrnoOr<Ref<vfs::FileDescription>> Open(const Ref<vfs::Inode>& fifo, int flags) {
  return OpenFifo(*fifo, {.flags = flags, .path = {}, .cred = auth::Credentials::Root()});
}

TEST(PipeFile, PairCarriesBytesAndHangsUp) {
  auto [reader, writer] = MakePipe(0, auth::Credentials::Root());
  EXPECT_TRUE(reader->readable() && !reader->writable());
  EXPECT_TRUE(writer->writable() && !writer->readable());
  EXPECT_FALSE(reader->OpenPending() || writer->OpenPending());
  EXPECT_EQ(reader->Name(), writer->Name());
  EXPECT_EQ(reader->inode()->type(), static_cast<mode_t>(S_IFIFO));
  EXPECT_EQ(reader->Ready(), Poll::kNone);
  writer.reset();
  EXPECT_EQ(reader->Ready(), Poll::kHup);
}

TEST(PipeFile, IsOpenedAgainThroughItsInode) {
  auto [reader, writer] = MakePipe(0, auth::Credentials::Root());
  auto again = reader->inode()->Open({.flags = O_WRONLY, .path = {}, .cred = auth::Credentials::Root()});
  ASSERT_TRUE(again.ok());
  writer.reset();
  EXPECT_EQ(reader->Ready(), Poll::kNone);
  again->reset();
  EXPECT_EQ(reader->Ready(), Poll::kHup);
}

TEST(Fifo, BlockingOpensMeet) {
  const auto fifo = NewFifo();
  auto reader = Open(fifo, O_RDONLY);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE((*reader)->OpenPending());
  auto writer = Open(fifo, O_WRONLY);
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE((*writer)->OpenPending());
  EXPECT_FALSE((*reader)->OpenPending());
}

TEST(Fifo, AWriterThatCameAndWentEndsTheWait) {
  const auto fifo = NewFifo();
  auto reader = Open(fifo, O_RDONLY);
  Open(fifo, O_WRONLY)->reset();
  EXPECT_FALSE((*reader)->OpenPending());
  EXPECT_EQ((*reader)->Ready(), Poll::kHup);
}

TEST(PipeFile, OpenedAgainItWaitsForNobody) {
  auto [reader, writer] = MakePipe(0, auth::Credentials::Root());
  const Ref<vfs::Inode> inode = reader->inode();
  writer.reset();
  auto again = inode->Open({.flags = O_RDONLY, .path = {}, .cred = auth::Credentials::Root()});
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE((*again)->OpenPending());
  EXPECT_EQ((*again)->Ready(), Poll::kHup);
  again->reset();
  reader.reset();
  again = inode->Open({.flags = O_WRONLY | O_NONBLOCK, .path = {}, .cred = auth::Credentials::Root()});
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE((*again)->OpenPending());
}

TEST(Fifo, NonBlockingOpens) {
  const auto fifo = NewFifo();
  EXPECT_EQ(Open(fifo, O_WRONLY | O_NONBLOCK).error(), Errno::kNxIo);
  auto reader = Open(fifo, O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->Ready(), Poll::kNone);  // no hang-up before the first writer
  EXPECT_TRUE(Open(fifo, O_WRONLY | O_NONBLOCK).ok());
  EXPECT_EQ((*reader)->Ready(), Poll::kHup);
}

TEST(Fifo, BytesGoWithTheLastEnd) {
  const auto fifo = NewFifo();
  auto both = Open(fifo, O_RDWR);
  ASSERT_TRUE(both.ok());
  EXPECT_FALSE((*both)->OpenPending());
  std::string text = "left";
  UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
  ASSERT_TRUE((*both)->Write(src).ok());
  both->reset();
  auto again = Open(fifo, O_RDWR);
  EXPECT_EQ((*again)->AsPipe()->channel().queued(), 0u);
}

}  // namespace
}  // namespace cloister::pipe
