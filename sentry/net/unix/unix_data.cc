// The data side of UnixCore: inboxes, room and readiness.

#include <algorithm>
#include <cstring>
#include <utility>

#include "sentry/net/unix/unix_core.h"

namespace cloister::net {
namespace {

// Linux subtracts this from the send buffer for the largest datagram.
constexpr size_t kMessageReserve = 32;

bool Same(const ucred& a, const ucred& b) { return a.pid == b.pid && a.uid == b.uid && a.gid == b.gid; }

}  // namespace

void UnixCore::NoteBlockedLocked(UnixCore& sender, size_t limit) { blocked_[Ref<UnixCore>(&sender)] = limit; }

void UnixCore::ForgetBlocked(UnixCore& sender) {
  const Ref<UnixCore> key(&sender);
  absl::MutexLock lock(&mu_);
  blocked_.erase(key);
}

std::vector<Ref<UnixCore>> UnixCore::TakeUnblockedLocked() {
  std::vector<Ref<UnixCore>> free;
  if (blocked_.empty() || IsFullLocked()) return free;
  for (auto it = blocked_.begin(); it != blocked_.end();) {
    if (HasRoomLocked(it->second)) {
      free.push_back(it->first);
      blocked_.erase(it++);
    } else {
      ++it;
    }
  }
  return free;
}

void UnixCore::TellRoom(const std::vector<Ref<UnixCore>>& senders) {
  for (const Ref<UnixCore>& sender : senders) sender->queue_.Notify(Poll::kOut);
}

// Bytes that sender may add; kAgain if there is no room, and it will be told of some.
ErrnoOr<size_t> UnixCore::RoomFor(UnixCore& sender, size_t limit) {
  absl::MutexLock lock(&mu_);
  if (state_ == State::kClosed || (shut_ & kShutReceive)) return Errno::kPipe;
  if (charged_ < limit) return limit - charged_;
  NoteBlockedLocked(sender, limit);
  return Errno::kAgain;
}

ErrnoOrVoid UnixCore::MayReceiveFrom(const UnixCore& sender, size_t size, size_t limit) {
  absl::MutexLock lock(&mu_);
  if (state_ == State::kClosed) return connected_type() ? Errno::kPipe : Errno::kConnRefused;
  if (shut_ & kShutReceive) return Errno::kPipe;
  if (!connected_type() && peer_ && peer_ != &sender) return Errno::kPerm;
  if (messages_.empty() || (!IsFullLocked() && charged_ + size + kOverhead <= limit)) return {};
  NoteBlockedLocked(const_cast<UnixCore&>(sender), limit);
  return Errno::kAgain;
}

// For a poll: whether sender could send now; if not, it will be told.
bool UnixCore::WritableBy(UnixCore& sender, size_t limit) {
  absl::MutexLock lock(&mu_);
  if (state_ == State::kClosed || (HasRoomLocked(limit) && !IsFullLocked())) return true;
  NoteBlockedLocked(sender, limit);
  return false;
}

ErrnoOrVoid UnixCore::Push(Message message) {
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kClosed || (shut_ & kShutReceive)) return Errno::kPipe;
    Message* const last = messages_.empty() ? nullptr : &messages_.back();
    const bool merge = type_ == SOCK_STREAM && last != nullptr && message.files.empty() &&
                       last->files.empty() && last->data.size() + message.data.size() <= kMergeUpTo &&
                       Same(last->sender, message.sender);
    if (merge) {
      charged_ += message.data.size();
      last->data.insert(last->data.end(), message.data.begin(), message.data.end());
    } else {
      charged_ += message.charge();
      messages_.push_back(std::move(message));
    }
  }
  queue_.Notify(Poll::kIn);
  return {};
}

// Remembers whose room we wait for, so that it can forget us when we go.
ErrnoOrVoid UnixCore::NotBlocked(ErrnoOrVoid result, const Ref<UnixCore>& target) {
  if (result.ok() || result.error() != Errno::kAgain) return result;
  Ref<UnixCore> old(target);  // dropped after the lock
  absl::MutexLock lock(&mu_);
  std::swap(old, blocked_on_);
  return result;
}

ErrnoOr<UnixCore::Target> UnixCore::StreamTarget() {
  absl::MutexLock lock(&mu_);
  if (shut_ & kShutSend) return Errno::kPipe;
  if (state_ != State::kConnected) return Errno::kNotConn;
  return Target{peer_, send_buffer_};
}

ErrnoOr<UnixCore::Message> UnixCore::MakeMessage(UserBuffer& src, size_t size, SendRequest& request) {
  Message message;
  message.data.resize(size);
  message.sender = request.control.credentials.value_or(request.sender);
  if (size > 0) {
    const size_t copied = TRY(src.CopyIn(message.data));
    if (copied < size) {
      if (type_ != SOCK_STREAM) return Errno::kFault;
      message.data.resize(copied);
    }
  }
  message.files = TRY(InFlightFiles::Send(std::move(request.control.files)));
  request.control.files.clear();
  return message;
}

ErrnoOr<size_t> UnixCore::SendStream(UserBuffer& src, SendRequest& request) {
  Target target = TRY(StreamTarget());
  if (src.empty()) return size_t{0};
  const ErrnoOr<size_t> room = target.peer->RoomFor(*this, target.limit);
  if (!room.ok()) {
    TRY_VOID(NotBlocked(room.error(), target.peer));
    return room.error();
  }
  UserBuffer ahead = src;
  Message message = TRY(MakeMessage(ahead, std::min(*room, src.size()), request));
  const size_t sent = message.data.size();
  TRY_VOID(target.peer->Push(std::move(message)));
  src = ahead;
  return sent;
}

ErrnoOr<size_t> UnixCore::SendMessage(UserBuffer& src, SendRequest& request, Ref<UnixCore> to) {
  const bool by_name = static_cast<bool>(to);
  size_t limit;
  {
    absl::MutexLock lock(&mu_);
    if (shut_ & kShutSend) return Errno::kPipe;
    if (connected_type() && state_ != State::kConnected) return Errno::kNotConn;
    if (!by_name) to = peer_;
    limit = send_buffer_;
  }
  if (!to) return Errno::kNotConn;
  const size_t size = src.size();
  if (size + kMessageReserve > limit) return Errno::kMsgSize;
  const ErrnoOrVoid allowed = NotBlocked(to->MayReceiveFrom(*this, size, limit), to);
  if (!allowed.ok()) {
    if (allowed.error() == Errno::kConnRefused && !by_name) static_cast<void>(SetDefaultPeer(nullptr));
    return allowed.error();
  }
  UserBuffer ahead = src;
  Message message = TRY(MakeMessage(ahead, size, request));
  message.from = address();
  TRY_VOID(to->Push(std::move(message)));
  src = ahead;
  return size;
}

ErrnoOr<size_t> UnixCore::EmptyLocked() {
  if (error_ != 0) return FromHostErrno(std::exchange(error_, 0));
  if (shut_ & kShutReceive) return size_t{0};
  return Errno::kAgain;
}

void UnixCore::TakeControlLocked(Message& message, bool peek, Received* received, InFlightFiles* arrived) {
  if (pass_credentials_) received->control.credentials = message.sender;
  received->from = message.from;
  if (peek) {
    received->control.files = message.files.files();
  } else {
    *arrived = std::move(message.files);
  }
}

ErrnoOr<size_t> UnixCore::CopyStreamLocked(UserBuffer& dst, bool peek, Received* received,
                                           InFlightFiles* arrived) {
  size_t total = 0;
  for (size_t next = 0; next < messages_.size() && !dst.empty();) {
    Message& message = messages_[next];
    if (total > 0 && pass_credentials_ && !Same(message.sender, *received->control.credentials)) break;
    const size_t left = message.left();
    const ErrnoOr<size_t> copied = dst.CopyOut(std::span(message.data).subspan(message.offset));
    if (!copied.ok()) {
      if (total > 0) break;
      return copied.error();
    }
    total += *copied;
    const bool had_files = !message.files.empty();
    TakeControlLocked(message, peek, received, arrived);
    if (peek) {
      ++next;
    } else {
      message.offset += *copied;
      charged_ -= *copied;
      if (message.left() == 0) {
        charged_ -= kOverhead;
        messages_.pop_front();
      }
    }
    if (had_files || *copied < left) break;
  }
  return total;
}

ErrnoOr<size_t> UnixCore::ReceiveStream(UserBuffer& dst, int flags, Received* received) {
  size_t got;
  InFlightFiles arrived;
  std::vector<Ref<UnixCore>> unblocked;
  {
    absl::MutexLock lock(&mu_);
    if (state_ != State::kConnected) return Errno::kInval;
    if (dst.empty()) return size_t{0};
    if (messages_.empty()) return EmptyLocked();
    got = TRY(CopyStreamLocked(dst, (flags & MSG_PEEK) != 0, received, &arrived));
    unblocked = TakeUnblockedLocked();
  }
  if (!arrived.empty()) received->control.files = arrived.Take();
  TellRoom(unblocked);
  return got;
}

ErrnoOr<size_t> UnixCore::ReceiveMessage(UserBuffer& dst, int flags, Received* received) {
  Message message;
  InFlightFiles arrived;
  std::vector<Ref<UnixCore>> unblocked;
  size_t copied = 0;
  {
    absl::MutexLock lock(&mu_);
    if (connected_type() && state_ != State::kConnected) return Errno::kNotConn;
    if (messages_.empty()) return EmptyLocked();
    Message& first = messages_.front();
    received->full_length = first.data.size();
    if (first.data.size() > dst.size()) received->flags |= MSG_TRUNC;
    if (type_ == SOCK_SEQPACKET) received->flags |= MSG_EOR;
    if (flags & MSG_PEEK) {
      if (!first.data.empty() && !dst.empty()) copied = TRY(dst.CopyOut(first.data));
      TakeControlLocked(first, true, received, &arrived);
      return copied;
    }
    TakeControlLocked(first, false, received, &arrived);
    charged_ -= first.charge();
    message = std::move(first);
    messages_.pop_front();
    unblocked = TakeUnblockedLocked();
  }
  if (!arrived.empty()) received->control.files = arrived.Take();
  TellRoom(unblocked);
  // As in Linux the message is gone even if its bytes cannot be stored.
  if (!message.data.empty() && !dst.empty()) copied = TRY(dst.CopyOut(message.data));
  return copied;
}

Poll UnixCore::Ready() {
  Poll ready;
  Ref<UnixCore> peer;
  size_t limit;
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kListening) return backlog_.empty() ? Poll::kNone : Poll::kIn;
    if (error_ != 0) ready |= Poll::kErr;
    if (shut_ == kShutBoth) ready |= Poll::kHup;
    if (shut_ & kShutReceive) ready |= Poll::kIn | Poll::kRdHup;
    if (!messages_.empty()) ready |= Poll::kIn;
    if (connected_type() && state_ == State::kFree) ready |= Poll::kHup;
    peer = peer_;
    limit = send_buffer_;
  }
  if (!peer || peer->WritableBy(*this, limit)) ready |= Poll::kOut;
  return ready;
}

size_t UnixCore::ReadableBytes() const {
  absl::MutexLock lock(&mu_);
  if (messages_.empty()) return 0;
  if (type_ != SOCK_STREAM) return messages_.front().data.size();
  size_t total = 0;
  for (const Message& message : messages_) total += message.left();
  return total;
}

size_t UnixCore::charged() const {
  absl::MutexLock lock(&mu_);
  return charged_;
}

size_t UnixCore::send_buffer() const {
  absl::MutexLock lock(&mu_);
  return send_buffer_;
}

void UnixCore::set_send_buffer(size_t bytes) {
  {
    absl::MutexLock lock(&mu_);
    send_buffer_ = bytes;
  }
  queue_.Notify(Poll::kOut);
}

bool UnixCore::pass_credentials() const {
  absl::MutexLock lock(&mu_);
  return pass_credentials_;
}

void UnixCore::set_pass_credentials(bool on) {
  absl::MutexLock lock(&mu_);
  pass_credentials_ = on;
}

}  // namespace cloister::net
