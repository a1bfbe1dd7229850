#include "gofer/server/filter.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cerrno>
#include <memory>

#include "absl/strings/str_format.h"
#include "base/error/status.h"

// Linux 6.6; not in Debian 12's headers.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

namespace cloister::gofer {
namespace {

using Arguments = AllowedSyscall::Arguments;

constexpr AllowedSyscall kSyscalls[] = {
    // The channel.
    {SCMP_SYS(recvmsg), "recvmsg", "requests of the sentry"},
    {SCMP_SYS(sendmsg), "sendmsg", "replies"},
    {SCMP_SYS(ioctl), "ioctl", "the doorbell: NOTIF_RECV, NOTIF_SEND, NOTIF_SET_FLAGS", Arguments::kListener},
    {SCMP_SYS(close), "close", "nodes that are forgotten, descriptors that were handed over"},
    // Files: all beneath descriptors of the attach points.
    {SCMP_SYS(openat2), "openat2", "one component of a walk; a file for the sentry"},
    {SCMP_SYS(statx), "statx", "attributes"},
    {SCMP_SYS(fstatfs), "fstatfs", "statfs(2), and to know kernel file systems at mount points"},
    {SCMP_SYS(getdents64), "getdents64", "directories"},
    {SCMP_SYS(lseek), "lseek", "the rest of a large directory"},
    {SCMP_SYS(readlinkat), "readlinkat", "targets of symbolic links"},
    {SCMP_SYS(mkdirat), "mkdirat", "mkdir"},
    {SCMP_SYS(symlinkat), "symlinkat", "symlink"},
    {SCMP_SYS(mknodat), "mknodat", "FIFOs, bound sockets; devices where the attach point allows it"},
    {SCMP_SYS(linkat), "linkat", "link; a name for an O_TMPFILE"},
    {SCMP_SYS(unlinkat), "unlinkat", "unlink, rmdir"},
    {SCMP_SYS(renameat2), "renameat2", "rename"},
    {SCMP_SYS(fchownat), "fchownat", "chown"},
    {SCMP_SYS(fchmodat), "fchmodat", "chmod"},
    {SCMP_SYS(utimensat), "utimensat", "utimes"},
    {SCMP_SYS(truncate), "truncate", "truncate"},
    {SCMP_SYS(getxattr), "getxattr", "extended attributes"},
    {SCMP_SYS(setxattr), "setxattr", "extended attributes"},
    {SCMP_SYS(listxattr), "listxattr", "extended attributes"},
    {SCMP_SYS(removexattr), "removexattr", "extended attributes"},
    {SCMP_SYS(fsync), "fsync", "fsync of a directory"},
    {SCMP_SYS(setfsuid), "setfsuid", "a new file has its owner from the first moment"},
    {SCMP_SYS(setfsgid), "setfsgid", "a new file has its group from the first moment"},
    // The C and C++ libraries.
    {SCMP_SYS(futex), "futex", "locks between the workers"},
    {SCMP_SYS(sched_yield), "sched_yield", "locks between the workers, while they spin"},
    {SCMP_SYS(mmap), "mmap", "memory", Arguments::kNoExec},
    {SCMP_SYS(mprotect), "mprotect", "memory of further malloc arenas", Arguments::kNoExec},
    {SCMP_SYS(munmap), "munmap", "memory"},
    {SCMP_SYS(mremap), "mremap", "memory"},
    {SCMP_SYS(madvise), "madvise", "memory, and the stack of a worker that ends"},
    {SCMP_SYS(brk), "brk", "memory"},
    {SCMP_SYS(write), "write", "the log", Arguments::kLogOnly},
    {SCMP_SYS(gettid), "gettid", "the first line that a worker writes to the log"},
    {SCMP_SYS(clock_gettime), "clock_gettime", "times in the log where there is no vDSO"},
    {SCMP_SYS(restart_syscall), "restart_syscall", "after SIGSTOP and SIGCONT"},
    {SCMP_SYS(rt_sigreturn), "rt_sigreturn", "after a signal of the host"},
    {SCMP_SYS(rt_sigprocmask), "rt_sigprocmask", "the end of a worker"},
    {SCMP_SYS(exit), "exit", "the end of a worker"},
    {SCMP_SYS(exit_group), "exit_group", "the sentry has gone"},
};

struct ContextDeleter {
  void operator()(void* context) const { seccomp_release(context); }
};

absl::Status SeccompError(int negative_errno, std::string_view what) {
  return HostError(-negative_errno, absl::StrFormat("seccomp filter: %s", what));
}

int AddListenerRules(scmp_filter_ctx context) {
  for (const unsigned long command :
       {SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND, SECCOMP_IOCTL_NOTIF_SET_FLAGS}) {
    const int failed = seccomp_rule_add(context, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                                        SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, command));
    if (failed < 0) return failed;
  }
  return 0;
}

int AddRule(scmp_filter_ctx context, const AllowedSyscall& allowed, int log_fd) {
  switch (allowed.arguments) {
    case Arguments::kAny:
      return seccomp_rule_add(context, SCMP_ACT_ALLOW, allowed.number, 0);
    case Arguments::kNoExec:
      return seccomp_rule_add(context, SCMP_ACT_ALLOW, allowed.number, 1,
                              SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    case Arguments::kLogOnly:
      if (log_fd < 0) return 0;
      return seccomp_rule_add(context, SCMP_ACT_ALLOW, allowed.number, 1,
                              SCMP_A0_64(SCMP_CMP_EQ, static_cast<scmp_datum_t>(log_fd)));
    case Arguments::kListener:
      return AddListenerRules(context);
  }
  return -EINVAL;
}

}  // namespace

std::span<const AllowedSyscall> GoferSyscalls() { return kSyscalls; }

absl::Status LoadGoferFilter(FilterMode mode, int log_fd) {
  if (mode == FILTER_OFF) return absl::OkStatus();
  const uint32_t otherwise = mode == FILTER_ERRNO ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_KILL_PROCESS;
  const std::unique_ptr<void, ContextDeleter> context(seccomp_init(otherwise));
  if (context == nullptr) return absl::ResourceExhaustedError("seccomp filter: out of memory");
  int failed = seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  if (failed < 0) return SeccompError(failed, "all threads");
  if (mode == FILTER_ERRNO) {
    failed = seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_LOG, 1);
    if (failed < 0) return SeccompError(failed, "log");
  }
  for (const AllowedSyscall& allowed : kSyscalls) {
    failed = AddRule(context.get(), allowed, log_fd);
    if (failed < 0) return SeccompError(failed, allowed.name);
  }
  failed = seccomp_load(context.get());
  if (failed < 0) return SeccompError(failed, "load");
  return absl::OkStatus();
}

}  // namespace cloister::gofer
