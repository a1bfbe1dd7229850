#ifndef CLOISTER_RUNSC_SERVE_EVENT_SINK_H_
#define CLOISTER_RUNSC_SERVE_EVENT_SINK_H_

#include "runsc/serve/serve.pb.h"

namespace cloister::serve {

// Where the events of one sandbox go. Thread-safe.
class EventSink {
 public:
  virtual ~EventSink() = default;

  // Takes any event at once, even if full.
  virtual void Send(RunEvent event) = 0;
  // So much waits to be read by the client that the sandbox should wait.
  virtual bool IsFull() const = 0;
  // Nobody wants the result any more.
  virtual bool IsCancelled() const = 0;
  // An eventfd(2) that counts whenever one of the two may have changed.
  virtual int wake_fd() const = 0;
};

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_EVENT_SINK_H_
