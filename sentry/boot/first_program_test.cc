// A static program through platform, task, loader, VFS and system calls: everything but the gofer
// and the command around it.

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"
#include "platform/systrap/systrap.h"
#include "sentry/fs/host/host_file.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/syscalls/table.h"
#include "sentry/task/kernel.h"
#include "sentry/vfs/operations.h"
#include "sentry/wait/parker.h"
#include "sentry/wait/poller.h"

namespace cloister::boot {
namespace {

constexpr char kGuest[] = "sentry/boot/first_guest";

std::string ReadHostFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

vfs::Caller RootCaller(const Ref<vfs::MountNamespace>& mounts) {
  vfs::Caller caller;
  caller.cred = auth::Credentials::Root();
  caller.mounts = mounts;
  caller.root = caller.cwd = mounts->RootPath();
  return caller;
}

void PutFile(const vfs::Caller& caller, const std::string& path, const std::string& bytes) {
  auto file = vfs::Open(caller, caller.root, path, O_CREAT | O_WRONLY, 0755);
  ASSERT_TRUE(file.ok());
  auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(bytes)));
  auto written = (*file)->Write(buffer);
  ASSERT_TRUE(written.ok());
  ASSERT_EQ(*written, bytes.size());
}

TEST(FirstProgram, RunsForksAndExits) {
  auto platform = systrap::NewSystrap(systrap::SystrapOptions());
  ASSERT_TRUE(platform.ok()) << platform.status();
  ASSERT_TRUE(wait::Poller::Get().Start().ok());
  task::Machine machine;
  machine.total_memory = 1 << 30;
  auto* const kernel = new task::Kernel(*std::move(platform), machine, syscalls::Dispatch);
  ASSERT_TRUE(kernel->platform().Start().ok());

  const auto mounts = MakeRef<vfs::MountNamespace>(tmp::MountTmp({.mode = 0755}, 0));
  const vfs::Caller caller = RootCaller(mounts);
  PutFile(caller, "/guest", ReadHostFile(kGuest));
  auto program = vfs::Open(caller, caller.root, "/guest", O_RDONLY, 0);
  ASSERT_TRUE(program.ok());

  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  auto output = hostfs::ImportHostFile(UniqueFd(ends[1]), 0, 0, caller.cred);
  ASSERT_TRUE(output.ok());

  task::Kernel::NewProcess process;
  process.exec.file = *program;
  process.exec.path = "/guest";
  process.exec.argv = {"guest", "two"};
  process.cred = caller.cred;
  process.fs = MakeRef<task::FsContext>(mounts, caller.root, caller.root, 022);
  process.files = MakeRef<vfs::FdTable>();
  ASSERT_TRUE(process.files->InstallAt(1, *output, false, 1024).ok());
  output->reset();
  absl::Notification ended;
  int wait_status = 0;
  process.is_init = true;
  process.on_exit = [&](int status) {
    wait_status = status;
    ended.Notify();
  };
  auto group = kernel->CreateProcess(std::move(process));
  ASSERT_TRUE(group.ok()) << ErrnoName(group.error());
  ASSERT_TRUE(kernel->Release(**group).ok());
  ASSERT_TRUE(ended.WaitForNotificationWithTimeout(absl::Seconds(20)));
  EXPECT_TRUE(WIFEXITED(wait_status)) << wait_status;
  EXPECT_EQ(WEXITSTATUS(wait_status), 7);
  char text[256] = {};
  const UniqueFd reader(ends[0]);
  EXPECT_GT(read(reader.get(), text, sizeof text - 1), 0);
  EXPECT_STREQ(text, "guest 2: pid 1, child 3, signal 10\n");
}

}  // namespace
}  // namespace cloister::boot
