// Memory, futexes and fork, through the system call table.

#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::syscalls {
namespace {

using MemorySyscallTest = SandboxTest;

constexpr uint64_t kPage = inproc::kPageSize;
constexpr uint64_t kPrivate = MAP_PRIVATE | MAP_ANONYMOUS;

TEST_F(MemorySyscallTest, ProgramIsLoadedAndMapsMemory) {
  EXPECT_EQ(GetText(0x401000, 4), "TTTT");
  const auto addr = Call(SYS_mmap, {0, 2 * kPage, PROT_READ | PROT_WRITE, kPrivate, ~uint64_t{0}, 0});
  ASSERT_GT(*addr, 0);
  const auto at = static_cast<uint64_t>(*addr);
  PutText(at + kPage, "kept");
  EXPECT_EQ(Call(SYS_mprotect, {at, kPage, PROT_NONE}), 0);
  EXPECT_EQ(thread_->space().ProtectionAt(at), PROT_NONE);
  EXPECT_EQ(Call(SYS_munmap, {at, kPage}), 0);
  EXPECT_EQ(thread_->space().ProtectionAt(at), -1);
  EXPECT_EQ(GetText(at + kPage, 4), "kept");
  EXPECT_EQ(Call(SYS_mprotect, {at, 2 * kPage, PROT_READ}), -ENOMEM);
  EXPECT_EQ(Call(SYS_munmap, {at + 1, kPage}), -EINVAL);
}

TEST_F(MemorySyscallTest, BreakGrows) {
  const auto start = static_cast<uint64_t>(*Call(SYS_brk, {0}));
  EXPECT_EQ(Call(SYS_brk, {start + 3 * kPage}), static_cast<int64_t>(start + 3 * kPage));
  PutText(start + 2 * kPage, "heap");
  EXPECT_EQ(Call(SYS_brk, {~uint64_t{0}}), static_cast<int64_t>(start + 3 * kPage));
  EXPECT_EQ(Call(SYS_brk, {start}), static_cast<int64_t>(start));
}

TEST_F(MemorySyscallTest, FilesAreMapped) {
  PutFile("/data", std::string(kPage, 'a') + std::string(10, 'b'));
  const auto fd = Call(SYS_open, {PutText(scratch_, "/data"), O_RDWR, 0});
  ASSERT_GE(*fd, 0);
  const auto file = static_cast<uint64_t>(*fd);
  const auto addr = Call(SYS_mmap, {0, 2 * kPage, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0});
  ASSERT_GT(*addr, 0);
  const auto at = static_cast<uint64_t>(*addr);
  EXPECT_EQ(GetText(at + kPage, 3), "bbb");
  PutText(at, "changed");
  EXPECT_EQ(Call(SYS_pread64, {file, scratch_ + 64, 7, 0}), 7);
  EXPECT_EQ(GetText(scratch_ + 64, 7), "changed");
  EXPECT_EQ(Call(SYS_mmap, {0, kPage, PROT_READ, MAP_SHARED, 99, 0}), -EBADF);
}

TEST_F(MemorySyscallTest, ForkHasItsOwnMemoryAndIsWaitedFor) {
  PutText(scratch_, "parent");
  const Ref<inproc::Thread> child = Fork();
  ASSERT_NE(child, thread_);
  const std::optional<int64_t> pid = Result(*thread_);
  PutText(scratch_, "change");
  std::string text(6, '\0');
  child->space().Read(scratch_, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "parent");
  EXPECT_EQ(child->Syscall(SYS_getpid), pid);
  EXPECT_EQ(child->Syscall(SYS_getppid), 1);
  EXPECT_EQ(Call(SYS_wait4, {~uint64_t{0}, scratch_ + 64, 0, 0}), std::nullopt);
  EXPECT_EQ(child->Syscall(SYS_exit_group, {3}), std::nullopt);
  platform_->Pump();
  EXPECT_EQ(Result(*thread_), pid);
  EXPECT_TRUE(WIFEXITED(Get<int>(scratch_ + 64)));
  EXPECT_EQ(WEXITSTATUS(Get<int>(scratch_ + 64)), 3);
}

TEST_F(MemorySyscallTest, AChildMayEndWithNoValidSignal) {
  const Ref<inproc::Thread> child = Clone(254, 0);
  const std::optional<int64_t> pid = Result(*thread_);
  EXPECT_EQ(child->Syscall(SYS_exit_group, {3}), std::nullopt);
  platform_->Pump();
  EXPECT_EQ(Call(SYS_wait4, {~uint64_t{0}, 0, __WALL, 0}), pid);
  Put(scratch_, clone_args{.exit_signal = 65});
  EXPECT_EQ(Call(SYS_clone3, {scratch_, sizeof(clone_args)}), -EINVAL);
}

TEST_F(MemorySyscallTest, FutexWakesAThread) {
  const Ref<inproc::Thread> other = NewThread();
  EXPECT_EQ(other->Syscall(SYS_futex, {scratch_, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, 0}), -EAGAIN);
  EXPECT_EQ(other->Syscall(SYS_futex, {scratch_, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, 0}), std::nullopt);
  EXPECT_EQ(Call(SYS_futex, {scratch_, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 5}), 1);
  EXPECT_EQ(Result(*other), 0);
  // With two threads, operations on memory go one by one.
  EXPECT_GT(*other->Syscall(SYS_mmap, {0, kPage, PROT_READ, kPrivate, ~uint64_t{0}, 0}), 0);
  EXPECT_GT(*Call(SYS_mmap, {0, kPage, PROT_READ, kPrivate, ~uint64_t{0}, 0}), 0);
}

TEST_F(MemorySyscallTest, PipeBlocksAndWakes) {
  ASSERT_EQ(Call(SYS_mknod, {PutText(scratch_, "/fifo"), S_IFIFO | 0600, 0}), 0);
  const auto fd = Call(SYS_open, {scratch_, O_RDWR, 0});
  ASSERT_GE(*fd, 0);
  const auto fifo = static_cast<uint64_t>(*fd);
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(child->Syscall(SYS_read, {fifo, scratch_ + 64, 16}), std::nullopt);
  PutText(scratch_ + 128, "hello");
  EXPECT_EQ(Call(SYS_write, {fifo, scratch_ + 128, 5}), 5);
  EXPECT_EQ(Result(*child), 5);
}

TEST_F(MemorySyscallTest, ExecReplacesTheImage) {
  const uint64_t path = PutText(scratch_, "/bin/test");
  Put<uint64_t>(scratch_ + 64, path);
  Put<uint64_t>(scratch_ + 72, 0);
  EXPECT_EQ(Call(SYS_execve, {PutText(scratch_ + 128, "/no/such"), scratch_ + 64, 0}), -ENOENT);
  EXPECT_EQ(Call(SYS_execve, {path, scratch_ + 64, 0}), std::nullopt);  // this host thread is gone
  platform_->Pump();
  ASSERT_EQ(platform_->Threads().size(), 1u);
  const Ref<inproc::Thread> fresh = Newest();
  ASSERT_NE(fresh, thread_);
  EXPECT_EQ(fresh->regs().rip, 0x401010u);
  EXPECT_EQ(fresh->Syscall(SYS_getpid), 1);
}

TEST_F(MemorySyscallTest, FaultWithoutAHandlerEndsTheProcess) {
  thread_->Fault({.signo = SIGSEGV, .code = 1, .addr = 8});
  platform_->Pump();
  EXPECT_EQ(thread_->state(), inproc::Thread::State::kGone);
  ASSERT_TRUE(exit_status_.has_value());
  EXPECT_EQ(WTERMSIG(*exit_status_), SIGSEGV);
}

}  // namespace
}  // namespace cloister::syscalls
