#ifndef CLOISTER_BASE_ERROR_ERRNO_H_
#define CLOISTER_BASE_ERROR_ERRNO_H_

#include <cerrno>
#include <string_view>

namespace cloister {

// An error as the guest sees it: Linux's errno(3) numbers under our own type.
// Values are the host's constants, which are the guest's too (x86-64 both).
enum class Errno : int {
  kPerm = EPERM,
  kNoEnt = ENOENT,
  kSrch = ESRCH,
  kIntr = EINTR,
  kIo = EIO,
  kNxIo = ENXIO,
  k2Big = E2BIG,
  kNoExec = ENOEXEC,
  kBadf = EBADF,
  kChild = ECHILD,
  kAgain = EAGAIN,
  kNoMem = ENOMEM,
  kAcces = EACCES,
  kFault = EFAULT,
  kNotBlk = ENOTBLK,
  kBusy = EBUSY,
  kExist = EEXIST,
  kXDev = EXDEV,
  kNoDev = ENODEV,
  kNotDir = ENOTDIR,
  kIsDir = EISDIR,
  kInval = EINVAL,
  kNFile = ENFILE,
  kMFile = EMFILE,
  kNotTy = ENOTTY,
  kTxtBsy = ETXTBSY,
  kFBig = EFBIG,
  kNoSpc = ENOSPC,
  kSPipe = ESPIPE,
  kRofs = EROFS,
  kMLink = EMLINK,
  kPipe = EPIPE,
  kDom = EDOM,
  kRange = ERANGE,
  kDeadLk = EDEADLK,
  kNameTooLong = ENAMETOOLONG,
  kNoLck = ENOLCK,
  kNoSys = ENOSYS,
  kNotEmpty = ENOTEMPTY,
  kLoop = ELOOP,
  kNoMsg = ENOMSG,
  kIdRm = EIDRM,
  kNoData = ENODATA,
  kTime = ETIME,
  kProto = EPROTO,
  kBadMsg = EBADMSG,
  kOverflow = EOVERFLOW,
  kBadFd = EBADFD,
  kLibBad = ELIBBAD,
  kIlSeq = EILSEQ,
  kUsers = EUSERS,
  kNotSock = ENOTSOCK,
  kDestAddrReq = EDESTADDRREQ,
  kMsgSize = EMSGSIZE,
  kPrototype = EPROTOTYPE,
  kNoProtoOpt = ENOPROTOOPT,
  kProtoNoSupport = EPROTONOSUPPORT,
  kSocktNoSupport = ESOCKTNOSUPPORT,
  kOpNotSupp = EOPNOTSUPP,
  kPfNoSupport = EPFNOSUPPORT,
  kAfNoSupport = EAFNOSUPPORT,
  kAddrInUse = EADDRINUSE,
  kAddrNotAvail = EADDRNOTAVAIL,
  kNetDown = ENETDOWN,
  kNetUnreach = ENETUNREACH,
  kNetReset = ENETRESET,
  kConnAborted = ECONNABORTED,
  kConnReset = ECONNRESET,
  kNoBufs = ENOBUFS,
  kIsConn = EISCONN,
  kNotConn = ENOTCONN,
  kShutdown = ESHUTDOWN,
  kTooManyRefs = ETOOMANYREFS,
  kTimedOut = ETIMEDOUT,
  kConnRefused = ECONNREFUSED,
  kHostDown = EHOSTDOWN,
  kHostUnreach = EHOSTUNREACH,
  kAlready = EALREADY,
  kInProgress = EINPROGRESS,
  kStale = ESTALE,
  kDQuot = EDQUOT,
  kNoMedium = ENOMEDIUM,
  kCanceled = ECANCELED,
  kNoKey = ENOKEY,
  kOwnerDead = EOWNERDEAD,
  kNotRecoverable = ENOTRECOVERABLE,
};

// The value of a host call's errno. Any positive number is kept as it is.
constexpr Errno FromHostErrno(int host_errno) { return static_cast<Errno>(host_errno); }

// "ENOENT", or "unknown errno" for a number without a name.
std::string_view ErrnoName(Errno error);

}  // namespace cloister

#endif  // CLOISTER_BASE_ERROR_ERRNO_H_
