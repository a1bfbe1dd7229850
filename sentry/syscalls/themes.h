#ifndef CLOISTER_SENTRY_SYSCALLS_THEMES_H_
#define CLOISTER_SENTRY_SYSCALLS_THEMES_H_

#include <span>
#include <vector>

#include "sentry/syscalls/table.h"

// What each file of this room contributes to the table.

namespace cloister::syscalls {

std::span<const Entry> IdentitySyscalls();      // identity.cc: pids, uids, groups, sessions, capabilities
std::span<const Entry> ProcessSyscalls();       // process.cc: fork, clone, execve, exit, wait
std::span<const Entry> SignalSyscalls();        // signals.cc
std::span<const Entry> TimeSyscalls();          // time.cc: clocks, sleeping, timers
std::span<const Entry> SystemSyscalls();        // system.cc: uname, sysinfo, limits, random
std::span<const Entry> FutexSyscalls();         // futex.cc
std::span<const Entry> PrctlSyscalls();         // prctl.cc
std::span<const Entry> SchedulingSyscalls();    // scheduling.cc
std::span<const Entry> MemorySyscalls();        // memory.cc
std::span<const Entry> FileIoSyscalls();        // file_io.cc: read, write and their kin
std::span<const Entry> DescriptorSyscalls();    // descriptors.cc: close, dup, fcntl, flock, ioctl
std::span<const Entry> OpenSyscalls();          // open.cc
std::span<const Entry> NameSyscalls();          // names.cc: directories, links, renames, working directory
std::span<const Entry> AttributeSyscalls();     // attributes.cc: stat, modes, owners, times, xattrs
std::span<const Entry> PollSyscalls();          // poll.cc
std::span<const Entry> EpollSyscalls();         // epoll.cc
std::span<const Entry> EventFileSyscalls();     // event_files.cc: pipe, eventfd, timerfd, signalfd
std::span<const Entry> SocketSyscalls();        // sockets.cc
std::span<const Entry> MessageSyscalls();       // messages.cc: send, recv and their kin
std::span<const Entry> CopySyscalls();          // copies.cc: sendfile, splice, copy_file_range
std::span<const Entry> MemoryFileSyscalls();    // memory_files.cc: memfd_create
std::span<const Entry> MountSyscalls();         // mounts.cc
std::span<const Entry> WatchSyscalls();         // watches.cc: inotify
std::span<const Entry> SharedMemorySyscalls();  // sysv_shm.cc
std::span<const Entry> SemaphoreSyscalls();     // sysv_sem.cc
std::span<const Entry> SysvMessageSyscalls();   // sysv_msg.cc
std::span<const Entry> MessageQueueSyscalls();  // message_queues.cc: POSIX
std::span<const Entry> PidfdSyscalls();         // pidfds.cc: processes by descriptor
std::span<const Entry> ProcessVmSyscalls();     // process_vm.cc: memory of other processes
std::span<const Entry> PtraceSyscalls();        // ptrace.cc
std::span<const Entry> SeccompSyscalls();       // seccomp.cc

std::span<const Entry> AioSyscalls();     // aio.cc: io_setup, io_submit and their kin
std::span<const Entry> AbsentSyscalls();  // absent.cc: what no other has

// All of them (themes.cc), the last one only for numbers that no other serves.
std::vector<std::span<const Entry>> Themes();

}  // namespace cloister::syscalls

#endif  // CLOISTER_SENTRY_SYSCALLS_THEMES_H_
