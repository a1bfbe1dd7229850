#include "runsc/serve/call.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/error/status.h"

namespace cloister::serve {
namespace {

// The codes have the same numbers.
grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.raw_code()), FirstLine(status));
}

}  // namespace

Call::Call(const RunRequest& request)
    : request_(request), came_(absl::Now()), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

std::shared_ptr<Call> Call::Make(const RunRequest& request) {
  std::shared_ptr<Call> call(new Call(request));
  call->self_ = call;
  return call;
}

void Call::Wake() const {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.get(), &one, sizeof one);
}

void Call::Send(RunEvent event) {
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_ || closed_) return;
    waiting_bytes_ += event.ByteSizeLong();
    events_.push_back(std::move(event));
  }
  Advance();
}

void Call::Close(const absl::Status& status) {
  {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    closed_ = true;
    last_ = ToGrpc(stopped_ ? absl::UnavailableError("the server ends") : status);
  }
  Advance();
}

void Call::Advance() {
  const RunEvent* event = nullptr;
  grpc::Status last;
  {
    absl::MutexLock lock(&mu_);
    if (writing_ || finished_) return;
    if (cancelled_) events_.clear();
    if (events_.empty() && !closed_) return;
    if (events_.empty()) {
      finished_ = true;
      last = last_;
    } else {
      writing_ = true;
      event = &events_.front();  // stays where it is: a deque moves nothing when its ends change
    }
  }
  if (event != nullptr) return StartWrite(event);
  Finish(last);
}

void Call::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mu_);
    waiting_bytes_ -= events_.front().ByteSizeLong();
    events_.pop_front();
    writing_ = false;
    if (!ok) cancelled_ = true;
  }
  Wake();
  Advance();
}

void Call::OnCancel() {
  cancelled_ = true;
  Wake();
}

void Call::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    cancelled_ = true;
  }
  Wake();
}

void Call::OnDone() { self_.reset(); }

}  // namespace cloister::serve
