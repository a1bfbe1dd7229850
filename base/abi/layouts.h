#ifndef CLOISTER_BASE_ABI_LAYOUTS_H_
#define CLOISTER_BASE_ABI_LAYOUTS_H_

#include "base/abi/signature.h"

// The structs that system calls take and give: name, bytes, and (layouts.cc) the members that mean something.

namespace cloister::abi {

extern const Fields kIoctlArgumentFields;
extern const Fields kSocklenFields;
extern const Fields kTimespecFields;
extern const Fields kTimevalFields;
extern const Fields kTwoTimespecsFields;
extern const Fields kTwoTimevalsFields;
extern const Fields kItimerspecFields;
extern const Fields kItimervalFields;
extern const Fields kUtimbufFields;
extern const Fields kPollfdFields;
extern const Fields kEpollEventFields;
extern const Fields kFdSetFields;
extern const Fields kIovecFields;
extern const Fields kSockaddrFields;
extern const Fields kMsghdrFields;
extern const Fields kMmsghdrFields;
extern const Fields kCmsghdrFields;
extern const Fields kSigsetFields;
extern const Fields kSigactionFields;
extern const Fields kSiginfoFields;
extern const Fields kStackFields;
extern const Fields kSigeventFields;
extern const Fields kSigsetAndSizeFields;
extern const Fields kRlimitFields;
extern const Fields kCapHeaderFields;
extern const Fields kCapDataFields;
extern const Fields kGidFields;
extern const Fields kSchedParamFields;
extern const Fields kSchedAttrFields;
extern const Fields kCpuSetFields;
extern const Fields kCloneArgsFields;
extern const Fields kOpenHowFields;
extern const Fields kFutexWaitvFields;
extern const Fields kRobustListFields;
extern const Fields kSembufFields;
extern const Fields kMsgbufFields;
extern const Fields kIpcdsFields;
extern const Fields kMqAttrFields;
extern const Fields kIocbFields;
extern const Fields kFlockFields;
extern const Fields kFileHandleFields;
extern const Fields kMountAttrFields;
extern const Fields kSockFilterFields;
extern const Fields kSockFprogFields;

inline constexpr Layout kInt = {"int", 4};
inline constexpr Layout kTwoInts = {"int[2]", 8};
inline constexpr Layout kLong = {"long", 8};
inline constexpr Layout kIoctlArgument = {"ioctl argument", 64, &kIoctlArgumentFields};
inline constexpr Layout kSocklen = {"socklen_t", 4, &kSocklenFields};
inline constexpr Layout kTimespec = {"timespec", 16, &kTimespecFields};
inline constexpr Layout kTimeval = {"timeval", 16, &kTimevalFields};
inline constexpr Layout kTwoTimespecs = {"timespec[2]", 32, &kTwoTimespecsFields};
inline constexpr Layout kTwoTimevals = {"timeval[2]", 32, &kTwoTimevalsFields};
inline constexpr Layout kItimerspec = {"itimerspec", 32, &kItimerspecFields};
inline constexpr Layout kItimerval = {"itimerval", 32, &kItimervalFields};
inline constexpr Layout kTimezone = {"timezone", 8};
inline constexpr Layout kUtimbuf = {"utimbuf", 16, &kUtimbufFields};
inline constexpr Layout kTms = {"tms", 32};
inline constexpr Layout kTimex = {"timex", 208};
inline constexpr Layout kStat = {"stat", 144};
inline constexpr Layout kStatx = {"statx", 256};
inline constexpr Layout kStatfs = {"statfs", 120};
inline constexpr Layout kPollfd = {"pollfd", 8, &kPollfdFields};
inline constexpr Layout kEpollEvent = {"epoll_event", 12, &kEpollEventFields};
inline constexpr Layout kFdSet = {"fd_set", 128, &kFdSetFields};
inline constexpr Layout kIovec = {"iovec", 16, &kIovecFields};
inline constexpr Layout kSockaddr = {"sockaddr", 110, &kSockaddrFields};
inline constexpr Layout kMsghdr = {"msghdr", 56, &kMsghdrFields};
inline constexpr Layout kMmsghdr = {"mmsghdr", 64, &kMmsghdrFields};
inline constexpr Layout kCmsghdr = {"cmsghdr", 32, &kCmsghdrFields};
inline constexpr Layout kSigset = {"sigset_t", 8, &kSigsetFields};
inline constexpr Layout kSigaction = {"sigaction", 32, &kSigactionFields};
inline constexpr Layout kSiginfo = {"siginfo_t", 128, &kSiginfoFields};
inline constexpr Layout kStack = {"stack_t", 24, &kStackFields};
inline constexpr Layout kSigevent = {"sigevent", 64, &kSigeventFields};
inline constexpr Layout kSigsetAndSize = {"sigset_argpack", 16, &kSigsetAndSizeFields};
inline constexpr Layout kRlimit = {"rlimit64", 16, &kRlimitFields};
inline constexpr Layout kRusage = {"rusage", 144};
inline constexpr Layout kSysinfo = {"sysinfo", 112};
inline constexpr Layout kUtsname = {"utsname", 390};
inline constexpr Layout kCapHeader = {"__user_cap_header", 8, &kCapHeaderFields};
inline constexpr Layout kCapData = {"__user_cap_data[2]", 24, &kCapDataFields};
inline constexpr Layout kGid = {"gid_t", 4, &kGidFields};
inline constexpr Layout kSchedParam = {"sched_param", 4, &kSchedParamFields};
inline constexpr Layout kSchedAttr = {"sched_attr", 56, &kSchedAttrFields};
inline constexpr Layout kCpuSet = {"cpu_set_t", 128, &kCpuSetFields};
inline constexpr Layout kCloneArgs = {"clone_args", 88, &kCloneArgsFields};
inline constexpr Layout kOpenHow = {"open_how", 24, &kOpenHowFields};
inline constexpr Layout kFutexWaitv = {"futex_waitv", 24, &kFutexWaitvFields};
inline constexpr Layout kRobustList = {"robust_list_head", 24, &kRobustListFields};
inline constexpr Layout kSembuf = {"sembuf", 6, &kSembufFields};
inline constexpr Layout kMsgbuf = {"msgbuf", 72, &kMsgbufFields};
inline constexpr Layout kIpcds = {"ipc_ds", 120, &kIpcdsFields};
inline constexpr Layout kMqAttr = {"mq_attr", 64, &kMqAttrFields};
inline constexpr Layout kIocb = {"iocb", 64, &kIocbFields};
inline constexpr Layout kIoEvent = {"io_event", 32};
inline constexpr Layout kFlock = {"flock", 32, &kFlockFields};
inline constexpr Layout kFileHandle = {"file_handle", 136, &kFileHandleFields};
inline constexpr Layout kMountAttr = {"mount_attr", 32, &kMountAttrFields};
inline constexpr Layout kSockFilter = {"sock_filter", 8, &kSockFilterFields};
inline constexpr Layout kSockFprog = {"sock_fprog", 16, &kSockFprogFields};
inline constexpr Layout kBpfAttr = {"bpf_attr", 144};
inline constexpr Layout kPerfEventAttr = {"perf_event_attr", 136};
inline constexpr Layout kIoUringParams = {"io_uring_params", 120};
inline constexpr Layout kRseq = {"rseq", 32};

}  // namespace cloister::abi

#endif  // CLOISTER_BASE_ABI_LAYOUTS_H_
