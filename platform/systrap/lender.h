#ifndef CLOISTER_PLATFORM_SYSTRAP_LENDER_H_
#define CLOISTER_PLATFORM_SYSTRAP_LENDER_H_

#include <sys/types.h>

#include <array>
#include <cstdint>

#include "platform/stub/layout.h"

namespace cloister::systrap {

class Listener;

// The files that one thread's stub holds so that it can map them, and the one that it reads. Not thread-safe:
// the thread's owner's, and then the worker's that answers.
class Lender {
 public:
  explicit Lender(uint32_t slot) : first_(stub::LentFd(slot)) {}

  // Begins a list of operations. keeps: the stub says that it still holds what was lent for the last one; if
  // that is not true, its mappings fail.
  void Begin(bool keeps);
  // The stub's number for the sentry's descriptor fd; -1 if the list has too many.
  int NumberFor(int fd);
  // HostOp::kReadFile: the file that it is to read, which it keeps until it is lent another one.
  int NumberForReading(int fd, uint64_t file_id);
  // The stub gives back what it reads.
  void EndReading() { read_.held = false; }
  // Whether the stub lacks something of the list.
  bool HasNew() const { return new_ != 0; }
  // Gives what is new to the stub that waits in a doorbell. Where the host has no room for it, the mapping
  // fails with EBADF.
  void Lend(Listener& listener, uint64_t doorbell);
  // The same, and answers the doorbell. False: the answer is still to be given.
  bool LendAndSend(Listener& listener, uint64_t doorbell);

 private:
  struct Place {
    int fd = -1;  // the sentry's, during a list
    dev_t device = 0;
    ino_t inode = 0;
    bool held = false;  // the stub has it, and so nobody else can be this inode
  };

  bool Give(Listener& listener, uint64_t doorbell, bool send);
  // The same for one place.
  bool GiveOne(Listener& listener, uint64_t doorbell, bool send, Place& place, int number);

  const int first_;
  std::array<Place, stub::kMappedFds> places_;
  Place read_;
  uint64_t read_id_ = 0;
  int new_ = 0;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_LENDER_H_
