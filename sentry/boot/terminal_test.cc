// Job control: terminals, sessions and process groups, by a guest's own system calls. Here because it
// needs both the terminals and the system calls.

#include "sentry/boot/terminal.h"

#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include <csignal>

#include "sentry/fs/tty/devpts.h"
#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::boot {
namespace {

class JobControlTest : public syscalls::SandboxTest {
 protected:
  JobControlTest() : devpts_(MakeRef<tty::DevPts>(*kernel_, tty::DevPts::Options{})) {
    tty::RegisterTerminalDevices([devpts = devpts_] { return devpts; });
    MakeDevice("/ptmx", makedev(5, 2));
    MakeDevice("/tty", makedev(5, 0));
    MakeDevice("/pts0", makedev(136, 0));
    MakeDevice("/pts1", makedev(136, 1));
  }

  void MakeDevice(std::string_view path, dev_t device) {
    EXPECT_TRUE(vfs::MakeNode(caller_, caller_.root, path, S_IFCHR | 0666, device).ok());
  }
  // Opens path in thread's process.
  int64_t OpenIn(inproc::Thread& thread, std::string_view path, int flags) {
    const std::string text = std::string(path) + '\0';
    thread.space().Write(scratch_ + 1024, std::as_bytes(std::span(text)));
    return thread.Syscall(SYS_open, {scratch_ + 1024, static_cast<uint64_t>(flags), 0}).value_or(-1);
  }
  uint64_t NewMaster() {
    const int64_t master = OpenIn(*thread_, "/ptmx", O_RDWR | O_NOCTTY);
    EXPECT_GE(master, 0);
    Put<int>(scratch_, 0);
    EXPECT_EQ(Call(SYS_ioctl, {static_cast<uint64_t>(master), TIOCSPTLCK, scratch_}), 0);
    return static_cast<uint64_t>(master);
  }
  // The first process gets a terminal: it leads a session and takes the first that it opens.
  void TakeTerminal() {
    master_ = NewMaster();
    slave_ = static_cast<uint64_t>(OpenIn(*thread_, "/pts0", O_RDWR));
  }
  void Type(std::string_view keys) {
    PutText(scratch_ + 2048, keys);
    EXPECT_EQ(Call(SYS_write, {master_, scratch_ + 2048, keys.size()}), static_cast<int64_t>(keys.size()));
    platform_->Pump();
  }
  // A child in a process group of its own.
  Ref<inproc::Thread> ChildInItsGroup(int64_t* pid) {
    const Ref<inproc::Thread> child = Fork();
    *pid = child->Syscall(SYS_getpid).value_or(-1);
    EXPECT_EQ(child->Syscall(SYS_setpgid, {0, 0}), 0);
    return child;
  }
  void SetForeground(int64_t group) {
    Put<int>(scratch_, static_cast<int>(group));
    EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCSPGRP, scratch_}), 0);
  }
  // What wait4(2) says of a child that has changed just now.
  int WaitStatus(int64_t pid) {
    EXPECT_EQ(Call(SYS_wait4, {static_cast<uint64_t>(pid), scratch_ + 64, WUNTRACED | WNOHANG, 0}), pid);
    return Get<int>(scratch_ + 64);
  }

  Ref<tty::DevPts> devpts_;
  uint64_t master_ = 0, slave_ = 0;
};

TEST_F(JobControlTest, TheFirstTerminalThatALeaderOpensIsItsOwn) {
  EXPECT_EQ(OpenIn(*thread_, "/tty", O_RDWR), -ENXIO);
  master_ = NewMaster();
  EXPECT_GE(OpenIn(*thread_, "/pts0", O_RDWR | O_NOCTTY), 0);
  EXPECT_EQ(OpenIn(*thread_, "/tty", O_RDWR), -ENXIO);
  slave_ = static_cast<uint64_t>(OpenIn(*thread_, "/pts0", O_RDWR));
  EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCGPGRP, scratch_}), 0);
  EXPECT_EQ(Get<int>(scratch_), 1);
  EXPECT_EQ(Call(SYS_ioctl, {master_, TIOCGSID, scratch_}), 0);
  EXPECT_EQ(Get<int>(scratch_), 1);
  EXPECT_GE(OpenIn(*thread_, "/tty", O_RDWR), 0);
  EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCNOTTY, 0}), 0);
  EXPECT_EQ(OpenIn(*thread_, "/tty", O_RDWR), -ENXIO);
  EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCSCTTY, 0}), 0);
  EXPECT_GE(OpenIn(*thread_, "/tty", O_RDWR), 0);
}

TEST_F(JobControlTest, ABackgroundReaderStopsUntilItIsBroughtToTheForeground) {
  TakeTerminal();
  int64_t pid = 0;
  const auto child = ChildInItsGroup(&pid);
  EXPECT_EQ(child->Syscall(SYS_read, {slave_, scratch_ + 512, 16}), std::nullopt);
  platform_->Pump();
  int status = WaitStatus(pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGTTIN);
  SetForeground(pid);
  EXPECT_EQ(Call(SYS_kill, {static_cast<uint64_t>(-pid), SIGCONT}), 0);
  platform_->Pump();
  EXPECT_EQ(Result(*child), SYS_read);  // to be made again
  EXPECT_EQ(child->Syscall(SYS_read, {slave_, scratch_ + 512, 16}), std::nullopt);
  Type("hi\n");
  EXPECT_EQ(Result(*child), 3);
}

TEST_F(JobControlTest, ABackgroundReaderThatIgnoresTheSignalFails) {
  TakeTerminal();
  int64_t pid = 0;
  const auto child = ChildInItsGroup(&pid);
  const struct {
    uint64_t handler, flags, restorer, mask;
  } ignore = {1, 0, 0, 0};
  child->space().Write(scratch_ + 128, std::as_bytes(std::span(&ignore, 1)));
  EXPECT_EQ(child->Syscall(SYS_rt_sigaction, {SIGTTIN, scratch_ + 128, 0, 8}), 0);
  EXPECT_EQ(child->Syscall(SYS_read, {slave_, scratch_ + 512, 16}), -EIO);
}

TEST_F(JobControlTest, KeysSignalTheForeground) {
  TakeTerminal();
  int64_t pid = 0;
  const auto child = ChildInItsGroup(&pid);
  SetForeground(pid);
  EXPECT_EQ(child->Syscall(SYS_read, {slave_, scratch_ + 512, 16}), std::nullopt);
  Type("\x1a");
  int status = WaitStatus(pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGTSTP);
  EXPECT_EQ(Call(SYS_kill, {static_cast<uint64_t>(-pid), SIGCONT}), 0);
  platform_->Pump();
  Type("\x03");
  status = WaitStatus(pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST_F(JobControlTest, NoKeyEndsAContainersFirstProcess) {
  TakeTerminal();
  Type("\x03\x1c\x1a");
  EXPECT_EQ(Call(SYS_getpid), 1);
  EXPECT_FALSE(exit_status_.has_value());
}

TEST_F(JobControlTest, TheBackgroundMayNotTakeTheTerminal) {
  TakeTerminal();
  int64_t pid = 0;
  const auto child = ChildInItsGroup(&pid);
  const int group = static_cast<int>(pid);
  child->space().Write(scratch_, std::as_bytes(std::span(&group, 1)));
  EXPECT_EQ(child->Syscall(SYS_ioctl, {slave_, TIOCSPGRP, scratch_}), std::nullopt);
  platform_->Pump();
  const int status = WaitStatus(pid);
  ASSERT_TRUE(WIFSTOPPED(status));
  EXPECT_EQ(WSTOPSIG(status), SIGTTOU);
  EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCGPGRP, scratch_}), 0);
  EXPECT_EQ(Get<int>(scratch_), 1);
}

TEST_F(JobControlTest, TheForegroundIsAGroupOfTheSession) {
  TakeTerminal();
  for (const auto& [wanted, answer] : {std::pair(-1, -EINVAL), {4711, -ESRCH}, {1, 0}}) {
    Put<int>(scratch_, wanted);
    EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCSPGRP, scratch_}), answer) << wanted;
  }
  EXPECT_EQ(Call(SYS_ioctl, {slave_, TIOCSPGRP, 8}), -EFAULT);
}

TEST_F(JobControlTest, TheMastersEndHangsTheSessionsLeaderUp) {
  const Ref<inproc::Thread> child = Fork();
  const int64_t pid = child->Syscall(SYS_setsid).value_or(-1);
  master_ = NewMaster();
  EXPECT_GE(OpenIn(*child, "/pts0", O_RDWR), 0);
  EXPECT_EQ(Call(SYS_ioctl, {master_, TIOCGSID, scratch_}), 0);
  EXPECT_EQ(Get<int>(scratch_), pid);
  EXPECT_EQ(Call(SYS_close, {master_}), 0);
  platform_->Pump();
  const int status = WaitStatus(pid);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGHUP);
}

TEST_F(JobControlTest, TheLeadersEndHangsTheForegroundUp) {
  const Ref<inproc::Thread> leader = Fork();
  const int64_t pid = leader->Syscall(SYS_setsid).value_or(-1);
  master_ = NewMaster();
  EXPECT_GE(OpenIn(*leader, "/pts0", O_RDWR), 0);
  const int64_t member = leader->Syscall(SYS_fork).value_or(-1);
  platform_->Pump();
  EXPECT_GT(member, 0);
  EXPECT_EQ(leader->Syscall(SYS_exit_group, {0}), std::nullopt);
  platform_->Pump();
  EXPECT_TRUE(WIFEXITED(WaitStatus(pid)));
  const int status = WaitStatus(member);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGHUP);
  EXPECT_EQ(Call(SYS_ioctl, {master_, TIOCGSID, scratch_}), -ENOTTY);
}

TEST_F(JobControlTest, TheMasterOpensItsPeer) {
  master_ = NewMaster();
  const auto peer = Call(SYS_ioctl, {master_, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC});
  ASSERT_GE(*peer, 0);
  EXPECT_EQ(Call(SYS_fcntl, {static_cast<uint64_t>(*peer), F_GETFD}), FD_CLOEXEC);
  EXPECT_EQ(OpenIn(*thread_, "/tty", O_RDWR), -ENXIO);
  Type("x\n");
  EXPECT_EQ(Call(SYS_read, {static_cast<uint64_t>(*peer), scratch_ + 512, 16}), 2);
}

TEST_F(JobControlTest, AProcessMadeWithATerminalIsInItsForeground) {
  master_ = NewMaster();
  task::Kernel::NewProcess process;
  process.exec.file = *vfs::Open(caller_, caller_.cwd, "/bin/test", O_RDONLY, 0);
  process.exec.path = "/bin/test";
  process.exec.argv = {"test"};
  process.cred = caller_.cred;
  process.fs = MakeRef<task::FsContext>(mounts_, caller_.root, caller_.cwd, 022);
  process.files = MakeRef<vfs::FdTable>();
  process.terminal = devpts_->Find(0);
  const auto group = kernel_->CreateProcess(std::move(process));
  ASSERT_TRUE(group.ok());
  EXPECT_EQ(devpts_->Find(0)->foreground_group(), 0);
  GiveTerminal(**group);
  EXPECT_EQ(devpts_->Find(0)->foreground_group(), (*group)->pid());
  EXPECT_EQ(devpts_->Find(0)->session(), (*group)->pid());
  GiveTerminal(*group_);  // has none
  ASSERT_TRUE(kernel_->Release(**group).ok());
  platform_->Pump();
  Type("\x03");
  absl::MutexLock lock(&kernel_->tree_mu());
  EXPECT_TRUE((*group)->tasks.empty());
}

}  // namespace
}  // namespace cloister::boot
