#include "sentry/boot/filter.h"

#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <span>

#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/protocol/channel.h"

// Linux 6.6; not in Debian 12's headers.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

namespace cloister::boot {
namespace {

// What the platform alone needs.
constexpr AllowedSyscall kOfSystrap[] = {
    {SYS_ioctl, "ioctl", "seccomp listener; modes and size of the container's terminal (listed commands)"},
    {SYS_kill, "kill", "ends a guest process"},
};
constexpr AllowedSyscall kOfPtrace[] = {
    {SYS_ioctl, "ioctl", "modes and size of the container's terminal (listed commands)"},
    {SYS_ptrace, "ptrace", "runs and stops guest threads, and calls the host in them"},
};

constexpr AllowedSyscall kSyscalls[] = {
    // Every platform.
    {SYS_process_vm_readv, "process_vm_readv", "guest memory, read"},
    {SYS_process_vm_writev, "process_vm_writev", "guest memory, write"},
    {SYS_tgkill, "tgkill", "interrupts a guest thread"},
    {SYS_waitid, "waitid", "reaps guest processes"},
    {SYS_sched_setaffinity, "sched_setaffinity", "a guest thread's affinity"},
    {SYS_sched_getaffinity, "sched_getaffinity", "a guest thread's affinity"},
    {SYS_setpriority, "setpriority", "a guest thread's niceness"},
    // The runtime of C++.
    {SYS_futex, "futex", "locks"},
    {SYS_sched_getparam, "sched_getparam", "a contended lock queues by priority"},
    {SYS_sched_getscheduler, "sched_getscheduler", "a contended lock queues by priority"},
    {SYS_clock_nanosleep, "clock_nanosleep", "a contended lock backs off"},
    {SYS_mmap, "mmap", "allocator"},
    {SYS_munmap, "munmap", "allocator"},
    {SYS_mremap, "mremap", "allocator"},
    {SYS_mprotect, "mprotect", "allocator: heaps of further threads"},
    {SYS_madvise, "madvise", "allocator; context pages of a dead address space"},
    {SYS_brk, "brk", "allocator"},
    {SYS_getrandom, "getrandom", "the guest's random numbers, tokens of new threads"},
    {SYS_clock_gettime, "clock_gettime", "CPU time of a guest process, which no vDSO knows"},
    {SYS_rt_sigreturn, "rt_sigreturn", "return of a signal handler"},
    {SYS_rt_sigprocmask, "rt_sigprocmask", "abort(3), end of a thread"},
    {SYS_rt_sigaction, "rt_sigaction", "abort(3)"},
    {SYS_gettid, "gettid", "abort(3)"},
    {SYS_getpid, "getpid", "abort(3)"},
    {SYS_sched_yield, "sched_yield", "locks"},
    {SYS_restart_syscall, "restart_syscall", "a host call that a stop interrupted"},
    {SYS_exit, "exit", "a thread ends"},
    {SYS_exit_group, "exit_group", "the sandbox ends"},
    // Donated host files, and files in memory.
    {SYS_read, "read", "donated files; wake-up of the poller"},
    {SYS_write, "write", "donated files; the log; wake-up of the poller"},
    {SYS_pread64, "pread64", "donated files"},
    {SYS_pwrite64, "pwrite64", "donated files"},
    {SYS_preadv2, "preadv2", "donated pipes, without blocking"},
    {SYS_pwritev2, "pwritev2", "donated pipes, without blocking; appending"},
    {SYS_lseek, "lseek", "holes of a file; position of a donated file"},
    {SYS_fstat, "fstat", "size of a file"},
    {SYS_ftruncate, "ftruncate", "files"},
    {SYS_fallocate, "fallocate", "files"},
    {SYS_fsync, "fsync", "files"},
    {SYS_fdatasync, "fdatasync", "files"},
    {SYS_fcntl, "fcntl", "seals of a file in memory; flags of a donated file"},
    {SYS_memfd_create, "memfd_create", "files in memory"},
    {SYS_close, "close", "files"},
    // Waiting.
    {SYS_epoll_pwait2, "epoll_pwait2", "the poller, the control server"},
    {SYS_epoll_ctl, "epoll_ctl", "the poller"},
    {SYS_poll, "poll", "readiness of a donated file"},
    // Sockets of the gofer, of runsc and of the monitors.
    {SYS_sendmsg, "sendmsg", "gofer, runsc; the guest's sockets"},
    {SYS_recvmsg, "recvmsg", "gofer, runsc; the guest's sockets"},
    {SYS_accept4, "accept4", "runsc connects; the guest's sockets"},
    {SYS_shutdown, "shutdown", "donated sockets; the guest's sockets"},
    // The loopback device of --network=none, or what --network=host gives.
    {SYS_socket, "socket", "a guest's internet socket"},
    {SYS_connect, "connect", "a guest's internet socket"},
    {SYS_bind, "bind", "a guest's internet socket"},
    {SYS_listen, "listen", "a guest's internet socket"},
    {SYS_getsockname, "getsockname", "a guest's internet socket"},
    {SYS_getpeername, "getpeername", "a guest's internet socket"},
    {SYS_getsockopt, "getsockopt", "a guest's internet socket"},
    {SYS_setsockopt, "setsockopt", "a guest's internet socket"},
};

constexpr AllowedIoctl kListenerIoctls[] = {
    {SECCOMP_IOCTL_NOTIF_RECV, "SECCOMP_IOCTL_NOTIF_RECV"},
    {SECCOMP_IOCTL_NOTIF_SEND, "SECCOMP_IOCTL_NOTIF_SEND"},
    {SECCOMP_IOCTL_NOTIF_ADDFD, "SECCOMP_IOCTL_NOTIF_ADDFD"},
    {SECCOMP_IOCTL_NOTIF_ID_VALID, "SECCOMP_IOCTL_NOTIF_ID_VALID"},
    {SECCOMP_IOCTL_NOTIF_SET_FLAGS, "SECCOMP_IOCTL_NOTIF_SET_FLAGS"},
};

constexpr AllowedIoctl kIoctls[] = {
    {TCGETS, "TCGETS"},         {TCSETS, "TCSETS"},         {TCSETSW, "TCSETSW"}, {TCSETSF, "TCSETSF"},
    {TIOCGWINSZ, "TIOCGWINSZ"}, {TIOCSWINSZ, "TIOCSWINSZ"}, {TCFLSH, "TCFLSH"},   {FIONREAD, "FIONREAD"},
    {TIOCOUTQ, "TIOCOUTQ"},     {SIOCATMARK, "SIOCATMARK"},
};

int violation_log_fd = -1;

// Names the call in the log and ends the sandbox.
void OnViolation(int, siginfo_t* info, void*) {
  char line[128];
  const int length = snprintf(line, sizeof line,
                              "sentry: host syscall %d, made at %p, is not on the list; the sandbox ends\n",
                              info->si_syscall, info->si_call_addr);
  if (violation_log_fd >= 0 && length > 0) {
    [[maybe_unused]] const ssize_t written = write(violation_log_fd, line, static_cast<size_t>(length));
  }
  _exit(128 + SIGSYS);
}

struct FilterDeleter {
  void operator()(void* filter) const { seccomp_release(filter); }
};

absl::Status AddRules(scmp_filter_ctx filter, Interception interception) {
  for (const AllowedSyscall& allowed : SentrySyscalls(interception)) {
    if (allowed.number == SYS_ioctl) continue;
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed.number, 0);
    if (failed != 0) return HostError(-failed, allowed.name);
  }
  // The libraries' look for files (the number of CPUs, a time zone) finds none, as in an empty root.
  const int failed = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOENT), SYS_openat, 0);
  if (failed != 0) return HostError(-failed, "openat");
  for (const AllowedIoctl& allowed : SentryIoctls(interception)) {
    const int failed = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SYS_ioctl, 1,
                                        SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, allowed.command));
    if (failed != 0) return HostError(-failed, allowed.name);
  }
  return absl::OkStatus();
}

// The listener for the doorbell, or none without it.
absl::StatusOr<UniqueFd> Load(Interception interception, bool doorbell) {
  const std::unique_ptr<void, FilterDeleter> filter(seccomp_init(SCMP_ACT_TRAP));
  if (filter == nullptr) return absl::ResourceExhaustedError("seccomp_init");
  RETURN_IF_ERROR(AddRules(filter.get(), interception));
  if (doorbell) {
    const int failed = seccomp_rule_add(filter.get(), SCMP_ACT_NOTIFY, gofer::kDoorbellNr, 0);
    if (failed != 0) return HostError(-failed, "the gofer's doorbell");
  }
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_TSYNC, 1);
  seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  const int failed = seccomp_load(filter.get());
  if (failed != 0) return HostError(-failed, "seccomp_load");
  return UniqueFd(doorbell ? seccomp_notify_fd(filter.get()) : -1);
}

}  // namespace

std::vector<AllowedSyscall> SentrySyscalls(Interception interception) {
  std::vector<AllowedSyscall> all;
  const bool ptrace = interception == Interception::kPtrace;
  for (const AllowedSyscall& own : ptrace ? std::span(kOfPtrace) : std::span(kOfSystrap)) all.push_back(own);
  for (const AllowedSyscall& common : kSyscalls) all.push_back(common);
  return all;
}

std::vector<AllowedIoctl> SentryIoctls(Interception interception) {
  std::vector<AllowedIoctl> all(std::begin(kIoctls), std::end(kIoctls));
  if (interception == Interception::kSystrap) {
    all.insert(all.begin(), std::begin(kListenerIoctls), std::end(kListenerIoctls));
  }
  return all;
}

absl::StatusOr<UniqueFd> LoadSentryFilter(Interception interception, int log_fd) {
  violation_log_fd = log_fd;
  struct sigaction action = {};
  action.sa_sigaction = OnViolation;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGSYS, &action, nullptr) != 0) return HostErrorNow("sigaction");
  absl::StatusOr<UniqueFd> listener = Load(interception, /*doorbell=*/true);
  if (listener.ok()) return listener;
  LOG(kInfo, "the gofer has no doorbell: %s", listener.status().message());
  return Load(interception, /*doorbell=*/false);
}

}  // namespace cloister::boot
