#include "runsc/serve/queue.h"

#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "runsc/serve/sandbox_run.h"

namespace cloister::serve {

Queue::Queue(const Host& host, int parallel, int most_waiting)
    : host_(host), most_waiting_(static_cast<size_t>(most_waiting)) {
  for (int i = 0; i < parallel; ++i) workers_.emplace_back([this] { Work(); });
}

Queue::~Queue() { Stop(); }

void Queue::Add(std::shared_ptr<Call> call) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mu_);
    // Those whose clients have gone do not count.
    std::erase_if(waiting_, [](const std::shared_ptr<Call>& waiting) {
      if (!waiting->IsCancelled()) return false;
      waiting->Close(absl::CancelledError());
      return true;
    });
    if (stopping_) {
      refused = absl::UnavailableError("the server ends");
    } else if (waiting_.size() >= most_waiting_ + workers_.size() - running_.size()) {
      refused = absl::ResourceExhaustedError("too many calls wait already");
    } else {
      waiting_.push_back(call);
    }
  }
  if (!refused.ok()) call->Close(refused);
}

std::shared_ptr<Call> Queue::Next() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &Queue::HasWork));
  if (stopping_) return nullptr;
  std::shared_ptr<Call> call = std::move(waiting_.front());
  waiting_.pop_front();
  running_.insert(call);
  return call;
}

void Queue::Work() {
  while (const std::shared_ptr<Call> call = Next()) {
    RunEvent started;
    started.mutable_started()->set_waited_ms(
        static_cast<uint64_t>(absl::ToInt64Milliseconds(absl::Now() - call->came())));
    call->Send(std::move(started));
    call->Close(call->IsCancelled() ? absl::CancelledError()
                                    : RunSandbox(host_, call->request(), call.get()));
    absl::MutexLock lock(&mu_);
    running_.erase(call);
  }
}

void Queue::Stop() {
  std::deque<std::shared_ptr<Call>> waiting;
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
    waiting.swap(waiting_);
    for (const std::shared_ptr<Call>& call : running_) call->Stop();
  }
  for (const std::shared_ptr<Call>& call : waiting) {
    call->Stop();
    call->Close(absl::CancelledError());
  }
  for (std::thread& worker : workers_) {
    if (worker.joinable()) worker.join();
  }
}

}  // namespace cloister::serve
