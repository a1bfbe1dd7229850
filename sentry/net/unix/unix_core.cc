#include "sentry/net/unix/unix_core.h"

#include <algorithm>
#include <utility>

namespace cloister::net {
namespace {

constexpr size_t kMaxBacklog = 4096;  // net.core.somaxconn

// What one end's shutdown means for the other.
int Swapped(int bits) {
  int swapped = 0;
  if (bits & UnixCore::kShutReceive) swapped |= UnixCore::kShutSend;
  if (bits & UnixCore::kShutSend) swapped |= UnixCore::kShutReceive;
  return swapped;
}

}  // namespace

void UnixCore::Pair(UnixCore& one, UnixCore& other, const ucred& owner) {
  const auto join = [&owner](UnixCore& core, UnixCore& peer) {
    absl::MutexLock lock(&core.mu_);
    core.peer_ = Ref<UnixCore>(&peer);
    core.peer_credentials_ = owner;
    if (core.connected_type()) core.state_ = State::kConnected;
  };
  join(one, other);
  join(other, one);
}

ErrnoOrVoid UnixCore::Listen(int backlog, const ucred& owner) {
  if (!connected_type()) return Errno::kOpNotSupp;
  bool tell;
  {
    absl::MutexLock lock(&mu_);
    if (address_.empty()) return Errno::kInval;
    if (state_ != State::kFree && state_ != State::kListening) return Errno::kInval;
    state_ = State::kListening;
    const size_t limit =
        backlog < 0 ? kMaxBacklog : std::min<size_t>(static_cast<size_t>(backlog), kMaxBacklog);
    tell = limit > backlog_limit_;
    backlog_limit_ = limit;
    peer_credentials_ = owner;  // what those who connect see
  }
  if (tell) queue_.Notify(Poll::kOut);
  return {};
}

// Puts embryo into this listener's backlog and names it after the listener.
ErrnoOrVoid UnixCore::Enqueue(Ref<UnixCore> embryo, UnixCore& connecting) {
  ucred credentials;
  {
    absl::MutexLock lock(&mu_);
    if (state_ != State::kListening || (shut_ & kShutReceive)) return Errno::kConnRefused;
    if (backlog_.size() > backlog_limit_) return Errno::kAgain;
    credentials = peer_credentials_;
    absl::MutexLock embryo_lock(&embryo->mu_);  // nobody else knows it yet
    embryo->address_ = address_;
    embryo->path_ = path_;
    embryo->send_buffer_ = send_buffer_;
    embryo->pass_credentials_ = pass_credentials_;
    backlog_.push_back(embryo);
  }
  {
    absl::MutexLock lock(&connecting.mu_);
    connecting.peer_credentials_ = credentials;
  }
  queue_.Notify(Poll::kIn);
  return {};
}

ErrnoOrVoid UnixCore::ConnectTo(UnixCore& listener, const ucred& owner) {
  if (listener.type() != type_) return Errno::kPrototype;
  const auto embryo = MakeRef<UnixCore>(type_, net_);
  {
    absl::MutexLock lock(&mu_);
    switch (state_) {
      case State::kFree:
        break;
      case State::kConnected:
        return Errno::kIsConn;
      case State::kConnecting:
        return Errno::kAlready;
      case State::kListening:
      case State::kClosed:
        return Errno::kInval;
    }
    state_ = State::kConnecting;
    peer_ = embryo;
  }
  {
    absl::MutexLock lock(&embryo->mu_);
    embryo->peer_ = Ref<UnixCore>(this);
    embryo->peer_credentials_ = owner;
    embryo->state_ = State::kConnected;
  }
  const ErrnoOrVoid queued = listener.Enqueue(embryo, *this);
  {
    absl::MutexLock lock(&mu_);
    state_ = queued.ok() ? State::kConnected : State::kFree;
    if (!queued.ok()) peer_.reset();  // embryo lives: not the last reference
  }
  if (queued.ok()) {
    queue_.Notify(Poll::kOut);
  } else {
    absl::MutexLock lock(&embryo->mu_);
    embryo->peer_.reset();
  }
  return queued;
}

ErrnoOrVoid UnixCore::SetDefaultPeer(Ref<UnixCore> peer) {
  if (peer && peer->type() != type_) return Errno::kPrototype;
  if (peer) {
    absl::MutexLock lock(&peer->mu_);
    if (peer->state_ == State::kClosed) return Errno::kConnRefused;
    if (peer->peer_ && peer->peer_ != this && peer.get() != this) return Errno::kPerm;
  }
  {
    absl::MutexLock lock(&mu_);
    std::swap(peer_, peer);
  }
  if (peer) peer->ForgetBlocked(*this);
  queue_.Notify(Poll::kOut);
  return {};
}

ErrnoOr<Ref<UnixCore>> UnixCore::Accept() {
  if (!connected_type()) return Errno::kOpNotSupp;
  Ref<UnixCore> first;
  {
    absl::MutexLock lock(&mu_);
    if (state_ != State::kListening) return Errno::kInval;
    if (backlog_.empty()) {
      if (shut_ & kShutReceive) return Errno::kInval;
      return Errno::kAgain;
    }
    first = std::move(backlog_.front());
    backlog_.pop_front();
  }
  queue_.Notify(Poll::kOut);  // room in the backlog
  return first;
}

ErrnoOrVoid UnixCore::Shutdown(Shut how) {
  Ref<UnixCore> peer;
  {
    absl::MutexLock lock(&mu_);
    if (connected_type() && state_ != State::kConnected && state_ != State::kListening)
      return Errno::kNotConn;
    if (!connected_type() && !peer_) return Errno::kNotConn;
    shut_ |= how;
    if (connected_type()) peer = peer_;
  }
  if (peer) peer->PeerShut(Swapped(how), false);
  queue_.Notify(Poll::kIn | Poll::kOut | Poll::kRdHup | Poll::kHup);
  return {};
}

void UnixCore::PeerShut(int bits, bool reset) {
  {
    absl::MutexLock lock(&mu_);
    shut_ |= bits;
    if (reset) error_ = ECONNRESET;
  }
  Poll told = Poll::kOut;
  if (bits & kShutReceive) told |= Poll::kIn | Poll::kRdHup;
  if (bits == kShutBoth) told |= Poll::kHup;
  if (reset) told |= Poll::kErr;
  queue_.Notify(told);
}

void UnixCore::Close(bool embryo) {
  Ref<UnixCore> peer, blocked_on;
  std::deque<Message> messages;
  std::deque<Ref<UnixCore>> backlog;
  absl::flat_hash_map<Ref<UnixCore>, size_t> blocked;
  SocketAddress address;
  vfs::Path path;
  bool owns_name;
  {
    absl::MutexLock lock(&mu_);
    state_ = State::kClosed;
    shut_ = kShutBoth;
    peer = std::exchange(peer_, nullptr);
    blocked_on = std::exchange(blocked_on_, nullptr);
    messages.swap(messages_);
    backlog.swap(backlog_);
    blocked.swap(blocked_);
    charged_ = 0;
    owns_name = std::exchange(owns_name_, false);
    address = address_;
    std::swap(path, path_);
  }
  if (owns_name) ReleaseName(address, path);
  if (peer && connected_type()) peer->PeerShut(kShutBoth, embryo || !messages.empty());
  if (peer) peer->ForgetBlocked(*this);
  if (blocked_on) blocked_on->ForgetBlocked(*this);
  for (const Ref<UnixCore>& waiting : backlog) waiting->Close(/*embryo=*/true);
  for (const auto& [sender, limit] : blocked) sender->queue_.Notify(Poll::kOut);
  queue_.Notify(Poll::kOut | Poll::kHup);  // those who wait for the backlog
}

Ref<UnixCore> UnixCore::peer() const {
  absl::MutexLock lock(&mu_);
  return peer_;
}

ucred UnixCore::peer_credentials() const {
  absl::MutexLock lock(&mu_);
  return peer_credentials_;
}

bool UnixCore::listening() const {
  absl::MutexLock lock(&mu_);
  return state_ == State::kListening;
}

int UnixCore::TakeError() {
  absl::MutexLock lock(&mu_);
  return std::exchange(error_, 0);
}

void UnixCore::ForEachQueuedFile(absl::FunctionRef<void(vfs::FileDescription&)> each) const {
  std::vector<Ref<UnixCore>> embryos;  // dropped after the lock
  {
    absl::MutexLock lock(&mu_);
    for (const Message& message : messages_) {
      for (const Ref<vfs::FileDescription>& file : message.files.files()) each(*file);
    }
    embryos.assign(backlog_.begin(), backlog_.end());
  }
  for (const Ref<UnixCore>& embryo : embryos) embryo->ForEachQueuedFile(each);
}

void UnixCore::TakeQueuedFiles(std::vector<InFlightFiles>* files) {
  std::vector<Ref<UnixCore>> embryos;
  {
    absl::MutexLock lock(&mu_);
    for (Message& message : messages_) {
      if (!message.files.empty()) files->push_back(std::move(message.files));
    }
    embryos.assign(backlog_.begin(), backlog_.end());
  }
  for (const Ref<UnixCore>& embryo : embryos) embryo->TakeQueuedFiles(files);
}

}  // namespace cloister::net
