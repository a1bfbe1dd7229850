#include "sentry/wait/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <thread>

#include "absl/synchronization/notification.h"
#include "base/error/status.h"
#include "sentry/wait/block.h"
#include "sentry/wait/parker.h"

namespace cloister::wait {
namespace {

constexpr uint64_t kKickKey = 0;
constexpr absl::Duration kLookPatience = absl::Milliseconds(1);
thread_local bool is_poller_thread = false;

}  // namespace

Poller& Poller::Get() {
  static Poller* const poller = new Poller;
  return *poller;
}

absl::Status Poller::Start() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.ok()) return HostErrorNow("epoll_create1");
  kick_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!kick_.ok()) return HostErrorNow("eventfd");
  epoll_event event = {EPOLLIN | EPOLLET, {.u64 = kKickKey}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, kick_.get(), &event) != 0) return HostErrorNow("epoll_ctl");
  // Returns when it runs: a filter that comes next must not meet the thread's own beginning.
  absl::Notification begun;
  std::thread([this, &begun] {
    begun.Notify();
    Run();
  }).detach();
  begun.WaitForNotification();
  return absl::OkStatus();
}

void Poller::Kick() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the thread is awake anyway.
  [[maybe_unused]] const ssize_t written = write(kick_.get(), &one, sizeof one);
}

void Poller::SetTimer(TimerClient& client, MonotonicNs at) {
  bool kick;
  {
    absl::MutexLock lock(&mu_);
    const auto old = deadline_of_.find(&client);
    if (old != deadline_of_.end()) timers_.erase({old->second, &client});
    deadline_of_[&client] = at;
    timers_.insert({at, &client});
    kick = !is_poller_thread && at < sleeping_until_;
    if (kick) sleeping_until_ = at;
  }
  if (kick) Kick();
}

void Poller::CancelTimer(TimerClient& client) {
  absl::MutexLock lock(&mu_);
  const auto it = deadline_of_.find(&client);
  if (it != deadline_of_.end()) {
    timers_.erase({it->second, &client});
    deadline_of_.erase(it);
  }
  while (running_ == &client && !is_poller_thread) idle_.Wait(&mu_);
}

absl::Status Poller::Watch(int fd, HostFdClient& client) {
  absl::MutexLock lock(&mu_);
  const uint64_t key = next_key_++;
  epoll_event event = {EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET, {.u64 = key}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return HostErrorNow("epoll_ctl");
  watched_[fd] = {key, &client};
  fd_of_key_[key] = fd;
  return absl::OkStatus();
}

void Poller::Unwatch(int fd) {
  absl::MutexLock lock(&mu_);
  const auto it = watched_.find(fd);
  if (it == watched_.end()) return;
  const void* client = it->second.second;
  fd_of_key_.erase(it->second.first);
  watched_.erase(it);
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  while (running_ == client && !is_poller_thread) idle_.Wait(&mu_);
}

void Poller::Post(std::function<void()> work) {
  {
    absl::MutexLock lock(&mu_);
    posted_.push_back(std::move(work));
  }
  Kick();
}

void Poller::TakeOver() {
  {
    absl::MutexLock lock(&mu_);
    taken_over_ = true;
  }
  Kick();
}

void Poller::GiveBack() {
  absl::MutexLock lock(&mu_);
  taken_over_ = aside_ = false;
  given_back_.Signal();
}

void Poller::Look() {
  {
    absl::MutexLock lock(&mu_);
    if (!aside_) return;
    looking_ = true;
    ++looks_;
  }
  const timespec now = {};
  is_poller_thread = true;
  Wait(&now);
  is_poller_thread = false;
  absl::MutexLock lock(&mu_);
  looking_ = false;
}

// True: nobody looks, though somebody wanted to.
bool Poller::StepAsideLocked() {
  aside_ = true;
  bool deserted = false;
  while (taken_over_ && !deserted) {
    const uint64_t before = looks_;
    given_back_.WaitWithTimeout(&mu_, kLookPatience);
    deserted = looks_ == before && !looking_;
  }
  aside_ = false;
  return taken_over_;
}

void Poller::Run() {
  is_poller_thread = true;
  for (;;) {
    timespec timeout = {};
    bool forever, helps_out = false;
    {
      absl::MutexLock lock(&mu_);
      if (taken_over_) helps_out = StepAsideLocked();
      forever = timers_.empty() && posted_.empty() && !helps_out;
      sleeping_until_ = timers_.empty() ? kNever : timers_.begin()->first;
      if (posted_.empty() && !timers_.empty() && !helps_out) {
        const MonotonicNs left = std::max<MonotonicNs>(0, sleeping_until_ - MonotonicNow());
        timeout = {left / 1'000'000'000, left % 1'000'000'000};
      }
    }
    Wait(forever ? nullptr : &timeout);
    if (helps_out) WakeScope::RunHeld();
  }
}

// Once, and tells of what came.
void Poller::Wait(const timespec* timeout) {
  epoll_event events[64];
  const int count = epoll_pwait2(epoll_.get(), events, 64, timeout, nullptr);
  const WakeScope scope;
  {
    absl::MutexLock lock(&mu_);
    sleeping_until_ = 0;
  }
  for (int i = 0; i < count; ++i) Dispatch(events[i].data.u64, events[i].events);
  RunTimers();
  RunPosted();
}

void Poller::Dispatch(uint64_t key, uint32_t events) {
  if (key == kKickKey) {
    uint64_t count;
    [[maybe_unused]] const ssize_t got = read(kick_.get(), &count, sizeof count);
    return;
  }
  HostFdClient* client;
  {
    absl::MutexLock lock(&mu_);
    const auto fd = fd_of_key_.find(key);
    if (fd == fd_of_key_.end()) return;
    client = watched_.at(fd->second).second;
    running_ = client;
  }
  client->OnHostEvents(Poll(events));
  absl::MutexLock lock(&mu_);
  running_ = nullptr;
  idle_.SignalAll();
}

void Poller::RunTimers() {
  const MonotonicNs now = MonotonicNow();
  for (;;) {
    TimerClient* client;
    {
      absl::MutexLock lock(&mu_);
      if (timers_.empty() || timers_.begin()->first > now) return;
      client = timers_.begin()->second;
      timers_.erase(timers_.begin());
      deadline_of_.erase(client);
      running_ = client;
    }
    client->OnTimer();
    absl::MutexLock lock(&mu_);
    running_ = nullptr;
    idle_.SignalAll();
  }
}

void Poller::RunPosted() {
  std::vector<std::function<void()>> work;
  {
    absl::MutexLock lock(&mu_);
    work.swap(posted_);
  }
  for (const std::function<void()>& item : work) item();
}

}  // namespace cloister::wait
