#ifndef CLOISTER_BASE_HOST_BYTE_COPY_H_
#define CLOISTER_BASE_HOST_BYTE_COPY_H_

#include <poll.h>

#include <cstddef>

namespace cloister {

// Bytes on their way from one descriptor to another, for a poll(2) loop; at most one buffer's worth waits.
// Descriptors are borrowed. The end of either side, and any error, closes the copy.
class ByteCopy {
 public:
  // -1 for either: closed from the beginning.
  ByteCopy(int from, int to) : from_(from), to_(to), open_(from >= 0 && to >= 0) {}

  bool open() const { return open_; }

  // What to poll for next; its descriptor is -1 where there is nothing to wait for.
  pollfd Interest() const;

  // After poll: reads or writes once if Interest()'s descriptor is ready.
  void Step(const pollfd& entry);

  // Copies what is on its way when the writing side has ended. Returns at the hang-up, or where others keep
  // it open, when nothing has come for some 50 ms.
  void Flush();

 private:
  bool pending() const { return begin_ < end_; }
  void Fill();
  void Drain();

  const int from_;
  const int to_;
  bool open_;
  size_t begin_ = 0;
  size_t end_ = 0;
  char buffer_[8192] = {};
};

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_BYTE_COPY_H_
