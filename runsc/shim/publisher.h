#ifndef CLOISTER_RUNSC_SHIM_PUBLISHER_H_
#define CLOISTER_RUNSC_SHIM_PUBLISHER_H_

#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/host/reaper.h"
#include "runsc/shim/api/events.pb.h"
#include "runsc/shim/ttrpc/client.h"

namespace cloister::shim {

// Where events go to.
struct PublisherOptions {
  std::string ttrpc_socket;    // containerd's; empty: publish_binary is run for each event
  std::string publish_binary;  // containerd itself
  std::string address;         // containerd's gRPC socket, for publish_binary
  std::string name_space;
};

// Tells containerd what happens, in order, from a thread of its own. While containerd is away events wait,
// the oldest are lost first. One for each process, which is never destroyed.
class Publisher {
 public:
  Publisher(PublisherOptions options, Reaper* reaper);

  // topic: "/tasks/exit"; name: the event's message, "TaskExit". Does not block.
  void Publish(std::string_view topic, std::string_view name, const google::protobuf::MessageLite& event)
      ABSL_LOCKS_EXCLUDED(mu_);

  // Waits until all events are out, or for patience.
  void Flush(absl::Duration patience) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Loop() ABSL_LOCKS_EXCLUDED(mu_);
  bool Forward(const api::Envelope& envelope);
  bool RunBinary(const api::Envelope& envelope);

  const PublisherOptions options_;
  Reaper* const reaper_;
  std::optional<ttrpc::Client> client_;  // of the loop's thread  NOLINT

  absl::Mutex mu_;  // leaf
  std::deque<api::Envelope> queue_ ABSL_GUARDED_BY(mu_);
  bool sending_ ABSL_GUARDED_BY(mu_) = false;  // one is on its way and no more in the queue
};

}  // namespace cloister::shim

#endif  // CLOISTER_RUNSC_SHIM_PUBLISHER_H_
