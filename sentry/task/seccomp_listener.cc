#include "sentry/task/seccomp_listener.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "base/host/random.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/wait/parker.h"

namespace cloister::task {
namespace {

using State = SeccompListener::Request::State;
using usermem::UserPtr;
using wait::WakeScope;

constexpr uint32_t kSetFlags = SECCOMP_IOW(4, uint64_t);  // linux/seccomp.h of Linux 6.6
constexpr uint64_t kSyncWakeUp = 1;
constexpr size_t kAddFdBytes = 24;  // SECCOMP_NOTIFY_ADDFD_SIZE_VER0
constexpr uint32_t kSizeMask = _IOC_SIZEMASK << _IOC_SIZESHIFT;

// A command without the size of its argument, which may grow. Linux: EA_IOCTL.
constexpr uint32_t WithoutSize(uint32_t command) { return command & ~(kSizeMask | IOC_INOUT); }

bool IsZero(const seccomp_notif& notif) {
  const std::span bytes = std::as_bytes(std::span(&notif, 1));
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

}  // namespace

SeccompListener::SeccompListener(uint64_t flags)
    : wait_killable_((flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) != 0), next_id_(RandomWord()) {}

SeccompListener::~SeccompListener() = default;

SeccompListener::Call::Call(Ref<SeccompListener> listener, Ref<Request> request)
    : listener_(std::move(listener)), request_(std::move(request)) {}

SeccompListener::Call::~Call() {
  if (request_) listener_->Remove(*request_);
}

Outcome SeccompListener::Call::Step(Task&) {
  if (std::optional<Outcome> outcome = listener_->TakeReply(*request_)) return *std::move(outcome);
  Block block;
  block.on.push_back({Ref<RefCounted>(request_), &request_->queue, Poll::kIn});
  block.killable_only = listener_->Ignores(*request_);
  return block;
}

// A reply that came first holds.
std::optional<Answer> SeccompListener::Call::Withdraw(Task&) {
  const std::optional<Outcome> outcome = listener_->TakeReply(*request_);
  if (!outcome.has_value()) return std::nullopt;
  const Answer* const answer = std::get_if<Answer>(&*outcome);
  return answer != nullptr ? *answer : Answer(Restart::kNoIntr);
}

std::optional<SeccompListener::Call> SeccompListener::Post(Task& task, const seccomp_data& data) {
  Ref<Request> request = MakeRef<Request>();
  request->task = Ref<Task>(&task);
  request->data = data;
  {
    absl::MutexLock lock(&mu_);
    if (!open_) return std::nullopt;
    request->id = next_id_++;
    requests_.push_back(request);
  }
  WakeScope::NotifyLater(Ref<RefCounted>(this), queue_, Poll::kIn);
  return Call(Ref<SeccompListener>(this), std::move(request));
}

SeccompListener::Request* SeccompListener::FindLocked(uint64_t id) {
  const auto found =
      std::find_if(requests_.begin(), requests_.end(), [id](const Ref<Request>& r) { return r->id == id; });
  return found != requests_.end() ? found->get() : nullptr;
}

void SeccompListener::Remove(const Request& request) {
  Ref<Request> kept;  // outlives the lock
  absl::MutexLock lock(&mu_);
  const auto found = std::find_if(requests_.begin(), requests_.end(),
                                  [&](const Ref<Request>& r) { return r.get() == &request; });
  if (found == requests_.end()) return;
  kept = std::move(*found);
  requests_.erase(found);
}

std::optional<Outcome> SeccompListener::TakeReply(const Request& request) {
  absl::MutexLock lock(&mu_);
  if (request.state != State::kReplied) return std::nullopt;
  if (request.reply.flags & SECCOMP_USER_NOTIF_FLAG_CONTINUE) return Outcome(ServeControl{});
  return Outcome(Answer(request.reply.error != 0 ? int64_t{request.reply.error} : request.reply.val));
}

// Whether signals that do not kill are to wait.
bool SeccompListener::Ignores(const Request& request) {
  absl::MutexLock lock(&mu_);
  return wait_killable_ && request.state == State::kSent;
}

void SeccompListener::OnUnused() {
  {
    absl::MutexLock lock(&mu_);
    used_ = false;
  }
  WakeScope::NotifyLater(Ref<RefCounted>(this), queue_, Poll::kIn | Poll::kHup);
}

bool SeccompListener::is_open() const {
  absl::MutexLock lock(&mu_);
  return open_;
}

ErrnoOr<Ref<SeccompListener::Request>> SeccompListener::Receive() {
  Ref<Request> request;
  {
    absl::MutexLock lock(&mu_);
    const auto found = std::find_if(requests_.begin(), requests_.end(),
                                    [](const Ref<Request>& r) { return r->state == State::kNew; });
    if (found == requests_.end()) return used_ ? Errno::kAgain : Errno::kNoEnt;
    request = *found;
    request->state = State::kSent;
  }
  if (wait_killable_) WakeScope::NotifyLater(Ref<RefCounted>(request), request->queue, Poll::kIn);
  WakeScope::NotifyLater(Ref<RefCounted>(this), queue_, Poll::kOut);
  return request;
}

void SeccompListener::TakeBack(Request& request) {
  {
    absl::MutexLock lock(&mu_);
    if (request.state == State::kSent) request.state = State::kNew;
  }
  WakeScope::NotifyLater(Ref<RefCounted>(this), queue_, Poll::kIn);
}

ErrnoOrVoid SeccompListener::Reply(const seccomp_notif_resp& reply) {
  Ref<Request> request;
  {
    absl::MutexLock lock(&mu_);
    request = Ref<Request>(FindLocked(reply.id));
    if (!request) return Errno::kNoEnt;
    if (request->state != State::kSent) return Errno::kInProgress;
    request->reply = reply;
    request->state = State::kReplied;
  }
  WakeScope::NotifyLater(Ref<RefCounted>(request), request->queue, Poll::kIn);
  return {};
}

ErrnoOr<Ref<SeccompListener::Request>> SeccompListener::Find(uint64_t id) {
  absl::MutexLock lock(&mu_);
  Request* const request = FindLocked(id);
  if (request == nullptr) return Errno::kNoEnt;
  if (request->state != State::kSent) return Errno::kInProgress;
  return Ref<Request>(request);
}

wait::Poll SeccompListener::Ready() const {
  absl::MutexLock lock(&mu_);
  Poll ready = used_ ? Poll::kNone : Poll::kHup;
  for (const Ref<Request>& request : requests_) {
    if (request->state == State::kNew) ready = ready | Poll::kIn;
    if (request->state == State::kSent) ready = ready | Poll::kOut;
  }
  return ready;
}

void SeccompListener::Close() {
  std::list<Ref<Request>> left;
  {
    absl::MutexLock lock(&mu_);
    open_ = false;
    left.swap(requests_);
    for (const Ref<Request>& request : left) {
      if (request->state == State::kReplied) continue;
      request->reply.error = -ENOSYS;
      request->state = State::kReplied;
    }
  }
  for (const Ref<Request>& request : left)
    WakeScope::NotifyLater(Ref<RefCounted>(request), request->queue, Poll::kIn);
}

SeccompListenerFile::SeccompListenerFile(auth::CredRef cred, Ref<SeccompListener> listener)
    : AnonFile(O_RDWR, std::move(cred), "seccomp notify"), listener_(std::move(listener)) {}

void SeccompListenerFile::OnLastRef() {
  listener_->Close();
  AnonFile::OnLastRef();
}

ErrnoOr<int64_t> SeccompListenerFile::Ioctl(const vfs::IoctlRequest& request) {
  switch (request.command) {
    case SECCOMP_IOCTL_NOTIF_RECV:
      return Receive(request);
    case SECCOMP_IOCTL_NOTIF_SEND:
      return Send(request);
    case SECCOMP_IOCTL_NOTIF_ID_VALID:
    case SECCOMP_IOR(2, uint64_t):  // the direction that it was given first
      if (!listener_->Find(TRY(usermem::CopyIn(request.space, UserPtr<const uint64_t>(request.arg)))).ok())
        return Errno::kNoEnt;
      return 0;
    case kSetFlags:
      if (request.arg & ~kSyncWakeUp) return Errno::kInval;
      return 0;
    default:
      if (WithoutSize(request.command) == WithoutSize(SECCOMP_IOCTL_NOTIF_ADDFD)) return AddFd(request);
      return Errno::kInval;
  }
}

ErrnoOr<int64_t> SeccompListenerFile::Receive(const vfs::IoctlRequest& request) {
  if (!IsZero(TRY(usermem::CopyIn(request.space, UserPtr<const seccomp_notif>(request.arg)))))
    return Errno::kInval;
  const Ref<SeccompListener::Request> taken = TRY(listener_->Receive());
  seccomp_notif notif = {};
  notif.id = taken->id;
  notif.pid = static_cast<uint32_t>(taken->task->tid());
  notif.data = taken->data;
  const ErrnoOrVoid told = usermem::CopyOut(request.space, UserPtr<seccomp_notif>(request.arg), notif);
  if (told.ok()) return 0;
  listener_->TakeBack(*taken);
  return told.error();
}

ErrnoOr<int64_t> SeccompListenerFile::Send(const vfs::IoctlRequest& request) {
  const seccomp_notif_resp reply =
      TRY(usermem::CopyIn(request.space, UserPtr<const seccomp_notif_resp>(request.arg)));
  if (reply.flags & ~uint32_t{SECCOMP_USER_NOTIF_FLAG_CONTINUE}) return Errno::kInval;
  if (reply.flags != 0 && (reply.error != 0 || reply.val != 0)) return Errno::kInval;
  TRY_VOID(listener_->Reply(reply));
  return 0;
}

// A file of the supervisor becomes one of the caller's.
ErrnoOr<int64_t> SeccompListenerFile::AddFd(const vfs::IoctlRequest& request) {
  const size_t size = request.command >> _IOC_SIZESHIFT & _IOC_SIZEMASK;
  if (size != kAddFdBytes) return size < kAddFdBytes ? Errno::kInval : Errno::k2Big;
  const auto add = TRY(usermem::CopyIn(request.space, UserPtr<const seccomp_notif_addfd>(request.arg)));
  const bool chooses = (add.flags & SECCOMP_ADDFD_FLAG_SETFD) != 0;
  if (add.newfd_flags & ~uint32_t{O_CLOEXEC}) return Errno::kInval;
  if (add.flags & ~uint32_t{SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND}) return Errno::kInval;
  if (add.newfd != 0 && !chooses) return Errno::kInval;
  const Task* const supervisor = CurrentTask::Get();
  if (supervisor == nullptr) return Errno::kBadf;
  Ref<vfs::FileDescription> file = TRY(supervisor->files().Get(static_cast<int>(add.srcfd)));
  const Ref<SeccompListener::Request> waiting = TRY(listener_->Find(add.id));
  const Ref<vfs::FdTable> files = waiting->task->GetFiles();
  if (!files) return Errno::kSrch;
  const bool cloexec = (add.newfd_flags & O_CLOEXEC) != 0;
  const uint64_t limit = waiting->task->Limit(RLIMIT_NOFILE).rlim_cur;
  const auto number = static_cast<int>(add.newfd);
  if (chooses) {
    TRY(files->InstallAt(number, std::move(file), cloexec, limit));
  }
  const int fd = chooses ? number : TRY(files->Install(std::move(file), cloexec, 0, limit));
  if (add.flags & SECCOMP_ADDFD_FLAG_SEND) {
    seccomp_notif_resp reply = {};
    reply.id = add.id;
    reply.val = fd;
    TRY_VOID(listener_->Reply(reply));
  }
  return fd;
}

}  // namespace cloister::task
