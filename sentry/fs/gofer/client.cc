#include "sentry/fs/gofer/client.h"

#include <sched.h>

#include <cerrno>
#include <utility>

#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/protocol/welcome.h"

namespace cloister::goferfs {
namespace {

constexpr size_t kForgetBatch = 64;
constexpr int kMaxCpus = 1 << 16;

}  // namespace

Errno GoferClient::ErrnoOf(int32_t error) {
  return error > 0 && error <= EHWPOISON ? FromHostErrno(error) : Errno::kIo;
}

absl::StatusOr<Ref<GoferClient>> GoferClient::Connect(UniqueFd channel, std::function<void()> on_lost) {
  gofer::Welcomed welcomed = TRY_STATUS(gofer::ReceiveWelcome(std::move(channel)));
  Ref<GoferClient> client = MakeRef<GoferClient>(std::move(on_lost));
  const gofer::Welcome& welcome = welcomed.welcome;
  client->max_nodes_ = welcome.max_nodes();
  client->doorbell_ = welcome.doorbell();
  for (auto& made : welcomed.channels)
    client->connections_.push_back(std::make_unique<Connection>(std::move(made)));
  std::vector<int>& by_cpu = client->by_cpu_;
  for (int i = 0; i < welcome.cpus_size(); ++i) {
    const int cpu = welcome.cpus(i);
    if (cpu < 0 || cpu >= kMaxCpus) continue;
    if (by_cpu.size() <= static_cast<size_t>(cpu)) by_cpu.resize(static_cast<size_t>(cpu) + 1, -1);
    if (by_cpu[static_cast<size_t>(cpu)] < 0) by_cpu[static_cast<size_t>(cpu)] = i;
  }
  return client;
}

ErrnoOrVoid GoferClient::UseDoorbell(UniqueFd listener) {
  if (doorbell_ == 0) return Errno::kOpNotSupp;
  gofer::Request request;
  gofer::Reply reply;
  request.mutable_listen();
  Connection& connection = *connections_[doorbell_];
  absl::MutexLock lock(&connection.mu);
  const absl::Status done = connection.channel->Call(request, &reply, nullptr, listener.get());
  if (!done.ok()) return Lost(done);
  if (reply.error() != 0) return ErrnoOf(reply.error());
  connection.channel->UseDoorbell();
  rings_.store(true, std::memory_order_release);
  return {};
}

GoferClient::Connection& GoferClient::Take() {
  if (rings_.load(std::memory_order_acquire) && connections_[doorbell_]->mu.TryLock()) {
    rung_.fetch_add(1, std::memory_order_relaxed);
    return *connections_[doorbell_];
  }
  const int cpu = sched_getcpu();
  size_t best = 0;
  if (cpu >= 0) {
    const size_t at = static_cast<size_t>(cpu);
    best =
        at < by_cpu_.size() && by_cpu_[at] >= 0 ? static_cast<size_t>(by_cpu_[at]) : at % connections_.size();
  }
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& candidate = *connections_[(best + i) % connections_.size()];
    if (candidate.mu.TryLock()) return candidate;
  }
  connections_[best]->mu.Lock();
  return *connections_[best];
}

absl::Status GoferClient::Exchange(Connection& connection, const gofer::Request& request, gofer::Reply* reply,
                                   std::vector<UniqueFd>* fds) {
  calls_.fetch_add(1, std::memory_order_relaxed);
  const absl::Status done = connection.channel->Call(request, reply, fds);
  connection.mu.Unlock();
  return done;
}

ErrnoOrVoid GoferClient::Lost(const absl::Status& why) {
  if (!lost_.exchange(true, std::memory_order_acq_rel)) {
    LOG(kError, "the gofer's channel is lost: %s", why.message());
    if (on_lost_) on_lost_();
  }
  return Errno::kIo;
}

ErrnoOrVoid GoferClient::Call(gofer::Request& request, gofer::Reply* reply, UniqueFd* fd) {
  if (lost()) return Errno::kIo;
  if (any_forgotten_.load(std::memory_order_relaxed)) TakeForgotten(&request);
  std::vector<UniqueFd> fds;
  const absl::Status done = Exchange(Take(), request, reply, &fds);
  if (!done.ok()) return Lost(done);
  if (reply->error() != 0) return ErrnoOf(reply->error());
  if (fd != nullptr && !fds.empty()) *fd = std::move(fds.front());
  return {};
}

void GoferClient::TakeForgotten(gofer::Request* request) {
  absl::MutexLock lock(&forget_mu_);
  request->mutable_forget()->Assign(forgotten_.begin(), forgotten_.end());
  forgotten_.clear();
  any_forgotten_.store(false, std::memory_order_relaxed);
}

void GoferClient::Forget(uint64_t node, bool now) {
  if (node == 0) return;
  {
    absl::MutexLock lock(&forget_mu_);
    forgotten_.push_back(node);
    any_forgotten_.store(true, std::memory_order_relaxed);
    if (!now && forgotten_.size() < kForgetBatch) return;
  }
  gofer::Request request;
  gofer::Reply reply;
  TakeForgotten(&request);
  if (request.forget_size() == 0) return;         // another call has taken it along
  static_cast<void>(Call(request, &reply).ok());  // a lost channel has forgotten everything
}

}  // namespace cloister::goferfs
