#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include <cstring>
#include <string>

#include "tests/util/child.h"
#include "tests/util/clock.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// io_setup(2), io_submit(2), io_getevents(2), io_cancel(2), io_destroy(2).
namespace cloister::tests {
namespace {

long MakeContext(unsigned count, aio_context_t* context) { return syscall(SYS_io_setup, count, context); }
long Destroy(aio_context_t context) { return syscall(SYS_io_destroy, context); }
long Submit(aio_context_t context, long count, iocb** list) {
  return syscall(SYS_io_submit, context, count, list);
}
long Events(aio_context_t context, long least, long most, io_event* events, timespec* timeout = nullptr) {
  return syscall(SYS_io_getevents, context, least, most, events, timeout);
}

iocb Request(int opcode, int fd, void* buffer = nullptr, size_t size = 0, int64_t offset = 0) {
  iocb request = {};
  request.aio_data = 77;
  request.aio_lio_opcode = static_cast<uint16_t>(opcode);
  request.aio_fildes = static_cast<uint32_t>(fd);
  request.aio_buf = reinterpret_cast<uint64_t>(buffer);
  request.aio_nbytes = size;
  request.aio_offset = offset;
  return request;
}

class AioTest : public ::testing::Test {
 protected:
  AioTest() { EXPECT_THAT(MakeContext(8, &context_), SyscallSucceeds()); }
  ~AioTest() override { EXPECT_THAT(Destroy(context_), SyscallSucceeds()); }

  // Submits one request and takes its event.
  int64_t Do(iocb request) {
    iocb* list[] = {&request};
    io_event event = {};
    EXPECT_THAT(Submit(context_, 1, list), SyscallSucceedsWithValue(1));
    EXPECT_THAT(Events(context_, 1, 1, &event), SyscallSucceedsWithValue(1));
    EXPECT_EQ(event.data, 77u);
    EXPECT_EQ(event.obj, reinterpret_cast<uint64_t>(&request));
    EXPECT_EQ(event.res2, 0);
    return event.res;
  }
  long Try(iocb request) {
    iocb* list[] = {&request};
    return Submit(context_, 1, list);
  }

  aio_context_t context_ = 0;
  const TempDir dir_;
  const TestFd file_ = Open(dir_.WithFile("file", "0123456789"), O_RDWR);
};

TEST_F(AioTest, ReadsAndWritesAtOffsets) {
  char text[16] = {};
  EXPECT_EQ(Do(Request(IOCB_CMD_PREAD, file_.get(), text, 4, 3)), 4);
  EXPECT_STREQ(text, "3456");
  EXPECT_EQ(Do(Request(IOCB_CMD_PWRITE, file_.get(), text, 4, 9)), 4);
  EXPECT_EQ(ReadFile(dir_.File("file")), "0123456783456");
  EXPECT_EQ(Do(Request(IOCB_CMD_PREAD, file_.get(), text, 4, 100)), 0);
  EXPECT_EQ(lseek(file_.get(), 0, SEEK_CUR), 0);
}

TEST_F(AioTest, Vectors) {
  char first[3] = {}, second[4] = {};
  iovec vector[] = {{first, 2}, {second, 3}};
  EXPECT_EQ(Do(Request(IOCB_CMD_PREADV, file_.get(), vector, 2, 1)), 5);
  EXPECT_STREQ(first, "12");
  EXPECT_STREQ(second, "345");
  EXPECT_EQ(Do(Request(IOCB_CMD_PWRITEV, file_.get(), vector, 2, 0)), 5);
  EXPECT_EQ(ReadFile(dir_.File("file")), "1234556789");
}

TEST_F(AioTest, Syncs) {
  EXPECT_EQ(Do(Request(IOCB_CMD_FSYNC, file_.get())), 0);
  EXPECT_EQ(Do(Request(IOCB_CMD_FDSYNC, file_.get())), 0);
}

TEST_F(AioTest, ErrorsOfTheWorkAreEvents) {
  EXPECT_EQ(Do(Request(IOCB_CMD_PREAD, file_.get(), BadPointer(), 4, 0)), -EFAULT);
}

TEST_F(AioTest, ErrorsOfTheRequestAreNot) {
  char byte;
  EXPECT_THAT(Try(Request(IOCB_CMD_PREAD, -1, &byte, 1)), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Try(Request(99, file_.get(), &byte, 1)), SyscallFailsWithErrno(EINVAL));
  const TestFd read_only = Open(dir_.File("file"), O_RDONLY);
  EXPECT_THAT(Try(Request(IOCB_CMD_PWRITE, read_only.get(), &byte, 1)), SyscallFailsWithErrno(EBADF));
  iocb reserved = Request(IOCB_CMD_PREAD, file_.get(), &byte, 1);
  reserved.aio_reserved2 = 1;
  EXPECT_THAT(Try(reserved), SyscallFailsWithErrno(EINVAL));
  iocb flags = Request(IOCB_CMD_PREAD, file_.get(), &byte, 1);
  flags.aio_rw_flags = 1 << 20;
  EXPECT_THAT(Try(flags), SyscallFailsWithErrno(EOPNOTSUPP));
  iocb* list[] = {BadPointer<iocb>()};
  EXPECT_THAT(Submit(context_, 1, list), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Submit(context_, 1, BadPointer<iocb*>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Submit(context_, -1, list), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Submit(context_, 0, list), SyscallSucceedsWithValue(0));
}

TEST_F(AioTest, ABadRequestEndsTheList) {
  char byte = 0;
  iocb good = Request(IOCB_CMD_PREAD, file_.get(), &byte, 1), bad = Request(IOCB_CMD_PREAD, -1, &byte, 1);
  iocb* list[] = {&good, &good, &bad, &good};
  EXPECT_THAT(Submit(context_, 4, list), SyscallSucceedsWithValue(2));
  io_event events[4] = {};
  EXPECT_THAT(Events(context_, 2, 4, events), SyscallSucceedsWithValue(2));
}

TEST_F(AioTest, EventsRunOutOfRoom) {
  char byte = 0;
  iocb good = Request(IOCB_CMD_PREAD, file_.get(), &byte, 1);
  iocb* list[] = {&good};
  long submitted = 0;
  while (Submit(context_, 1, list) == 1) ++submitted;
  EXPECT_EQ(errno, EAGAIN);
  EXPECT_GE(submitted, 8);
  io_event events[4];
  EXPECT_THAT(Events(context_, 1, 4, events), SyscallSucceedsWithValue(4));
  EXPECT_THAT(Submit(context_, 1, list), SyscallSucceedsWithValue(1));
}

TEST_F(AioTest, GetEventsWaits) {
  io_event event = {};
  timespec none = {}, some = ToTimespec(3 * kMillisecond);
  EXPECT_THAT(Events(context_, 1, 1, &event, &none), SyscallSucceedsWithValue(0));
  const int64_t start = Now();
  EXPECT_THAT(Events(context_, 1, 1, &event, &some), SyscallSucceedsWithValue(0));
  EXPECT_GE(Now() - start, 3 * kMillisecond);
  ScopedThread submitter([&] {
    char byte;
    EXPECT_THAT(Try(Request(IOCB_CMD_PREAD, file_.get(), &byte, 1)), SyscallSucceedsWithValue(1));
  });
  EXPECT_THAT(Events(context_, 1, 1, &event), SyscallSucceedsWithValue(1));
  EXPECT_THAT(Events(context_, 2, 1, &event), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Events(context_, -1, 1, &event), SyscallFailsWithErrno(EINVAL));
}

TEST_F(AioTest, TellsAnEventfd) {
  const TestFd counter(eventfd(0, EFD_NONBLOCK));
  char byte;
  iocb request = Request(IOCB_CMD_PREAD, file_.get(), &byte, 1);
  request.aio_flags = IOCB_FLAG_RESFD;
  request.aio_resfd = static_cast<uint32_t>(counter.get());
  EXPECT_EQ(Do(request), 1);
  EXPECT_EQ(Do(request), 1);
  eventfd_t count = 0;
  EXPECT_THAT(eventfd_read(counter.get(), &count), SyscallSucceeds());
  EXPECT_EQ(count, 2u);
  request.aio_resfd = static_cast<uint32_t>(file_.get());
  EXPECT_THAT(Try(request), SyscallFailsWithErrno(EINVAL));
  request.aio_resfd = static_cast<uint32_t>(-1);
  EXPECT_THAT(Try(request), SyscallFailsWithErrno(EBADF));
}

TEST_F(AioTest, Pipes) {
  const Pipe pipe;
  char text[8] = {};
  strcpy(text, "piped");
  EXPECT_EQ(Do(Request(IOCB_CMD_PWRITE, pipe.write.get(), text, 5)), 5);
  EXPECT_EQ(Do(Request(IOCB_CMD_PREAD, pipe.read.get(), text, 8)), 5);
}

TEST_F(AioTest, NothingIsLeftToCancel) {
  char byte;
  iocb request = Request(IOCB_CMD_PREAD, file_.get(), &byte, 1);
  EXPECT_EQ(Do(request), 1);
  io_event event;
  EXPECT_THAT(syscall(SYS_io_cancel, context_, &request, &event), SyscallFailsWithErrno(EINVAL));
}

TEST_F(AioTest, IsNotInherited) {
  EXPECT_THAT(InChild([&] {
                io_event event;
                CHILD_CHECK(Events(context_, 0, 1, &event) == -1 && errno == EINVAL);
                CHILD_CHECK(Destroy(context_) == -1 && errno == EINVAL);
              }),
              ExitedWith(0));
}

TEST(AioContexts, Errors) {
  aio_context_t context = 5;
  EXPECT_THAT(MakeContext(8, &context), SyscallFailsWithErrno(EINVAL));
  context = 0;
  EXPECT_THAT(MakeContext(0, &context), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(MakeContext(1 << 20, &context), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(MakeContext(8, BadPointer<aio_context_t>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Destroy(0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Destroy(4096), SyscallFailsWithErrno(EINVAL));
  io_event event;
  EXPECT_THAT(Events(0, 0, 1, &event), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace cloister::tests
