#include "platform/systrap/listener.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

#include "base/error/status.h"

// Linux 6.6; not in Debian 12's headers.
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif
#ifndef SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

namespace cloister::systrap {

absl::Status Listener::WakeOnSameCore(bool same) {
  if (same_core_.load(std::memory_order_relaxed) == same) return absl::OkStatus();
  same_core_.store(same, std::memory_order_relaxed);
  const int result =
      ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SET_FLAGS, same ? SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP : 0UL);
  return result == 0 ? absl::OkStatus() : HostErrorNow("seccomp listener: SYNC_WAKE_UP");
}

int Listener::Receive(seccomp_notif* notif) {
  memset(notif, 0, sizeof *notif);  // the kernel refuses anything else
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, notif) == 0 ? 0 : errno;
}

bool Listener::Send(uint64_t id, int64_t value) {
  seccomp_notif_resp response = {id, value, 0, 0};
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

bool Listener::SendErrno(uint64_t id, int host_errno) {
  seccomp_notif_resp response = {id, 0, -host_errno, 0};
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

bool Listener::Continue(uint64_t id) {
  seccomp_notif_resp response = {id, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

bool Listener::AddFd(uint64_t id, int fd, int at) {
  seccomp_notif_addfd add = {id, SECCOMP_ADDFD_FLAG_SETFD, static_cast<uint32_t>(fd),
                             static_cast<uint32_t>(at), O_CLOEXEC};
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}

bool Listener::AddFdAndSend(uint64_t id, int fd, int at) {
  seccomp_notif_addfd add = {id, SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND,
                             static_cast<uint32_t>(fd), static_cast<uint32_t>(at), O_CLOEXEC};
  return ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &add) >= 0;
}

}  // namespace cloister::systrap
