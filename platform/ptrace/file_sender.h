#ifndef CLOISTER_PLATFORM_PTRACE_FILE_SENDER_H_
#define CLOISTER_PLATFORM_PTRACE_FILE_SENDER_H_

#include <deque>

#include "base/host/unique_fd.h"
#include "base/own/ref.h"

namespace cloister::ptrace {

class Thread;

// The socket by which files get to the stubs. All stubs hold its other end, so one thread at a time has the
// turn: it is sent a file, receives it, and gives the turn back. For the tracer's thread.
class FileSender {
 public:
  // ours: where files are sent. theirs: the end that the stubs hold; what one of them could not take is taken
  // here.
  FileSender(UniqueFd ours, UniqueFd theirs) : ours_(std::move(ours)), theirs_(std::move(theirs)) {}

  int socket() const { return ours_.get(); }

  // False: somebody else has the turn, and the thread will be told by Thread::HasTurn.
  bool TakeTurn(Thread& thread);
  // The thread has it. 0 or an errno.
  int Send(int fd);
  // Ends the thread's turn, or its wait for one.
  void EndTurn(Thread& thread);

 private:
  void Drain();

  const UniqueFd ours_, theirs_;
  Ref<Thread> turn_;
  bool sent_ = false;
  std::deque<Ref<Thread>> waiting_;
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_FILE_SENDER_H_
