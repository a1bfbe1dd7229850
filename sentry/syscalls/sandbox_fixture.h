#ifndef CLOISTER_SENTRY_SYSCALLS_SANDBOX_FIXTURE_H_
#define CLOISTER_SENTRY_SYSCALLS_SANDBOX_FIXTURE_H_

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "gtest/gtest.h"
#include "platform/inproc/inproc.h"
#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/loader/test_elf.h"
#include "sentry/net/socket/net_namespace.h"
#include "sentry/syscalls/table.h"
#include "sentry/task/kernel.h"
#include "sentry/vfs/operations.h"
#include "sentry/wait/parker.h"
#include "sentry/wait/poller.h"

namespace cloister::syscalls {

// A whole sandbox in the test's process: the kernel on the inproc platform, a tmpfs with /bin/test,
// and one process that runs it. A test makes the process' system calls.
class SandboxTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kScratchSize = 16 * inproc::kPageSize;

  SandboxTest() {
    static const bool started = wait::Poller::Get().Start().ok();
    EXPECT_TRUE(started);
    pipe::ServeFifos();
    if (!net::NetNamespace::OfSandbox()) net::NetNamespace::Install(MakeRef<net::NetNamespace>(nullptr));
    auto platform = std::make_unique<inproc::Inproc>();
    platform_ = platform.get();
    kernel_ = std::make_unique<task::Kernel>(std::move(platform), task::Machine(), &Dispatch);
    mounts_ = MakeRef<vfs::MountNamespace>(tmp::MountTmp({.mode = 0755}, 0));
    caller_.cred = auth::Credentials::Root();
    caller_.mounts = mounts_;
    caller_.root = caller_.cwd = mounts_->RootPath();
    EXPECT_TRUE(vfs::MakeDirectory(caller_, caller_.cwd, "/bin", 0755).ok());
    PutFile("/bin/test", loader::GoodElf(ET_EXEC, 0x400000).Bytes());
    StartProcess();
  }
  ~SandboxTest() override {
    kernel_->KillAll(SIGKILL);
    platform_->Pump();
  }

  void PutFile(std::string_view path, std::string_view bytes) {
    const auto file = vfs::Open(caller_, caller_.cwd, path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ASSERT_TRUE(file.ok()) << path;
    auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(bytes)));
    ASSERT_EQ((*file)->Write(buffer).value(), bytes.size());
  }

  // Makes the process and its scratch memory.
  void StartProcess() {
    task::Kernel::NewProcess process;
    const auto file = vfs::Open(caller_, caller_.cwd, "/bin/test", O_RDONLY, 0);
    ASSERT_TRUE(file.ok());
    process.exec.file = *file;
    process.exec.path = "/bin/test";
    process.exec.argv = {"test"};
    process.cred = caller_.cred;
    process.fs = MakeRef<task::FsContext>(mounts_, caller_.root, caller_.cwd, 022);
    process.files = MakeRef<vfs::FdTable>();
    process.is_init = true;
    process.on_exit = [this](int status) { exit_status_ = status; };
    ErrnoOr<Ref<task::ThreadGroup>> group = kernel_->CreateProcess(std::move(process));
    ASSERT_TRUE(group.ok());
    group_ = *std::move(group);
    ASSERT_TRUE(kernel_->Release(*group_).ok());
    platform_->Pump();
    ASSERT_EQ(platform_->Threads().size(), 1u);
    thread_ = platform_->Threads().front();
    ASSERT_EQ(thread_->state(), inproc::Thread::State::kRunning);
    const auto scratch = Call(
        SYS_mmap, {0, kScratchSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~uint64_t{0}, 0});
    ASSERT_TRUE(scratch.has_value());
    ASSERT_GT(*scratch, 0);
    scratch_ = static_cast<uint64_t>(*scratch);
  }

  // A syscall of the first thread: what it returned, or nothing where it is parked.
  std::optional<int64_t> Call(uint64_t number, std::initializer_list<uint64_t> args = {}) {
    return thread_->Syscall(number, args);
  }
  // What a parked call of that thread has returned meanwhile.
  static std::optional<int64_t> Result(inproc::Thread& thread) {
    if (thread.state() != inproc::Thread::State::kRunning) return std::nullopt;
    return static_cast<int64_t>(thread.regs().rax);
  }
  // The newest thread.
  Ref<inproc::Thread> Newest() { return platform_->Threads().back(); }
  // A child of the first thread with a copy of everything; a thread of the same process.
  Ref<inproc::Thread> Fork() { return Clone(SIGCHLD, 0); }
  Ref<inproc::Thread> NewThread() {
    return Clone(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, scratch_ + kScratchSize);
  }
  Ref<inproc::Thread> Clone(uint64_t flags, uint64_t stack) {
    EXPECT_GT(Call(SYS_clone, {flags, stack, 0, 0, 0}), 1);
    return Newest();
  }
  // A syscall that must succeed, for the descriptor (or count) it gives.
  uint64_t Must(uint64_t number, std::initializer_list<uint64_t> args = {}) {
    const std::optional<int64_t> result = Call(number, args);
    EXPECT_TRUE(result.has_value() && *result >= 0) << "syscall " << number << ": " << result.value_or(-1);
    return static_cast<uint64_t>(result.value_or(~0));
  }

  // Guest memory.
  template <typename T>
  void Put(uint64_t addr, const T& value) {
    ASSERT_EQ(thread_->space().Write(addr, std::as_bytes(std::span(&value, 1))), sizeof(value));
  }
  template <typename T>
  T Get(uint64_t addr) {
    T value = {};
    EXPECT_EQ(thread_->space().Read(addr, std::as_writable_bytes(std::span(&value, 1))), sizeof(value));
    return value;
  }
  // Puts a string at addr; returns addr.
  uint64_t PutText(uint64_t addr, std::string_view text) {
    const std::string whole = std::string(text) + '\0';
    EXPECT_EQ(thread_->space().Write(addr, std::as_bytes(std::span(whole))), whole.size());
    return addr;
  }
  std::string GetText(uint64_t addr, size_t size) {
    std::string text(size, '\0');
    text.resize(thread_->space().Read(addr, std::as_writable_bytes(std::span(text))));
    return text;
  }

  inproc::Inproc* platform_ = nullptr;
  std::unique_ptr<task::Kernel> kernel_;
  Ref<vfs::MountNamespace> mounts_;
  vfs::Caller caller_;
  Ref<task::ThreadGroup> group_;
  Ref<inproc::Thread> thread_;
  uint64_t scratch_ = 0;
  std::optional<int> exit_status_;
};

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_SANDBOX_FIXTURE_H_
