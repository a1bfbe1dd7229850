#include "sentry/fs/pipe/pipe_file.h"

#include <sys/stat.h>

#include <string>

#include "gtest/gtest.h"

namespace cloister::pipe {
namespace {

ErrnoOr<Ref<vfs::FileDescription>> Open(const Ref<PipeChannel>& channel, int flags) {
  return OpenFifo({.flags = flags, .path = {}, .cred = auth::Credentials::Root()}, channel);
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
  const auto channel = MakeRef<PipeChannel>();
  auto reader = Open(channel, O_RDONLY);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE((*reader)->OpenPending());
  auto writer = Open(channel, O_WRONLY);
  ASSERT_TRUE(writer.ok());
  EXPECT_FALSE((*writer)->OpenPending());
  EXPECT_FALSE((*reader)->OpenPending());
}

TEST(Fifo, AWriterThatCameAndWentEndsTheWait) {
  const auto channel = MakeRef<PipeChannel>();
  auto reader = Open(channel, O_RDONLY);
  Open(channel, O_WRONLY)->reset();
  EXPECT_FALSE((*reader)->OpenPending());
  EXPECT_EQ((*reader)->Ready(), Poll::kHup);
}

TEST(Fifo, NonBlockingOpens) {
  const auto channel = MakeRef<PipeChannel>();
  EXPECT_EQ(Open(channel, O_WRONLY | O_NONBLOCK).error(), Errno::kNxIo);
  auto reader = Open(channel, O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->Ready(), Poll::kNone);  // no hang-up before the first writer
  EXPECT_TRUE(Open(channel, O_WRONLY | O_NONBLOCK).ok());
  EXPECT_EQ((*reader)->Ready(), Poll::kHup);
}

TEST(Fifo, BytesGoWithTheLastEnd) {
  const auto channel = MakeRef<PipeChannel>();
  auto both = Open(channel, O_RDWR);
  ASSERT_TRUE(both.ok());
  EXPECT_FALSE((*both)->OpenPending());
  std::string text = "left";
  UserBuffer src = UserBuffer::KernelConst(std::as_bytes(std::span(text)));
  ASSERT_TRUE((*both)->Write(src).ok());
  both->reset();
  EXPECT_EQ(channel->queued(), 0u);
}

}  // namespace
}  // namespace cloister::pipe
