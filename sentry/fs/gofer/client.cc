#include "sentry/fs/gofer/client.h"

#include <sched.h>

#include <cerrno>
#include <utility>

#include "base/error/status.h"
#include "base/log/log.h"
#include "gofer/protocol/limits.h"

namespace cloister::goferfs {
namespace {

constexpr int kForgetBatch = 64;
constexpr int kMaxCpus = 1 << 16;

}  // namespace

Errno GoferClient::ErrnoOf(int32_t error) {
  return error > 0 && error <= EHWPOISON ? FromHostErrno(error) : Errno::kIo;
}

GoferClient::Connection::Connection(UniqueFd socket) : channel(std::move(socket), gofer::kMaxReplyBytes) {}

absl::StatusOr<Ref<GoferClient>> GoferClient::Connect(UniqueFd channel, std::function<void()> on_lost) {
  Ref<GoferClient> client = MakeRef<GoferClient>(std::move(on_lost));
  client->connections_.push_back(std::make_unique<Connection>(std::move(channel)));
  RETURN_IF_ERROR(client->Hello());
  return client;
}

absl::Status GoferClient::Hello() {
  gofer::Request request;
  gofer::Reply reply;
  std::vector<UniqueFd> fds;
  request.mutable_hello();
  Connection& first = Take();
  const absl::Status done = Exchange(first, request, &reply, &fds);
  RETURN_IF_ERROR(done);
  if (reply.error() != 0 || !reply.has_hello()) return absl::InternalError("the gofer refused hello");
  const gofer::HelloReply& hello = reply.hello();
  max_nodes_ = hello.max_nodes();
  for (UniqueFd& fd : fds) connections_.push_back(std::make_unique<Connection>(std::move(fd)));
  for (int i = 0; i < hello.cpus_size() && static_cast<size_t>(i) < connections_.size(); ++i) {
    const int cpu = hello.cpus(i);
    if (cpu < 0 || cpu >= kMaxCpus) continue;
    if (by_cpu_.size() <= static_cast<size_t>(cpu)) by_cpu_.resize(static_cast<size_t>(cpu) + 1, -1);
    if (by_cpu_[static_cast<size_t>(cpu)] < 0) by_cpu_[static_cast<size_t>(cpu)] = i;
  }
  return absl::OkStatus();
}

GoferClient::Connection& GoferClient::Take() {
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
  absl::Status done = connection.channel.Send(request);
  if (done.ok()) done = connection.channel.Receive(reply, fds);
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

ErrnoOrVoid GoferClient::Call(const gofer::Request& request, gofer::Reply* reply, UniqueFd* fd) {
  if (lost()) return Errno::kIo;
  std::vector<UniqueFd> fds;
  const absl::Status done = Exchange(Take(), request, reply, &fds);
  if (!done.ok()) return Lost(done);
  if (reply->error() != 0) return ErrnoOf(reply->error());
  if (fd != nullptr && !fds.empty()) *fd = std::move(fds.front());
  return {};
}

void GoferClient::Forget(uint64_t node, bool now) {
  if (node == 0) return;
  gofer::Request batch;
  {
    absl::MutexLock lock(&forget_mu_);
    forget_.mutable_forget()->add_nodes(node);
    if (!now && forget_.forget().nodes_size() < kForgetBatch) return;
    batch.Swap(&forget_);
  }
  gofer::Reply reply;
  static_cast<void>(Call(batch, &reply).ok());  // a lost channel has forgotten everything
}

}  // namespace cloister::goferfs
