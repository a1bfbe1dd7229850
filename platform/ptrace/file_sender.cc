#include "platform/ptrace/file_sender.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "platform/ptrace/thread.h"

namespace cloister::ptrace {

bool FileSender::TakeTurn(Thread& thread) {
  if (turn_.get() == &thread) return true;
  if (turn_) {
    waiting_.push_back(Ref<Thread>(&thread));
    return false;
  }
  turn_ = Ref<Thread>(&thread);
  return true;
}

int FileSender::Send(int fd) {
  char byte = 'F';
  iovec piece = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message = {};
  message.msg_iov = &piece;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(ours_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return errno;
  sent_ = true;
  return 0;
}

void FileSender::EndTurn(Thread& thread) {
  std::erase(waiting_, &thread);
  if (turn_.get() != &thread) return;
  if (sent_) Drain();
  turn_ = nullptr;
  if (waiting_.empty()) return;
  turn_ = std::move(waiting_.front());
  waiting_.pop_front();
  turn_->HasTurn();
}

// A file that its receiver left. Without room for it the host drops it.
void FileSender::Drain() {
  msghdr message = {};
  recvmsg(theirs_.get(), &message, MSG_DONTWAIT);
  sent_ = false;
}

}  // namespace cloister::ptrace
