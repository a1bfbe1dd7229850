#ifndef CLOISTER_SENTRY_FS_PROC_PROC_FIXTURE_H_
#define CLOISTER_SENTRY_FS_PROC_PROC_FIXTURE_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "platform/inproc/inproc.h"
#include "sentry/fs/proc/proc_fs.h"
#include "sentry/fs/tmp/vfs_fixture.h"
#include "sentry/loader/test_elf.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/wait/poller.h"

namespace cloister::proc {

// A kernel with two processes, whose tree has /program and proc at /proc. What is asked is asked by
// the first process, unless a test says otherwise.
class ProcTest : public tmp::VfsTest {
 protected:
  ProcTest() {
    static const bool started = wait::Poller::Get().Start().ok();
    EXPECT_TRUE(started);
    auto platform = std::make_unique<inproc::Inproc>();
    platform_ = platform.get();
    task::Machine machine;
    machine.cpus = 4;
    machine.total_memory = uint64_t{1} << 30;
    machine.cpu_model = "Model";
    machine.cpu_flags = "fpu sse";
    machine.cpu_mhz = 2000;
    kernel_ = std::make_unique<task::Kernel>(std::move(platform), machine, nullptr);
    kernel_->SetHostname("box");
    Put("/program", loader::GoodElf(ET_EXEC, 0x400000).Bytes());
    EXPECT_TRUE(vfs::ChangeMode(root, At("/program"), 0755).ok());
    EXPECT_TRUE(Mkdir(root, "/proc", 0555).ok());
    const kernfs::Mountable proc = MakeProc(*kernel_);
    EXPECT_TRUE(mounts
                    ->Attach(MakeRef<vfs::Mount>(proc.fs, vfs::Dentry::MakeRoot(proc.root),
                                                 MS_NOSUID | MS_NODEV, std::string("proc")),
                             At("/proc"))
                    .ok());
    one_ = Start(root.cred, {"program", "first argument"});
    other_ = Start(user.cred, {"program"});
    task_ = kernel_->FindTask(one_->pid());
    reader_ = std::make_unique<task::CurrentTask>(*task_);
  }
  ~ProcTest() override {
    reader_.reset();
    task_.reset();
    kernel_->KillAll(SIGKILL);
    platform_->Pump();
  }

  Ref<task::ThreadGroup> Start(const auth::CredRef& cred, std::vector<std::string> argv) {
    task::Kernel::NewProcess process;
    process.exec.file = Open(root, "/program", O_RDONLY).value();
    process.exec.path = "/program";
    process.exec.argv = std::move(argv);
    process.exec.envp = {"NAME=value"};
    process.cred = cred;
    process.fs = MakeRef<task::FsContext>(mounts, root.root, root.cwd, 022);
    process.files = MakeRef<vfs::FdTable>();
    process.container_id = "c";
    Ref<task::ThreadGroup> group = kernel_->CreateProcess(std::move(process)).value();
    EXPECT_TRUE(kernel_->Release(*group).ok());
    platform_->Pump();
    return group;
  }
  // Ends the process; nobody waits for it.
  void Kill(task::ThreadGroup& group) {
    siginfo_t info = {};
    info.si_signo = SIGKILL;
    {
      absl::MutexLock lock(&kernel_->tree_mu());
      task::Task::SendToGroupLocked(group, info);
    }
    platform_->Pump();
  }
  // Lets another process ask.
  void AskAs(task::ThreadGroup& group) {
    reader_.reset();
    task_ = kernel_->FindTask(group.pid());
    reader_ = std::make_unique<task::CurrentTask>(*task_);
  }

  // A descriptor of the first process.
  int Install(Ref<vfs::FileDescription> file, bool cloexec = false) {
    return kernel_->FindTask(one_->pid())->GetFiles()->Install(std::move(file), cloexec, 0, 100).value();
  }
  std::string PathOf(const task::ThreadGroup& group, std::string_view file) {
    return "/proc/" + std::to_string(group.pid()) + "/" + std::string(file);
  }
  ErrnoOr<std::string> LinkText(const vfs::Caller& caller, const std::string& path) {
    const ErrnoOr<vfs::Path> link = Find(caller, path, false);
    if (!link.ok()) return link.error();
    return vfs::Readlink(caller, *link);
  }
  static std::vector<std::string> Words(const std::string& text, char at = ' ') {
    return absl::StrSplit(text, at);
  }
  ErrnoOr<size_t> WriteTo(const vfs::Caller& caller, const std::string& path, std::string_view text) {
    const auto file = Open(caller, path, O_WRONLY);
    if (!file.ok()) return file.error();
    return Write(**file, text);
  }

  inproc::Inproc* platform_ = nullptr;
  std::unique_ptr<task::Kernel> kernel_;
  Ref<task::ThreadGroup> one_, other_;  // root's, and the plain user's
  Ref<task::Task> task_;
  std::unique_ptr<task::CurrentTask> reader_;
};

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_PROC_FIXTURE_H_
