// Making, replacing, ending and waiting for processes.

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "sentry/syscalls/processes.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/task/ptrace.h"
#include "sentry/task/usage.h"
#include "sentry/usermem/page_reader.h"
#include "sentry/vfs/operations.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using task::CloneControl;
using task::ExecControl;
using task::ExitControl;
using task::Kernel;
using task::Ptrace;
using task::ThreadGroup;
using usermem::UserPtr;
using wait::Poll;
using wait::Restart;

// Namespaces are the sandbox' own: a guest cannot make further ones.
constexpr uint64_t kNewNamespaces =
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;

ErrnoOrVoid CheckCloneFlags(uint64_t flags) {
  if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM)) return Errno::kInval;
  if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND)) return Errno::kInval;
  if ((flags & CLONE_FS) && (flags & CLONE_NEWNS)) return Errno::kInval;
  if ((flags & CLONE_THREAD) && (flags & CLONE_PIDFD)) return Errno::kInval;
  if (flags & kNewNamespaces) return Errno::kPerm;
  return {};
}

// clone(2) and its kin: on shared memory the copy of the list must not race with an mmap.
struct CloneCall {
  CloneControl control;

  static ErrnoOr<CloneCall> With(Task& task, CloneControl control) {
    TRY_VOID(CheckCloneFlags(control.flags));
    if ((control.flags & CLONE_PARENT) && task.group().is_container_init) return Errno::kInval;
    if (task.kernel().task_count() >= task.Limit(RLIMIT_NPROC).rlim_cur &&
        !task.cred()->Has(CAP_SYS_RESOURCE) && !task.cred()->Has(CAP_SYS_ADMIN)) {
      return Errno::kAgain;
    }
    return CloneCall{control};
  }

  static ErrnoOr<CloneCall> Begin(Task& task, const SyscallArgs& args) {
    CloneControl control;
    control.flags = args.Raw(0) & 0xffffffff & ~uint64_t{CSIGNAL};
    control.exit_signal = static_cast<int>(args.Raw(0) & CSIGNAL);
    control.stack = args.Addr(1);
    control.parent_tid = args.Addr(2);
    control.child_tid = args.Addr(3);
    control.tls = args.Addr(4);
    // One place for both.
    if ((control.flags & CLONE_PIDFD) && (control.flags & (CLONE_PARENT_SETTID | CLONE_DETACHED)))
      return Errno::kInval;
    control.pidfd = control.parent_tid;
    return With(task, control);
  }

  Outcome Step(Task& task) {
    if (!task.TakeMemoryOp()) return task.MemoryOpBlock();
    return control;
  }
};

struct ForkCall : CloneCall {
  static ErrnoOr<ForkCall> Begin(Task& task, const SyscallArgs&) {
    CloneControl control;
    control.exit_signal = SIGCHLD;
    return ForkCall{TRY(With(task, control))};
  }
};

struct VforkCall : CloneCall {
  static ErrnoOr<VforkCall> Begin(Task& task, const SyscallArgs&) {
    CloneControl control;
    control.flags = CLONE_VM | CLONE_VFORK;
    control.exit_signal = SIGCHLD;
    return VforkCall{TRY(With(task, control))};
  }
};

struct Clone3Call : CloneCall {
  static ErrnoOr<Clone3Call> Begin(Task& task, const SyscallArgs& args) {
    struct clone_args given = {};
    const size_t size = args.Size(1);
    if (size < CLONE_ARGS_SIZE_VER0) return Errno::kInval;
    if (size > mm::kPageSize) return Errno::k2Big;
    const auto bytes = std::as_writable_bytes(std::span(&given, 1)).first(std::min(size, sizeof given));
    TRY_VOID(usermem::CopyInBytes(task.space(), args.Addr(0), bytes));
    for (size_t i = sizeof given; i < size; ++i) {
      if (TRY(task.CopyIn(UserPtr<const uint8_t>(args.Addr(0) + i))) != 0) return Errno::k2Big;
    }
    if (given.exit_signal > CSIGNAL || (given.flags & CSIGNAL) || given.cgroup != 0) return Errno::kInval;
    if (given.exit_signal != 0 && !signal::IsValid(static_cast<int>(given.exit_signal))) return Errno::kInval;
    if (given.set_tid_size != 0) return Errno::kPerm;
    if ((given.flags & (CLONE_THREAD | CLONE_PARENT)) && given.exit_signal != 0) return Errno::kInval;
    if ((given.stack == 0) != (given.stack_size == 0)) return Errno::kInval;
    CloneControl control;
    control.flags = given.flags & ~uint64_t{CLONE_CLEAR_SIGHAND};
    if (given.flags & CLONE_CLEAR_SIGHAND) return Errno::kInval;
    if (given.flags & CLONE_INTO_CGROUP) return Errno::kInval;
    control.exit_signal = static_cast<int>(given.exit_signal);
    control.stack = given.stack != 0 ? given.stack + given.stack_size : 0;
    control.tls = given.tls;
    control.parent_tid = given.parent_tid;
    control.pidfd = given.pidfd;
    control.child_tid = given.child_tid;
    return Clone3Call{TRY(With(task, control))};
  }
};

// argv or envp: at most kMaxStrings strings, kMaxBytes in all.
ErrnoOr<std::vector<std::string>> CopyInStrings(Task& task, uint64_t addr, size_t* budget) {
  constexpr size_t kMaxString = 131072;  // MAX_ARG_STRLEN
  std::vector<std::string> strings;
  if (addr == 0) return strings;
  usermem::PageReader pointers(task.space()), texts(task.space());
  for (;; addr += sizeof(uint64_t)) {
    const uint64_t string = TRY(pointers.Word(addr));
    if (string == 0) return strings;
    std::string text = TRY(texts.String(string, kMaxString, Errno::k2Big));
    const size_t cost = text.size() + 1 + sizeof(uint64_t);
    if (cost > *budget) return Errno::k2Big;
    *budget -= cost;
    strings.push_back(std::move(text));
  }
}

// execve(2), execveat(2).
struct ExecCall {
  std::shared_ptr<loader::Program> program;
  std::shared_ptr<const vfs::WriteDenial> denial;

  static ErrnoOr<ExecCall> With(Task& task, int dirfd, uint64_t path_addr, uint64_t argv, uint64_t envp,
                                int flags) {
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) return Errno::kInval;
    loader::ExecRequest request;
    request.path = TRY(task.CopyInPath(path_addr));
    const vfs::Caller caller = task.MakeCaller();
    const vfs::Path start = TRY(task.StartOf(dirfd, request.path));
    vfs::WalkOptions walk;
    walk.follow_last = !(flags & AT_SYMLINK_NOFOLLOW);
    walk.allow_empty = (flags & AT_EMPTY_PATH) != 0;
    const vfs::Path path = TRY(vfs::Resolve(caller, start, request.path, walk));
    request.file = TRY(OpenForExec(caller, path));
    // Of a script too, while its interpreter is looked for.
    std::shared_ptr<const vfs::WriteDenial> denial = TRY(vfs::WriteDenial::Of(request.file->inode()));
    if (dirfd != AT_FDCWD && !request.path.starts_with('/')) {
      request.path = "/dev/fd/" + std::to_string(dirfd) + (request.path.empty() ? "" : "/" + request.path);
    }
    request.stack_limit = task.Limit(RLIMIT_STACK).rlim_cur;
    size_t budget = std::clamp<size_t>(request.stack_limit / 4, 128 << 10, 6 << 20);
    request.argv = TRY(CopyInStrings(task, argv, &budget));
    request.envp = TRY(CopyInStrings(task, envp, &budget));
    if (request.argv.empty()) request.argv.emplace_back();
    ExecCall call;
    call.program = std::make_shared<loader::Program>(TRY(loader::FindProgram(caller, std::move(request))));
    call.denial = TRY(vfs::WriteDenial::Of(call.program->file->inode()));
    return call;
  }

  static ErrnoOr<Ref<vfs::FileDescription>> OpenForExec(const vfs::Caller& caller, const vfs::Path& path) {
    const Ref<vfs::Inode> inode = path.dentry()->inode();
    if (!inode) return Errno::kNoEnt;
    if (inode->is_symlink()) return Errno::kLoop;
    if (inode->type() != S_IFREG || (path.mount()->flags() & MS_NOEXEC)) return Errno::kAcces;
    TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(inode->GetOwnership()), X_OK));
    vfs::OpenRequest open;
    open.flags = O_RDONLY;
    open.path = path;
    open.cred = caller.cred;
    return inode->Open(open);
  }

  static ErrnoOr<ExecCall> Begin(Task& task, const SyscallArgs& args) {
    return With(task, AT_FDCWD, args.Addr(0), args.Addr(1), args.Addr(2), 0);
  }

  Outcome Step(Task& task) {
    if (!task.AloneForExec()) {
      Block block;
      block.on.push_back({Ref<RefCounted>(&task.group()), &task.group().exit_queue, Poll::kIn});
      block.killable_only = true;
      return block;
    }
    return ExecControl{program, program->file->path(), denial};
  }
};

struct ExecAtCall : ExecCall {
  static ErrnoOr<ExecAtCall> Begin(Task& task, const SyscallArgs& args) {
    return ExecAtCall{TRY(With(task, args.Int(0), args.Addr(1), args.Addr(2), args.Addr(3), args.Int(4)))};
  }
};

Outcome ExitThread(Task&, const SyscallArgs& args) { return ExitControl{(args.Int(0) & 0xff) << 8, false}; }
Outcome ExitGroup(Task&, const SyscallArgs& args) { return ExitControl{(args.Int(0) & 0xff) << 8, true}; }

// wait4(2) and waitid(2).
struct WaitCall {
  enum class Which { kAny, kPid, kGroup, kProcess };
  Which which = Which::kAny;
  pid_t id = 0;
  int options = 0;
  Ref<ThreadGroup> process;  // of a pidfd
  bool is_waitid = false;
  bool nonblocking = false;  // the pidfd is
  uint64_t status_addr = 0, info_addr = 0, usage_addr = 0;

  struct Found {
    pid_t pid = 0;
    uid_t uid = 0;
    int code = 0;    // CLD_…
    int status = 0;  // for siginfo
    int wait_status = 0;
    rusage usage = {};
  };

  static ErrnoOr<WaitCall> Begin(Task& task, const SyscallArgs& args) {
    WaitCall call;
    const int64_t pid = args.Int(0);
    call.options = args.Int(2) | WEXITED;
    if (args.Int(2) & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD | __WCLONE | __WALL))
      return Errno::kInval;
    if (pid == INT32_MIN) return Errno::kSrch;
    call.which = pid == -1 ? Which::kAny : pid > 0 ? Which::kPid : Which::kGroup;
    call.id = static_cast<pid_t>(pid < 0 ? -pid : pid);
    if (pid == 0) call.id = OwnProcessGroup(task);
    call.status_addr = args.Addr(1);
    call.usage_addr = args.Addr(3);
    return call;
  }

  static pid_t OwnProcessGroup(Task& task) {
    absl::MutexLock lock(&task.kernel().tree_mu());
    return task.group().process_group->id();
  }

  bool MatchesLocked(const ThreadGroup& child) const {
    if (which == Which::kPid && child.pid() != id) return false;
    if (which == Which::kProcess && &child != process.get()) return false;
    if (which == Which::kGroup && child.process_group->id() != id) return false;
    if (options & __WALL) return true;
    return ((options & __WCLONE) != 0) == (child.exit_signal != SIGCHLD);
  }

  // What there is to tell about one child. Consumes it, unless WNOWAIT.
  bool TakeLocked(ThreadGroup& parent, ThreadGroup& child, Found* found) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(task::Kernel::tree_mu()) {
    const bool keep = (options & WNOWAIT) != 0;
    found->pid = child.pid();
    found->uid = child.uid;
    if (child.state == ThreadGroup::State::kZombie && child.leader_tracer != nullptr) return false;
    if (child.state == ThreadGroup::State::kZombie && (options & WEXITED)) {
      const int status = child.wait_status;
      found->wait_status = status;
      found->code = WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
      found->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
      found->usage = child.own_usage;
      task::AddUsage(found->usage, child.children_usage);
      if (!keep) {
        task::AddUsage(parent.children_usage, found->usage);
        Task::ReapLocked(child);
      }
      return true;
    }
    if (child.stop == ThreadGroup::Stop::kStopped && !child.stop_reported && (options & WUNTRACED) &&
        !Ptrace::TracedByLocked(child, parent)) {
      found->code = CLD_STOPPED;
      found->status = child.stop_signal;
      found->wait_status = W_STOPCODE(child.stop_signal);
      if (!keep) child.stop_reported = true;
      return true;
    }
    if (!child.continue_reported && (options & WCONTINUED) && child.stop == ThreadGroup::Stop::kNone) {
      found->code = CLD_CONTINUED;
      found->status = SIGCONT;
      found->wait_status = __W_CONTINUED;
      if (!keep) child.continue_reported = true;
      return true;
    }
    return false;
  }

  // What there is to tell about one that a thread of the caller's traces.
  bool TakeTraceeLocked(Task& tracer, Found* found, bool* any) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(task::Kernel::tree_mu()) {
    Ptrace::Report report;
    const auto wanted = [this](pid_t tid, const ThreadGroup& group) {
      return which == Which::kAny || (which == Which::kPid ? tid == id : group.process_group->id() == id);
    };
    if (!Ptrace::TakeReportLocked(tracer, wanted, options, &report, any)) return false;
    found->pid = report.tid;
    found->uid = report.uid;
    found->wait_status = report.ended ? report.status : W_STOPCODE(report.status);
    found->code = report.cause;
    found->status = report.status;
    if (!report.ended) return true;
    const int status = report.status;
    found->code = WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
    found->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
    if (report.tid == report.group->pid()) found->usage = report.group->own_usage;
    return true;
  }

  Outcome Step(Task& task) {
    Found found;
    bool any = false, taken = false;
    {
      absl::MutexLock lock(&task.kernel().tree_mu());
      ThreadGroup& group = task.group();
      for (size_t i = 0; i < group.children.size() && !taken; ++i) {
        const Ref<ThreadGroup> child = group.children[i];
        if (!MatchesLocked(*child)) continue;
        any = true;
        taken = TakeLocked(group, *child, &found);
      }
      for (size_t i = 0; i < group.tasks.size() && !taken; ++i) {
        if (group.tasks[i] != &task && (options & __WNOTHREAD)) continue;
        taken = TakeTraceeLocked(*group.tasks[i], &found, &any);
      }
    }
    if (taken) return Deliver(task, found);
    if (!any) return Answer(Errno::kChild);
    if (options & WNOHANG) return Deliver(task, Found());
    if (nonblocking) return Answer(Errno::kAgain);
    Block block;
    block.on.push_back({Ref<RefCounted>(&task.group()), &task.group().child_queue, Poll::kIn});
    return block;
  }

  Answer Deliver(Task& task, const Found& found) const {
    if (usage_addr != 0 && found.pid != 0 && !task.CopyOut(UserPtr<rusage>(usage_addr), found.usage).ok()) {
      return Errno::kFault;
    }
    if (!is_waitid) {
      if (status_addr != 0 && found.pid != 0 &&
          !task.CopyOut(UserPtr<int>(status_addr), found.wait_status).ok()) {
        return Errno::kFault;
      }
      return found.pid;
    }
    siginfo_t info = {};
    if (found.pid != 0) {
      info.si_signo = SIGCHLD;
      info.si_code = found.code;
      info.si_pid = found.pid;
      info.si_uid = found.uid;
      info.si_status = found.status;
    }
    if (info_addr != 0 && !task.CopyOut(UserPtr<siginfo_t>(info_addr), info).ok()) return Errno::kFault;
    return 0;
  }
};

struct WaitIdCall : WaitCall {
  static ErrnoOr<WaitIdCall> Begin(Task& task, const SyscallArgs& args) {
    WaitIdCall call;
    call.is_waitid = true;
    call.options = args.Int(3);
    constexpr int kKinds = WEXITED | WSTOPPED | WCONTINUED;
    if (call.options & ~(kKinds | WNOHANG | WNOWAIT | __WNOTHREAD | __WCLONE | __WALL)) return Errno::kInval;
    if (!(call.options & kKinds)) return Errno::kInval;
    call.id = args.Int(1);
    switch (args.Int(0)) {
      case P_ALL:
        break;
      case P_PID:
        if (call.id <= 0) return Errno::kInval;
        call.which = Which::kPid;
        break;
      case P_PGID:
        if (call.id < 0) return Errno::kInval;
        if (call.id == 0) call.id = OwnProcessGroup(task);
        call.which = Which::kGroup;
        break;
      case P_PIDFD: {
        if (call.id < 0) return Errno::kInval;
        const Ref<vfs::FileDescription> file = TRY(task.GetFile(call.id));
        call.process = TRY(ProcessOfPidFd(*file));
        call.nonblocking = file->nonblocking();
        call.which = Which::kProcess;
        break;
      }
      default:
        return Errno::kInval;
    }
    call.info_addr = args.Addr(2);
    call.usage_addr = args.Addr(4);
    return call;
  }
};

Answer SetTidAddress(Task& task, const SyscallArgs& args) {
  task.clear_child_tid = args.Addr(0);
  return task.tid();
}

ErrnoOr<int> Unshare(Task& task, const SyscallArgs& args) {
  const uint64_t flags = args.Raw(0);
  constexpr uint64_t kKnown = kNewNamespaces | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_THREAD |
                              CLONE_SIGHAND | CLONE_VM | CLONE_NEWTIME;
  if (flags & ~kKnown) return Errno::kInval;
  if (flags & (kNewNamespaces | CLONE_NEWTIME)) return Errno::kPerm;
  if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) && task.mm().users() > 1) return Errno::kInval;
  if (flags & CLONE_SYSVSEM) task.LeaveSemUndo();
  task.Unshare((flags & CLONE_FS) != 0, (flags & CLONE_FILES) != 0);
  return 0;
}

// setns(2): no file here stands for a namespace.
ErrnoOrVoid Setns(Task& task, const SyscallArgs& args) {
  TRY(task.GetFile(args.Int(0)));
  return Errno::kInval;
}

constexpr Entry kEntries[] = {
    {SYS_clone, Blocking<CloneCall>, Support::kPartial, "namespaces are refused"},
    {SYS_clone3, Blocking<Clone3Call>, Support::kPartial, "as clone; set_tid and CLEAR_SIGHAND are refused"},
    {SYS_fork, Blocking<ForkCall>},
    {SYS_vfork, Blocking<VforkCall>},
    {SYS_execve, Blocking<ExecCall>},
    {SYS_execveat, Blocking<ExecAtCall>},
    {SYS_exit, Plain<ExitThread>},
    {SYS_exit_group, Plain<ExitGroup>},
    {SYS_wait4, Blocking<WaitCall>},
    {SYS_waitid, Blocking<WaitIdCall>},
    {SYS_set_tid_address, Plain<SetTidAddress>},
    {SYS_unshare, Plain<Unshare>, Support::kPartial, "namespaces are refused"},
    {SYS_setns, Plain<Setns>, Support::kUnsupported, "EINVAL"},
    {SYS_rseq, Fails<Errno::kNoSys>, Support::kUnsupported, "ENOSYS"},
};

}  // namespace

std::span<const Entry> ProcessSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
