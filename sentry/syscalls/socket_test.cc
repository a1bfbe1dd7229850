// Unix sockets through the system call table.

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>

#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::syscalls {
namespace {

class SocketSyscallTest : public SandboxTest {
 protected:
  struct Pair {
    uint64_t one, other;
  };
  Pair MakePair(uint64_t type = SOCK_STREAM) {
    Must(SYS_socketpair, {AF_UNIX, type, 0, scratch_});
    return {static_cast<uint64_t>(Get<int>(scratch_)), static_cast<uint64_t>(Get<int>(scratch_ + 4))};
  }
  // An address at name_; its size.
  uint64_t PutAddress(std::string_view path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, path.data(), path.size());
    Put(name_, address);
    return offsetof(sockaddr_un, sun_path) + path.size();
  }
  // A msghdr at header_ with one buffer at data_ and a control buffer at control_.
  void PutHeader(size_t data_size, size_t control_size) {
    Put<uint64_t>(header_ + 128, data_);
    Put<uint64_t>(header_ + 136, data_size);
    msghdr header = {};
    header.msg_iov = reinterpret_cast<iovec*>(header_ + 128);
    header.msg_iovlen = 1;
    header.msg_control = reinterpret_cast<void*>(control_size != 0 ? control_ : 0);
    header.msg_controllen = control_size;
    Put(header_, header);
  }
  template <typename T>
  size_t PutControl(int type, const T& value) {
    cmsghdr header = {};
    header.cmsg_len = CMSG_LEN(sizeof value);
    header.cmsg_level = SOL_SOCKET;
    header.cmsg_type = type;
    Put(control_, header);
    Put(control_ + CMSG_LEN(0), value);
    return CMSG_SPACE(sizeof value);
  }
  bool SigpipePending() {
    Must(SYS_rt_sigpending, {scratch_ + 32, 8});
    return Get<uint64_t>(scratch_ + 32) == uint64_t{1} << (SIGPIPE - 1);
  }

  const uint64_t name_ = scratch_ + 256;
  const uint64_t header_ = scratch_ + 512;
  const uint64_t control_ = scratch_ + 1024;
  const uint64_t data_ = scratch_ + 4096;
};

TEST_F(SocketSyscallTest, PairCarriesBytesAndWaits) {
  const auto [one, other] = MakePair();
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(child->Syscall(SYS_recvfrom, {other, data_, 16, 0, 0, 0}), std::nullopt);
  PutText(data_, "hello");
  EXPECT_EQ(Call(SYS_sendto, {one, data_, 5, 0, 0, 0}), 5);
  EXPECT_EQ(Result(*child), 5);
  EXPECT_EQ(Call(SYS_recvfrom, {one, data_, 16, MSG_DONTWAIT, 0, 0}), -EAGAIN);
  EXPECT_EQ(Call(SYS_recvfrom, {99, data_, 16, 0, 0, 0}), -EBADF);
  EXPECT_EQ(Call(SYS_recvfrom, {Must(SYS_eventfd, {0}), data_, 16, 0, 0, 0}), -ENOTSOCK);
}

TEST_F(SocketSyscallTest, ListenConnectAccept) {
  const uint64_t listener = Must(SYS_socket, {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0});
  const uint64_t size = PutAddress("/socket");
  EXPECT_EQ(Call(SYS_bind, {listener, name_, size}), 0);
  EXPECT_EQ(Call(SYS_accept, {listener, 0, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_listen, {listener, 1}), 0);
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(Call(SYS_accept4, {listener, name_, scratch_ + 16, SOCK_NONBLOCK}), std::nullopt);
  Put<int>(scratch_ + 16, sizeof(sockaddr_un));
  EXPECT_EQ(child->Syscall(SYS_socket, {AF_UNIX, SOCK_STREAM, 0}), static_cast<int64_t>(listener) + 1);
  EXPECT_EQ(child->Syscall(SYS_connect, {listener + 1, name_, size}), 0);
  const std::optional<int64_t> accepted = Result(*thread_);
  ASSERT_EQ(accepted, static_cast<int64_t>(listener) + 1);
  EXPECT_EQ(Get<int>(scratch_ + 16), 2);  // the client has no name
  const auto peer = static_cast<uint64_t>(*accepted);
  EXPECT_EQ(Call(SYS_recvfrom, {peer, data_, 1, 0, 0, 0}), -EAGAIN);
  Put<int>(scratch_ + 16, sizeof(sockaddr_un));
  EXPECT_EQ(Call(SYS_getsockname, {peer, name_, scratch_ + 16}), 0);
  EXPECT_EQ(GetText(name_ + 2, 7), "/socket");
  // The client's credentials.
  Put<int>(scratch_ + 16, sizeof(ucred));
  EXPECT_EQ(Call(SYS_getsockopt, {peer, SOL_SOCKET, SO_PEERCRED, data_, scratch_ + 16}), 0);
  EXPECT_EQ(Get<ucred>(data_).pid, child->Syscall(SYS_getpid));
  EXPECT_EQ(Call(SYS_shutdown, {peer, SHUT_WR}), 0);
  EXPECT_EQ(child->Syscall(SYS_recvfrom, {listener + 1, data_, 8, 0, 0, 0}), 0);
}

TEST_F(SocketSyscallTest, ConnectToNothing) {
  const uint64_t fd = Must(SYS_socket, {AF_UNIX, SOCK_STREAM, 0});
  EXPECT_EQ(Call(SYS_connect, {fd, name_, PutAddress("/none")}), -ENOENT);
  EXPECT_EQ(Call(SYS_connect, {fd, name_, PutAddress("/bin/test")}), -ECONNREFUSED);
  EXPECT_EQ(Call(SYS_connect, {fd, name_, ~uint64_t{0}}), -EINVAL);
  EXPECT_EQ(Call(SYS_connect, {fd, 8, 10}), -EFAULT);
  EXPECT_EQ(Call(SYS_socket, {AF_INET, SOCK_STREAM, 0}), -EAFNOSUPPORT);  // no stack in this sandbox
  EXPECT_EQ(Call(SYS_socket, {AF_UNIX, SOCK_STREAM | 1 << 20, 0}), -EINVAL);
  EXPECT_EQ(Call(SYS_socket, {AF_PACKET, SOCK_RAW, 0}), -EAFNOSUPPORT);
}

TEST_F(SocketSyscallTest, FilesArePassed) {
  const auto [one, other] = MakePair();
  Must(SYS_pipe, {scratch_ + 8});
  const int reader = Get<int>(scratch_ + 8);
  const auto writer = static_cast<uint64_t>(Get<int>(scratch_ + 12));
  PutText(data_, "x");
  PutHeader(1, PutControl(SCM_RIGHTS, reader));
  EXPECT_EQ(Call(SYS_sendmsg, {one, header_, 0}), 1);
  Must(SYS_close, {static_cast<uint64_t>(reader)});
  PutHeader(8, 64);
  EXPECT_EQ(Call(SYS_recvmsg, {other, header_, MSG_CMSG_CLOEXEC}), 1);
  const auto header = Get<msghdr>(header_);
  EXPECT_EQ(header.msg_controllen, CMSG_SPACE(sizeof(int)));
  const auto control = Get<cmsghdr>(control_);
  EXPECT_EQ(control.cmsg_type, SCM_RIGHTS);
  const auto passed = static_cast<uint64_t>(Get<int>(control_ + CMSG_LEN(0)));
  EXPECT_EQ(Call(SYS_fcntl, {passed, F_GETFD}), FD_CLOEXEC);
  Must(SYS_write, {writer, data_, 1});
  EXPECT_EQ(Call(SYS_read, {passed, data_, 8}), 1);
}

TEST_F(SocketSyscallTest, FilesWithoutRoomAreClosed) {
  const auto [one, other] = MakePair();
  Must(SYS_pipe, {scratch_ + 8});
  const int reader = Get<int>(scratch_ + 8);
  const auto writer = static_cast<uint64_t>(Get<int>(scratch_ + 12));
  PutHeader(1, PutControl(SCM_RIGHTS, reader));
  EXPECT_EQ(Call(SYS_sendmsg, {one, header_, 0}), 1);
  Must(SYS_close, {static_cast<uint64_t>(reader)});
  PutHeader(8, 0);
  EXPECT_EQ(Call(SYS_recvmsg, {other, header_, 0}), 1);
  EXPECT_EQ(Get<msghdr>(header_).msg_flags, MSG_CTRUNC);
  Put<uint64_t>(scratch_ + 16, uint64_t{1} << (SIGPIPE - 1));
  Must(SYS_rt_sigprocmask, {SIG_BLOCK, scratch_ + 16, 0, 8});
  EXPECT_EQ(Call(SYS_write, {writer, data_, 1}), -EPIPE);
}

TEST_F(SocketSyscallTest, CredentialsAreCheckedAndTold) {
  const auto [one, other] = MakePair(SOCK_DGRAM);
  Put<int>(scratch_ + 16, 1);
  EXPECT_EQ(Call(SYS_setsockopt, {other, SOL_SOCKET, SO_PASSCRED, scratch_ + 16, 4}), 0);
  PutHeader(1, PutControl(SCM_CREDENTIALS, ucred{1, 5, 6}));
  EXPECT_EQ(Call(SYS_sendmsg, {one, header_, 0}), 1);  // root may claim to be anybody
  PutHeader(8, 64);
  EXPECT_EQ(Call(SYS_recvmsg, {other, header_, 0}), 1);
  EXPECT_EQ(Get<cmsghdr>(control_).cmsg_type, SCM_CREDENTIALS);
  EXPECT_EQ(Get<ucred>(control_ + CMSG_LEN(0)).uid, 5u);
  Must(SYS_setresuid, {1000, 1000, 1000});
  PutHeader(1, PutControl(SCM_CREDENTIALS, ucred{1, 5, 0}));
  EXPECT_EQ(Call(SYS_sendmsg, {one, header_, 0}), -EPERM);
  PutHeader(1, 8);  // shorter than its header says
  EXPECT_EQ(Call(SYS_sendmsg, {one, header_, 0}), 1);
  Put<uint64_t>(control_, 1 << 20);
  PutHeader(1, 64);
  EXPECT_EQ(Call(SYS_sendmsg, {one, header_, 0}), -EINVAL);
}

TEST_F(SocketSyscallTest, BrokenStreamRaisesSigpipe) {
  const auto [one, other] = MakePair();
  Put<uint64_t>(scratch_ + 16, uint64_t{1} << (SIGPIPE - 1));
  Must(SYS_rt_sigprocmask, {SIG_BLOCK, scratch_ + 16, 0, 8});
  Must(SYS_close, {other});
  EXPECT_EQ(Call(SYS_sendto, {one, data_, 1, MSG_NOSIGNAL, 0, 0}), -EPIPE);
  EXPECT_FALSE(SigpipePending());
  EXPECT_EQ(Call(SYS_sendto, {one, data_, 1, 0, 0, 0}), -EPIPE);
  EXPECT_TRUE(SigpipePending());
}

TEST_F(SocketSyscallTest, ReceiveTimesOut) {
  const auto [one, other] = MakePair();
  Put(data_, timeval{0, 1000});
  EXPECT_EQ(Call(SYS_setsockopt, {one, SOL_SOCKET, SO_RCVTIMEO, data_, sizeof(timeval)}), 0);
  Put<int>(scratch_ + 16, sizeof(timeval));
  EXPECT_EQ(Call(SYS_getsockopt, {one, SOL_SOCKET, SO_RCVTIMEO, data_ + 64, scratch_ + 16}), 0);
  EXPECT_GE(Get<timeval>(data_ + 64).tv_usec, 1000);
  EXPECT_EQ(Call(SYS_setsockopt, {one, SOL_SOCKET, SO_RCVTIMEO, data_, 4}), -EINVAL);
  EXPECT_EQ(Call(SYS_setsockopt, {one, SOL_SOCKET, 9999, data_, 4}), -ENOPROTOOPT);
  static_cast<void>(other);
}

TEST_F(SocketSyscallTest, ManyMessagesAtOnce) {
  const auto [one, other] = MakePair(SOCK_SEQPACKET);
  PutText(data_, "abcdef");
  PutHeader(3, 0);
  Put(header_ + sizeof(mmsghdr), Get<msghdr>(header_));
  EXPECT_EQ(Call(SYS_sendmmsg, {one, header_, 2, 0}), 2);
  EXPECT_EQ(Get<unsigned>(header_ + offsetof(mmsghdr, msg_len)), 3u);
  EXPECT_EQ(Call(SYS_recvmmsg, {other, header_, 2, MSG_WAITFORONE, 0}), 2);
  EXPECT_EQ(Get<unsigned>(header_ + sizeof(mmsghdr) + offsetof(mmsghdr, msg_len)), 3u);
  EXPECT_EQ(Call(SYS_recvmmsg, {other, header_, 2, MSG_DONTWAIT, 0}), -EAGAIN);
}

TEST_F(SocketSyscallTest, WaitAllCollectsPieces) {
  const auto [one, other] = MakePair();
  const Ref<inproc::Thread> child = Fork();
  EXPECT_EQ(child->Syscall(SYS_recvfrom, {other, data_, 6, MSG_WAITALL, 0, 0}), std::nullopt);
  EXPECT_EQ(Call(SYS_sendto, {one, PutText(data_, "abc"), 3, 0, 0, 0}), 3);
  EXPECT_EQ(Result(*child), std::nullopt);
  EXPECT_EQ(Call(SYS_sendto, {one, PutText(data_, "def"), 3, 0, 0, 0}), 3);
  EXPECT_EQ(Result(*child), 6);
  std::string text(6, '\0');
  child->space().Read(data_, std::as_writable_bytes(std::span(text)));
  EXPECT_EQ(text, "abcdef");
}

}  // namespace
}  // namespace cloister::syscalls
