#include "base/abi/words.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace cloister::abi {

// WORD takes Linux' own macro; where no header of C may be included, a name with its value stands instead.
#define WORD(name) {static_cast<uint64_t>(name), #name}
#define WORDS(name, ...)                            \
  static constexpr Word name##List[] = __VA_ARGS__; \
  constexpr Words name = {name##List, sizeof(name##List) / sizeof(*name##List)}

WORDS(kAccessModes, {WORD(F_OK), WORD(R_OK), WORD(W_OK), WORD(X_OK), {7, "R_OK|W_OK|X_OK"}});
WORDS(kActionFlags, {WORD(SA_NOCLDSTOP),
                     WORD(SA_NOCLDWAIT),
                     WORD(SA_SIGINFO),
                     {0x04000000, "SA_RESTORER"},
                     WORD(SA_ONSTACK),
                     WORD(SA_RESTART),
                     WORD(SA_NODEFER),
                     WORD(SA_RESETHAND),
                     {0x400, "SA_UNSUPPORTED"},
                     {0x800, "SA_EXPOSE_TAGBITS"}});
WORDS(kAdvice,
      {WORD(MADV_NORMAL),         WORD(MADV_RANDOM),    WORD(MADV_SEQUENTIAL),  WORD(MADV_WILLNEED),
       WORD(MADV_DONTNEED),       WORD(MADV_FREE),      WORD(MADV_REMOVE),      WORD(MADV_DONTFORK),
       WORD(MADV_DOFORK),         WORD(MADV_MERGEABLE), WORD(MADV_UNMERGEABLE), WORD(MADV_HUGEPAGE),
       WORD(MADV_NOHUGEPAGE),     WORD(MADV_DONTDUMP),  WORD(MADV_DODUMP),      WORD(MADV_WIPEONFORK),
       WORD(MADV_KEEPONFORK),     WORD(MADV_COLD),      WORD(MADV_PAGEOUT),     WORD(MADV_POPULATE_READ),
       WORD(MADV_POPULATE_WRITE), WORD(MADV_HWPOISON)});
WORDS(kAioCommands, {{0, "IOCB_CMD_PREAD"},
                     {1, "IOCB_CMD_PWRITE"},
                     {2, "IOCB_CMD_FSYNC"},
                     {3, "IOCB_CMD_FDSYNC"},
                     {5, "IOCB_CMD_POLL"},
                     {6, "IOCB_CMD_NOOP"},
                     {7, "IOCB_CMD_PREADV"},
                     {8, "IOCB_CMD_PWRITEV"}});
WORDS(kAioFlags, {{1, "IOCB_FLAG_RESFD"}, {2, "IOCB_FLAG_IOPRIO"}});
WORDS(kArchPrctls, {{0x1001, "ARCH_SET_GS"},
                    {0x1002, "ARCH_SET_FS"},
                    {0x1003, "ARCH_GET_FS"},
                    {0x1004, "ARCH_GET_GS"},
                    {0x1011, "ARCH_GET_CPUID"},
                    {0x1012, "ARCH_SET_CPUID"}});
WORDS(kAtFlags,
      {WORD(AT_SYMLINK_NOFOLLOW), WORD(AT_REMOVEDIR), WORD(AT_SYMLINK_FOLLOW), WORD(AT_NO_AUTOMOUNT),
       WORD(AT_EMPTY_PATH), WORD(AT_STATX_FORCE_SYNC), WORD(AT_STATX_DONT_SYNC), WORD(AT_RECURSIVE)});
WORDS(kAttributeNames, {{0, "user.a"},
                        {1, "user.b"},
                        {2, "trusted.x"},
                        {3, "security.capability"},
                        {4, "system.posix_acl_access"},
                        {5, "user."},
                        {6, "nothing"}});
WORDS(kCapabilityVersions, {{0x19980330, "_LINUX_CAPABILITY_VERSION_1"},
                            {0x20071026, "_LINUX_CAPABILITY_VERSION_2"},
                            {0x20080522, "_LINUX_CAPABILITY_VERSION_3"}});
WORDS(kClocks, {WORD(CLOCK_REALTIME), WORD(CLOCK_MONOTONIC), WORD(CLOCK_PROCESS_CPUTIME_ID),
                WORD(CLOCK_THREAD_CPUTIME_ID), WORD(CLOCK_MONOTONIC_RAW), WORD(CLOCK_REALTIME_COARSE),
                WORD(CLOCK_MONOTONIC_COARSE), WORD(CLOCK_BOOTTIME), WORD(CLOCK_REALTIME_ALARM),
                WORD(CLOCK_BOOTTIME_ALARM), WORD(CLOCK_TAI)});
WORDS(kCloneFlags, {WORD(SIGCHLD),
                    WORD(CLONE_VM),
                    WORD(CLONE_FS),
                    WORD(CLONE_FILES),
                    WORD(CLONE_SIGHAND),
                    WORD(CLONE_PIDFD),
                    WORD(CLONE_PTRACE),
                    WORD(CLONE_VFORK),
                    WORD(CLONE_PARENT),
                    WORD(CLONE_THREAD),
                    WORD(CLONE_NEWNS),
                    WORD(CLONE_SYSVSEM),
                    WORD(CLONE_SETTLS),
                    WORD(CLONE_PARENT_SETTID),
                    WORD(CLONE_CHILD_CLEARTID),
                    WORD(CLONE_UNTRACED),
                    WORD(CLONE_CHILD_SETTID),
                    WORD(CLONE_NEWCGROUP),
                    WORD(CLONE_NEWUTS),
                    WORD(CLONE_NEWIPC),
                    WORD(CLONE_NEWUSER),
                    WORD(CLONE_NEWPID),
                    WORD(CLONE_NEWNET),
                    WORD(CLONE_IO),
                    {0x100000000, "CLONE_CLEAR_SIGHAND"},
                    {0x200000000, "CLONE_INTO_CGROUP"},
                    {0x3d0f00, "pthread_create"}});
WORDS(kCloseRangeFlags, {{2, "CLOSE_RANGE_UNSHARE"}, {4, "CLOSE_RANGE_CLOEXEC"}});
WORDS(kControlTypes, {{1, "SCM_RIGHTS"},
                      {2, "SCM_CREDENTIALS"},
                      {3, "SCM_SECURITY"},
                      {4, "SCM_PIDFD"},
                      {29, "SO_TIMESTAMP"},
                      {2, "IP_TTL"},
                      {8, "IP_PKTINFO"},
                      {50, "IPV6_PKTINFO"}});
WORDS(kDescriptorFlags, {WORD(O_CLOEXEC), WORD(O_NONBLOCK)});
WORDS(kEpollEvents, {WORD(EPOLLIN), WORD(EPOLLPRI), WORD(EPOLLOUT), WORD(EPOLLERR), WORD(EPOLLHUP),
                     WORD(EPOLLRDNORM), WORD(EPOLLWRNORM), WORD(EPOLLMSG), WORD(EPOLLRDHUP),
                     WORD(EPOLLEXCLUSIVE), WORD(EPOLLWAKEUP), WORD(EPOLLONESHOT), WORD(EPOLLET)});
WORDS(kEpollOperations, {WORD(EPOLL_CTL_ADD), WORD(EPOLL_CTL_DEL), WORD(EPOLL_CTL_MOD)});
WORDS(kEventFdFlags, {WORD(EFD_CLOEXEC), WORD(EFD_NONBLOCK), WORD(EFD_SEMAPHORE)});
WORDS(kFallocateModes,
      {WORD(FALLOC_FL_KEEP_SIZE), WORD(FALLOC_FL_PUNCH_HOLE), WORD(FALLOC_FL_COLLAPSE_RANGE),
       WORD(FALLOC_FL_ZERO_RANGE), WORD(FALLOC_FL_INSERT_RANGE), WORD(FALLOC_FL_UNSHARE_RANGE)});
WORDS(kFamilies, {WORD(AF_UNSPEC), WORD(AF_UNIX), WORD(AF_INET), WORD(AF_INET6), WORD(AF_NETLINK),
                  WORD(AF_PACKET), WORD(AF_VSOCK)});
WORDS(kFcntlCommands, {WORD(F_DUPFD),         WORD(F_GETFD),       WORD(F_SETFD),       WORD(F_GETFL),
                       WORD(F_SETFL),         WORD(F_GETLK),       WORD(F_SETLK),       WORD(F_SETLKW),
                       WORD(F_SETOWN),        WORD(F_GETOWN),      WORD(F_SETSIG),      WORD(F_GETSIG),
                       WORD(F_SETOWN_EX),     WORD(F_GETOWN_EX),   {36, "F_OFD_GETLK"}, {37, "F_OFD_SETLK"},
                       {38, "F_OFD_SETLKW"},  WORD(F_SETLEASE),    WORD(F_GETLEASE),    WORD(F_NOTIFY),
                       WORD(F_DUPFD_CLOEXEC), WORD(F_SETPIPE_SZ),  WORD(F_GETPIPE_SZ),  WORD(F_ADD_SEALS),
                       WORD(F_GET_SEALS),     WORD(F_GET_RW_HINT), WORD(F_SET_RW_HINT)});
WORDS(kFileSystems, {{0, "tmpfs"},
                     {1, "proc"},
                     {2, "sysfs"},
                     {3, "devpts"},
                     {4, "mqueue"},
                     {5, "cgroup2"},
                     {6, "overlay"},
                     {7, "ramfs"}});
WORDS(kFlockOperations, {WORD(LOCK_SH), WORD(LOCK_EX), WORD(LOCK_NB), WORD(LOCK_UN)});
WORDS(kFutexOperations, {WORD(FUTEX_WAIT),
                         WORD(FUTEX_WAKE),
                         WORD(FUTEX_FD),
                         WORD(FUTEX_REQUEUE),
                         WORD(FUTEX_CMP_REQUEUE),
                         WORD(FUTEX_WAKE_OP),
                         WORD(FUTEX_LOCK_PI),
                         WORD(FUTEX_UNLOCK_PI),
                         WORD(FUTEX_TRYLOCK_PI),
                         WORD(FUTEX_WAIT_BITSET),
                         WORD(FUTEX_WAKE_BITSET),
                         WORD(FUTEX_WAIT_REQUEUE_PI),
                         WORD(FUTEX_CMP_REQUEUE_PI),
                         {13, "FUTEX_LOCK_PI2"},
                         {128, "FUTEX_WAIT_PRIVATE"},
                         {129, "FUTEX_WAKE_PRIVATE"},
                         {132, "FUTEX_CMP_REQUEUE_PRIVATE"},
                         {133, "FUTEX_WAKE_OP_PRIVATE"},
                         {134, "FUTEX_LOCK_PI_PRIVATE"},
                         {135, "FUTEX_UNLOCK_PI_PRIVATE"},
                         {265, "FUTEX_WAIT_BITSET_REALTIME"}});
WORDS(kFutexWaitFlags, {{2, "FUTEX2_SIZE_U32"}, {4, "FUTEX2_NUMA"}, {128, "FUTEX_PRIVATE_FLAG"}});
WORDS(kGetMempolicyFlags, {{1, "MPOL_F_NODE"}, {2, "MPOL_F_ADDR"}, {4, "MPOL_F_MEMS_ALLOWED"}});
WORDS(kHandlers, {{0, "SIG_DFL"}, {1, "SIG_IGN"}, {0x401000, "handler"}, {0x7fff0000, "nowhere"}});
WORDS(kInotifyEvents,
      {WORD(IN_ACCESS), WORD(IN_MODIFY), WORD(IN_ATTRIB), WORD(IN_CLOSE_WRITE), WORD(IN_CLOSE_NOWRITE),
       WORD(IN_OPEN), WORD(IN_MOVED_FROM), WORD(IN_MOVED_TO), WORD(IN_CREATE), WORD(IN_DELETE),
       WORD(IN_DELETE_SELF), WORD(IN_MOVE_SELF), WORD(IN_ONLYDIR), WORD(IN_DONT_FOLLOW), WORD(IN_EXCL_UNLINK),
       WORD(IN_MASK_CREATE), WORD(IN_MASK_ADD), WORD(IN_ISDIR), WORD(IN_ONESHOT)});
WORDS(kInternetAddresses, {{0, "0.0.0.0"},
                           {0x0100007f, "127.0.0.1"},
                           {0x010000e0, "224.0.0.1"},
                           {0xffffffff, "255.255.255.255"}});
WORDS(kIoPriorityOf, {{1, "IOPRIO_WHO_PROCESS"}, {2, "IOPRIO_WHO_PGRP"}, {3, "IOPRIO_WHO_USER"}});
WORDS(kIoctls, {WORD(TCGETS),
                WORD(TCSETS),
                WORD(TCSETSW),
                WORD(TCSETSF),
                WORD(TIOCGPGRP),
                WORD(TIOCSPGRP),
                WORD(TIOCGWINSZ),
                WORD(TIOCSWINSZ),
                WORD(TIOCSCTTY),
                WORD(TIOCNOTTY),
                WORD(TIOCGSID),
                WORD(TIOCSTI),
                WORD(TIOCINQ),
                WORD(TIOCOUTQ),
                WORD(TIOCGPTN),
                WORD(TIOCSPTLCK),
                WORD(TIOCGPTPEER),
                WORD(TIOCPKT),
                WORD(TIOCEXCL),
                WORD(TIOCNXCL),
                WORD(TCFLSH),
                WORD(TCXONC),
                WORD(TCSBRK),
                WORD(FIONREAD),
                WORD(FIONBIO),
                WORD(FIOASYNC),
                WORD(FIOCLEX),
                WORD(FIONCLEX),
                {0x8901, "FIOSETOWN"},
                {0x8903, "FIOGETOWN"},
                {0x8912, "SIOCGIFCONF"},
                {0x8913, "SIOCGIFFLAGS"},
                {0x8915, "SIOCGIFADDR"},
                {0x8921, "SIOCGIFMTU"},
                {0x8933, "SIOCGIFINDEX"},
                {0x8910, "SIOCGIFNAME"},
                {0x8927, "SIOCGIFHWADDR"},
                {0x8905, "SIOCATMARK"},
                {0x80086601, "FS_IOC_GETFLAGS"},
                {0x40086602, "FS_IOC_SETFLAGS"},
                {0x40049409, "FICLONE"},
                {1, "FIBMAP"},
                {2, "FIGETBSZ"},
                {0x80081272, "BLKGETSIZE64"},
                {0x80045200, "RNDGETENTCNT"}});
WORDS(kIpcCommands, {WORD(IPC_RMID),
                     WORD(IPC_SET),
                     WORD(IPC_STAT),
                     WORD(IPC_INFO),
                     {11, "SHM_LOCK"},
                     {12, "SHM_UNLOCK"},
                     {13, "SHM_STAT"},
                     {14, "SHM_INFO"},
                     {15, "SHM_STAT_ANY"},
                     {11, "GETPID"},
                     {12, "GETVAL"},
                     {13, "GETALL"},
                     {14, "GETNCNT"},
                     {15, "GETZCNT"},
                     {16, "SETVAL"},
                     {17, "SETALL"},
                     {18, "SEM_STAT"},
                     {19, "SEM_INFO"},
                     {20, "SEM_STAT_ANY"}});
WORDS(kIpcFlags, {WORD(IPC_CREAT),
                  WORD(IPC_EXCL),
                  WORD(IPC_NOWAIT),
                  {0x1000, "MSG_NOERROR"},
                  {0x2000, "MSG_EXCEPT"},
                  {0x4000, "MSG_COPY"},
                  {0x180, "0600"},
                  {0x800, "SHM_HUGETLB"},
                  {0x1000, "SHM_NORESERVE"}});
WORDS(kIpcKeys, {{0, "IPC_PRIVATE"}, {1, "1"}, {2, "2"}});
WORDS(kItimers, {{0, "ITIMER_REAL"}, {1, "ITIMER_VIRTUAL"}, {2, "ITIMER_PROF"}});
WORDS(kKcmpTypes, {{0, "KCMP_FILE"},
                   {1, "KCMP_VM"},
                   {2, "KCMP_FILES"},
                   {3, "KCMP_FS"},
                   {4, "KCMP_SIGHAND"},
                   {5, "KCMP_IO"},
                   {6, "KCMP_SYSVSEM"},
                   {7, "KCMP_EPOLL_TFD"}});
WORDS(kLimitValues, {{0, "0"},
                     {1, "1"},
                     {10, "10"},
                     {4096, "4096"},
                     {65536, "65536"},
                     {8388608, "8388608"},
                     {0xffffffffffffffff, "RLIM_INFINITY"}});
WORDS(kLimits, {{0, "RLIMIT_CPU"},
                {1, "RLIMIT_FSIZE"},
                {2, "RLIMIT_DATA"},
                {3, "RLIMIT_STACK"},
                {4, "RLIMIT_CORE"},
                {5, "RLIMIT_RSS"},
                {6, "RLIMIT_NPROC"},
                {7, "RLIMIT_NOFILE"},
                {8, "RLIMIT_MEMLOCK"},
                {9, "RLIMIT_AS"},
                {10, "RLIMIT_LOCKS"},
                {11, "RLIMIT_SIGPENDING"},
                {12, "RLIMIT_MSGQUEUE"},
                {13, "RLIMIT_NICE"},
                {14, "RLIMIT_RTPRIO"},
                {15, "RLIMIT_RTTIME"}});
WORDS(kLockTypes, {WORD(F_RDLCK), WORD(F_WRLCK), WORD(F_UNLCK)});
WORDS(kMapFlags, {WORD(MAP_SHARED),
                  WORD(MAP_PRIVATE),
                  WORD(MAP_SHARED_VALIDATE),
                  WORD(MAP_FIXED),
                  WORD(MAP_ANONYMOUS),
                  {0x40, "MAP_32BIT"},
                  WORD(MAP_GROWSDOWN),
                  WORD(MAP_DENYWRITE),
                  WORD(MAP_LOCKED),
                  WORD(MAP_NORESERVE),
                  WORD(MAP_POPULATE),
                  WORD(MAP_NONBLOCK),
                  WORD(MAP_STACK),
                  WORD(MAP_HUGETLB),
                  WORD(MAP_SYNC),
                  WORD(MAP_FIXED_NOREPLACE),
                  {0x22, "MAP_PRIVATE|MAP_ANONYMOUS"},
                  {0x21, "MAP_SHARED|MAP_ANONYMOUS"}});
WORDS(kMaskChanges, {WORD(SIG_BLOCK), WORD(SIG_UNBLOCK), WORD(SIG_SETMASK)});
WORDS(kMbindFlags, {{1, "MPOL_MF_STRICT"}, {2, "MPOL_MF_MOVE"}, {4, "MPOL_MF_MOVE_ALL"}});
WORDS(kMembarriers, {{0, "MEMBARRIER_CMD_QUERY"},
                     {1, "MEMBARRIER_CMD_GLOBAL"},
                     {8, "MEMBARRIER_CMD_PRIVATE_EXPEDITED"},
                     {16, "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED"}});
WORDS(kMemfdFlags, {{1, "MFD_CLOEXEC"},
                    {2, "MFD_ALLOW_SEALING"},
                    {4, "MFD_HUGETLB"},
                    {8, "MFD_NOEXEC_SEAL"},
                    {16, "MFD_EXEC"}});
WORDS(kMemoryPolicies, {{0, "MPOL_DEFAULT"},
                        {1, "MPOL_PREFERRED"},
                        {2, "MPOL_BIND"},
                        {3, "MPOL_INTERLEAVE"},
                        {4, "MPOL_LOCAL"}});
WORDS(kMessageFlags,
      {WORD(MSG_OOB), WORD(MSG_PEEK), WORD(MSG_DONTROUTE), WORD(MSG_CTRUNC), WORD(MSG_TRUNC),
       WORD(MSG_DONTWAIT), WORD(MSG_EOR), WORD(MSG_WAITALL), WORD(MSG_CONFIRM), WORD(MSG_ERRQUEUE),
       WORD(MSG_NOSIGNAL), WORD(MSG_MORE), WORD(MSG_WAITFORONE), WORD(MSG_FASTOPEN), WORD(MSG_CMSG_CLOEXEC)});
WORDS(kMicroseconds, {{0, "0"}, {1, "1"}, {100, "100"}, {999999, "999999"}, {1000000, "1000000"}});
WORDS(kMilliseconds, {{0, "0"}, {1, "1"}, {10, "10"}, {0xffffffff, "-1"}});
WORDS(kMlockallFlags, {{1, "MCL_CURRENT"}, {2, "MCL_FUTURE"}, {4, "MCL_ONFAULT"}});
WORDS(kMountFlags, {WORD(MS_RDONLY), WORD(MS_NOSUID), WORD(MS_NODEV), WORD(MS_NOEXEC), WORD(MS_SYNCHRONOUS),
                    WORD(MS_REMOUNT), WORD(MS_NOATIME), WORD(MS_NODIRATIME), WORD(MS_BIND), WORD(MS_MOVE),
                    WORD(MS_REC), WORD(MS_SILENT), WORD(MS_UNBINDABLE), WORD(MS_PRIVATE), WORD(MS_SLAVE),
                    WORD(MS_SHARED), WORD(MS_RELATIME), WORD(MS_STRICTATIME)});
WORDS(kMremapFlags, {{1, "MREMAP_MAYMOVE"}, {2, "MREMAP_FIXED"}, {4, "MREMAP_DONTUNMAP"}});
WORDS(kMsyncFlags, {{1, "MS_ASYNC"}, {2, "MS_INVALIDATE"}, {4, "MS_SYNC"}});
WORDS(kNanoseconds, {{0, "0"},
                     {1, "1"},
                     {1000, "1000"},
                     {999999999, "999999999"},
                     {1000000000, "1000000000"},
                     {0x3fffffff, "UTIME_NOW"},
                     {0x3ffffffe, "UTIME_OMIT"}});
WORDS(kNodeModes, {WORD(S_IFIFO),
                   WORD(S_IFCHR),
                   WORD(S_IFBLK),
                   WORD(S_IFREG),
                   WORD(S_IFSOCK),
                   WORD(S_IFDIR),
                   {0x180, "0600"},
                   {0x1ff, "0777"}});
WORDS(kNotifications, {{0, "SIGEV_SIGNAL"}, {1, "SIGEV_NONE"}, {2, "SIGEV_THREAD"}, {4, "SIGEV_THREAD_ID"}});
WORDS(kOpenFlags, {WORD(O_RDONLY), WORD(O_WRONLY), WORD(O_RDWR), WORD(O_CREAT), WORD(O_EXCL), WORD(O_NOCTTY),
                   WORD(O_TRUNC), WORD(O_APPEND), WORD(O_NONBLOCK), WORD(O_DSYNC), WORD(O_ASYNC),
                   WORD(O_DIRECT), WORD(O_DIRECTORY), WORD(O_NOFOLLOW), WORD(O_NOATIME), WORD(O_CLOEXEC),
                   WORD(O_PATH), WORD(O_TMPFILE), WORD(O_SYNC)});
WORDS(kPidfdFlags, {{0x800, "PIDFD_NONBLOCK"}, {0x80, "PIDFD_THREAD"}});
WORDS(kPipeFlags, {WORD(O_CLOEXEC), WORD(O_NONBLOCK), WORD(O_DIRECT)});
WORDS(kPolicies, {{0, "SCHED_OTHER"},
                  {1, "SCHED_FIFO"},
                  {2, "SCHED_RR"},
                  {3, "SCHED_BATCH"},
                  {5, "SCHED_IDLE"},
                  {6, "SCHED_DEADLINE"},
                  {0x40000000, "SCHED_RESET_ON_FORK"}});
WORDS(kPollEvents, {WORD(POLLIN),
                    WORD(POLLPRI),
                    WORD(POLLOUT),
                    WORD(POLLERR),
                    WORD(POLLHUP),
                    WORD(POLLNVAL),
                    {0x40, "POLLRDNORM"},
                    {0x100, "POLLWRNORM"},
                    {0x2000, "POLLRDHUP"}});
WORDS(kPorts, {{0, "0"}, {0x5000, "80"}, {0x9210, "4242"}, {0x6161, "path"}});
WORDS(kPrctls, {WORD(PR_SET_PDEATHSIG),
                WORD(PR_GET_PDEATHSIG),
                WORD(PR_GET_DUMPABLE),
                WORD(PR_SET_DUMPABLE),
                WORD(PR_GET_KEEPCAPS),
                WORD(PR_SET_KEEPCAPS),
                WORD(PR_SET_NAME),
                WORD(PR_GET_NAME),
                WORD(PR_GET_SECCOMP),
                WORD(PR_SET_SECCOMP),
                WORD(PR_CAPBSET_READ),
                WORD(PR_CAPBSET_DROP),
                WORD(PR_GET_TSC),
                WORD(PR_SET_TSC),
                WORD(PR_GET_SECUREBITS),
                WORD(PR_SET_SECUREBITS),
                WORD(PR_SET_TIMERSLACK),
                WORD(PR_GET_TIMERSLACK),
                WORD(PR_SET_MM),
                WORD(PR_SET_CHILD_SUBREAPER),
                WORD(PR_GET_CHILD_SUBREAPER),
                WORD(PR_SET_NO_NEW_PRIVS),
                WORD(PR_GET_NO_NEW_PRIVS),
                WORD(PR_GET_TID_ADDRESS),
                WORD(PR_SET_THP_DISABLE),
                WORD(PR_GET_THP_DISABLE),
                WORD(PR_CAP_AMBIENT),
                WORD(PR_GET_SPECULATION_CTRL),
                WORD(PR_SET_VMA),
                WORD(PR_SET_PTRACER)});
WORDS(kPriorityOf, {{0, "PRIO_PROCESS"}, {1, "PRIO_PGRP"}, {2, "PRIO_USER"}});
WORDS(kProtections, {WORD(PROT_READ),
                     WORD(PROT_WRITE),
                     WORD(PROT_EXEC),
                     WORD(PROT_GROWSDOWN),
                     WORD(PROT_GROWSUP),
                     {3, "PROT_READ|PROT_WRITE"}});
WORDS(kProtocols, {{0, "0"},
                   {1, "IPPROTO_ICMP"},
                   {6, "IPPROTO_TCP"},
                   {17, "IPPROTO_UDP"},
                   {58, "IPPROTO_ICMPV6"},
                   {255, "IPPROTO_RAW"},
                   {0, "NETLINK_ROUTE"},
                   {15, "NETLINK_KOBJECT_UEVENT"},
                   {4, "NETLINK_SOCK_DIAG"}});
WORDS(kPtraceRequests, {{0, "PTRACE_TRACEME"},
                        {1, "PTRACE_PEEKTEXT"},
                        {2, "PTRACE_PEEKDATA"},
                        {3, "PTRACE_PEEKUSER"},
                        {4, "PTRACE_POKETEXT"},
                        {5, "PTRACE_POKEDATA"},
                        {6, "PTRACE_POKEUSER"},
                        {7, "PTRACE_CONT"},
                        {8, "PTRACE_KILL"},
                        {9, "PTRACE_SINGLESTEP"},
                        {12, "PTRACE_GETREGS"},
                        {13, "PTRACE_SETREGS"},
                        {14, "PTRACE_GETFPREGS"},
                        {15, "PTRACE_SETFPREGS"},
                        {16, "PTRACE_ATTACH"},
                        {17, "PTRACE_DETACH"},
                        {24, "PTRACE_SYSCALL"},
                        {0x4200, "PTRACE_SETOPTIONS"},
                        {0x4201, "PTRACE_GETEVENTMSG"},
                        {0x4202, "PTRACE_GETSIGINFO"},
                        {0x4203, "PTRACE_SETSIGINFO"},
                        {0x4204, "PTRACE_GETREGSET"},
                        {0x4205, "PTRACE_SETREGSET"},
                        {0x4206, "PTRACE_SEIZE"},
                        {0x4207, "PTRACE_INTERRUPT"},
                        {0x4208, "PTRACE_LISTEN"},
                        {0x4209, "PTRACE_PEEKSIGINFO"},
                        {0x420a, "PTRACE_GETSIGMASK"},
                        {0x420b, "PTRACE_SETSIGMASK"},
                        {0x420e, "PTRACE_GET_SYSCALL_INFO"}});
WORDS(kQueueNames, {{0, "/q"}, {1, "q"}, {2, "/r"}, {3, "/a/b"}, {4, "/"}, {5, "."}});
WORDS(kRandomFlags, {{1, "GRND_NONBLOCK"}, {2, "GRND_RANDOM"}, {4, "GRND_INSECURE"}});
WORDS(kReadWriteFlags,
      {{1, "RWF_HIPRI"}, {2, "RWF_DSYNC"}, {4, "RWF_SYNC"}, {8, "RWF_NOWAIT"}, {16, "RWF_APPEND"}});
WORDS(kRenameFlags, {{1, "RENAME_NOREPLACE"}, {2, "RENAME_EXCHANGE"}, {4, "RENAME_WHITEOUT"}});
WORDS(kResolveFlags, {{1, "RESOLVE_NO_XDEV"},
                      {2, "RESOLVE_NO_MAGICLINKS"},
                      {4, "RESOLVE_NO_SYMLINKS"},
                      {8, "RESOLVE_BENEATH"},
                      {16, "RESOLVE_IN_ROOT"},
                      {32, "RESOLVE_CACHED"}});
WORDS(kSeccompFlags, {{1, "SECCOMP_FILTER_FLAG_TSYNC"},
                      {2, "SECCOMP_FILTER_FLAG_LOG"},
                      {4, "SECCOMP_FILTER_FLAG_SPEC_ALLOW"},
                      {8, "SECCOMP_FILTER_FLAG_NEW_LISTENER"},
                      {16, "SECCOMP_FILTER_FLAG_TSYNC_ESRCH"},
                      {32, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}});
WORDS(kSeccompOperations, {{0, "SECCOMP_SET_MODE_STRICT"},
                           {1, "SECCOMP_SET_MODE_FILTER"},
                           {2, "SECCOMP_GET_ACTION_AVAIL"},
                           {3, "SECCOMP_GET_NOTIF_SIZES"}});
WORDS(kSemaphoreFlags, {{0x800, "IPC_NOWAIT"}, {0x1000, "SEM_UNDO"}});
WORDS(kShmFlags, {{0x1000, "SHM_RDONLY"}, {0x2000, "SHM_RND"}, {0x4000, "SHM_REMAP"}, {0x8000, "SHM_EXEC"}});
WORDS(kShutdowns, {{0, "SHUT_RD"}, {1, "SHUT_WR"}, {2, "SHUT_RDWR"}});
WORDS(kSignalBits, {{1, "SIGHUP"},
                    {2, "SIGINT"},
                    {0x100, "SIGKILL"},
                    {0x200, "SIGUSR1"},
                    {0x400, "SIGSEGV"},
                    {0x800, "SIGUSR2"},
                    {0x1000, "SIGPIPE"},
                    {0x2000, "SIGALRM"},
                    {0x10000, "SIGCHLD"},
                    {0x40000, "SIGSTOP"},
                    {0x80000000, "SIGRTMIN"},
                    {0xffffffffffffffff, "all"}});
WORDS(kSignalCodes, {{0, "SI_USER"},
                     {0x80, "SI_KERNEL"},
                     {0xffffffff, "SI_QUEUE"},
                     {0xfffffffe, "SI_TIMER"},
                     {0xfffffffd, "SI_MESGQ"},
                     {0xfffffffc, "SI_ASYNCIO"},
                     {0xfffffffa, "SI_TKILL"}});
WORDS(kSocketLevels, {{1, "SOL_SOCKET"},
                      {0, "IPPROTO_IP"},
                      {6, "IPPROTO_TCP"},
                      {17, "IPPROTO_UDP"},
                      {41, "IPPROTO_IPV6"},
                      {255, "IPPROTO_RAW"},
                      {263, "SOL_PACKET"},
                      {270, "SOL_NETLINK"}});
WORDS(kSocketOptions,
      {{1, "1"},   {2, "2"},   {3, "3"},   {4, "4"},   {5, "5"},   {6, "6"},   {7, "7"},   {8, "8"},
       {9, "9"},   {10, "10"}, {11, "11"}, {12, "12"}, {13, "13"}, {14, "14"}, {15, "15"}, {16, "16"},
       {17, "17"}, {18, "18"}, {19, "19"}, {20, "20"}, {21, "21"}, {22, "22"}, {23, "23"}, {25, "25"},
       {26, "26"}, {28, "28"}, {29, "29"}, {30, "30"}, {31, "31"}, {32, "32"}, {33, "33"}, {34, "34"},
       {35, "35"}, {36, "36"}, {38, "38"}, {39, "39"}, {41, "41"}, {42, "42"}, {47, "47"}, {49, "49"},
       {50, "50"}, {51, "51"}, {56, "56"}, {57, "57"}, {58, "58"}, {60, "60"}, {62, "62"}, {66, "66"},
       {67, "67"}, {77, "77"}});
WORDS(kSocketTypes, {WORD(SOCK_STREAM), WORD(SOCK_DGRAM), WORD(SOCK_RAW), WORD(SOCK_SEQPACKET),
                     WORD(SOCK_NONBLOCK), WORD(SOCK_CLOEXEC)});
WORDS(kSpliceFlags,
      {{1, "SPLICE_F_MOVE"}, {2, "SPLICE_F_NONBLOCK"}, {4, "SPLICE_F_MORE"}, {8, "SPLICE_F_GIFT"}});
WORDS(kStackFlags, {{1, "SS_ONSTACK"}, {2, "SS_DISABLE"}, {0x80000000, "SS_AUTODISARM"}});
WORDS(kStatxMask, {{0x7ff, "STATX_BASIC_STATS"},
                   {0x800, "STATX_BTIME"},
                   {0x1000, "STATX_MNT_ID"},
                   {0x2000, "STATX_DIOALIGN"},
                   {0x80000000, "STATX__RESERVED"}});
WORDS(kSyncFlags,
      {{1, "SYNC_FILE_RANGE_WAIT_BEFORE"}, {2, "SYNC_FILE_RANGE_WRITE"}, {4, "SYNC_FILE_RANGE_WAIT_AFTER"}});
WORDS(kTimerFdFlags, {{1, "TFD_TIMER_ABSTIME"}, {2, "TFD_TIMER_CANCEL_ON_SET"}});
WORDS(kTimerFlags, {{1, "TIMER_ABSTIME"}});
WORDS(kTimes, {{0, "0"},
               {1, "1"},
               {0xffffffffffffffff, "-1"},
               {1000000000, "1000000000"},
               {0x7fffffffffffffff, "LONG_MAX"}});
WORDS(kUmountFlags, {{1, "MNT_FORCE"}, {2, "MNT_DETACH"}, {4, "MNT_EXPIRE"}, {8, "UMOUNT_NOFOLLOW"}});
WORDS(kUnlinkFlags, {WORD(AT_REMOVEDIR)});
WORDS(kUsageOf, {{0, "RUSAGE_SELF"}, {0xffffffff, "RUSAGE_CHILDREN"}, {1, "RUSAGE_THREAD"}});
WORDS(kWaitFor, {{0, "P_ALL"}, {1, "P_PID"}, {2, "P_PGID"}, {3, "P_PIDFD"}});
WORDS(kWaitOptions, {{1, "WNOHANG"},
                     {2, "WUNTRACED"},
                     {4, "WEXITED"},
                     {8, "WCONTINUED"},
                     {0x1000000, "WNOWAIT"},
                     {0x20000000, "__WNOTHREAD"},
                     {0x40000000, "__WALL"},
                     {0x80000000, "__WCLONE"}});
WORDS(kWhence, {WORD(SEEK_SET), WORD(SEEK_CUR), WORD(SEEK_END), WORD(SEEK_DATA), WORD(SEEK_HOLE)});
WORDS(kXattrFlags, {{1, "XATTR_CREATE"}, {2, "XATTR_REPLACE"}});

#undef WORDS
#undef WORD

}  // namespace cloister::abi
