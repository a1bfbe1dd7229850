#ifndef CLOISTER_GOFER_PROTOCOL_DOORBELL_FIXTURE_H_
#define CLOISTER_GOFER_PROTOCOL_DOORBELL_FIXTURE_H_

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>

#include "base/host/unique_fd.h"
#include "gofer/protocol/channel.h"
#include "gtest/gtest.h"

namespace cloister::gofer {

// For tests: from now on the calling thread's doorbell goes to the listener that is returned.
inline UniqueFd InstallDoorbell() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(kDoorbellNr), 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter = {std::size(program), program};
  EXPECT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
  UniqueFd listener(static_cast<int>(
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter)));
  EXPECT_TRUE(listener.ok()) << strerror(errno);
  return listener;
}

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_DOORBELL_FIXTURE_H_
