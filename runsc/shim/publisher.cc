#include "runsc/shim/publisher.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/log/log.h"
#include "runsc/shim/timestamp.h"

namespace cloister::shim {
namespace {

constexpr size_t kMaxWaiting = 2048;
constexpr absl::Duration kCallPatience = absl::Seconds(5);
constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLastRetry = absl::Seconds(5);

}  // namespace

Publisher::Publisher(PublisherOptions options, Reaper* reaper)
    : options_(std::move(options)), reaper_(reaper) {
  std::thread([this] { Loop(); }).detach();
}

void Publisher::Publish(std::string_view topic, std::string_view name,
                        const google::protobuf::MessageLite& event) {
  api::Envelope envelope;
  *envelope.mutable_timestamp() = ToTimestamp(absl::Now());
  envelope.set_namespace_(options_.name_space);
  envelope.set_topic(std::string(topic));
  envelope.mutable_event()->set_type_url("containerd.events." + std::string(name));
  envelope.mutable_event()->set_value(event.SerializeAsString());
  absl::MutexLock lock(&mu_);
  if (queue_.size() >= kMaxWaiting) {
    LOG(kWarning, "event lost: %s", queue_.front().topic());
    queue_.pop_front();
  }
  queue_.push_back(std::move(envelope));
}

void Publisher::Flush(absl::Duration patience) {
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(
                           +[](Publisher* self) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                             return self->queue_.empty() && !self->sending_;
                           },
                           this),
                       patience);
}

void Publisher::Loop() {
  while (true) {
    api::Envelope envelope;
    {
      absl::MutexLock lock(&mu_);
      sending_ = false;
      mu_.Await(absl::Condition(
          +[](Publisher* self) ABSL_NO_THREAD_SAFETY_ANALYSIS { return !self->queue_.empty(); }, this));
      envelope = std::move(queue_.front());
      queue_.pop_front();
      sending_ = true;
    }
    absl::Duration pause = kFirstRetry;
    while (!(options_.ttrpc_socket.empty() ? RunBinary(envelope) : Forward(envelope))) {
      absl::SleepFor(pause);
      pause = std::min(pause * 2, kLastRetry);
    }
  }
}

// False: try again. An answer that is an error is final: containerd has the event and does not want it.
bool Publisher::Forward(const api::Envelope& envelope) {
  if (!client_.has_value()) {
    absl::StatusOr<ttrpc::Client> client = ttrpc::Client::Connect(options_.ttrpc_socket);
    if (!client.ok()) return false;
    client_ = *std::move(client);
  }
  api::ForwardRequest request;
  *request.mutable_envelope() = envelope;
  const absl::StatusOr<std::string> answer = client_->Call(
      "containerd.services.events.ttrpc.v1.Events", "Forward", request.SerializeAsString(), kCallPatience);
  if (answer.ok()) return true;
  LOG(kWarning, "event %s: %s", envelope.topic(), answer.status().message());
  if (!absl::IsUnavailable(answer.status())) return true;
  client_.reset();
  return false;
}

// "containerd publish" reads the event from its standard input.
bool Publisher::RunBinary(const api::Envelope& envelope) {
  int ends[2];
  if (options_.publish_binary.empty() || pipe2(ends, O_CLOEXEC) != 0) return true;
  UniqueFd source(ends[0]), sink(ends[1]);
  const UniqueFd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::string event = envelope.event().SerializeAsString();  // far below a pipe's size
  if (write(sink.get(), event.data(), event.size()) != static_cast<ssize_t>(event.size())) return true;
  sink.reset();
  const absl::StatusOr<Exit> exit =
      reaper_->Run({.argv = {options_.publish_binary, "--address", options_.address, "publish", "--topic",
                             envelope.topic(), "--namespace", envelope.namespace_()},
                    .fds = {source.get(), null.get(), null.get()}});
  if (!exit.ok() || exit->status != 0) LOG(kWarning, "event %s: not published", envelope.topic());
  return true;
}

}  // namespace cloister::shim
