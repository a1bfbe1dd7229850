#include "runsc/shim/oom_watcher.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error/status.h"
#include "runsc/cgroup/stats.h"

namespace cloister::shim {
namespace {

// The kernel raises version 1's event before it kills and counts.
constexpr int kLooks = 20;
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(10);

// cgroup.event_control takes "eventfd control-file", cgroups-v1/memory.txt section 10.
absl::StatusOr<UniqueFd> ListenV1(const std::string& directory) {
  const UniqueFd control(open((directory + "/memory.oom_control").c_str(), O_RDONLY | O_CLOEXEC));
  if (!control.ok()) return HostErrorNow(directory + "/memory.oom_control");
  const std::string path = directory + "/cgroup.event_control";
  const UniqueFd registrar(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!registrar.ok()) return HostErrorNow(path);
  UniqueFd events(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!events.ok()) return HostErrorNow("eventfd");
  const std::string line = absl::StrCat(events.get(), " ", control.get());
  if (write(registrar.get(), line.data(), line.size()) < 0) return HostErrorNow(path);
  return events;
}

absl::StatusOr<UniqueFd> ListenV2(const std::string& directory) {
  UniqueFd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!events.ok()) return HostErrorNow("inotify_init1");
  const std::string path = directory + "/memory.events";
  if (inotify_add_watch(events.get(), path.c_str(), IN_MODIFY) < 0) return HostErrorNow(path);
  return events;
}

}  // namespace

absl::StatusOr<int> OomWatcher::Watch(const cgroup::Group& group, std::function<void()> on_kill) {
  const std::string directory = group.DirectoryOf("memory");
  if (directory.empty()) return absl::NotFoundError("no control group for memory");
  Entry entry{.events = TRY_STATUS(group.HasV1("memory") ? ListenV1(directory) : ListenV2(directory)),
              .group = group,
              .kills = cgroup::OomKills(group),
              .on_kill = std::move(on_kill)};
  const int key = entry.events.get();
  absl::MutexLock lock(&mu_);
  RETURN_IF_ERROR(StartLocked());
  epoll_event interest = {.events = EPOLLIN, .data = {.fd = key}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, key, &interest) != 0) return HostErrorNow("epoll_ctl");
  entries_[key] = std::move(entry);
  return key;
}

void OomWatcher::Forget(int key) {
  absl::MutexLock lock(&mu_);
  entries_.erase(key);
}

absl::Status OomWatcher::StartLocked() {
  if (epoll_.ok()) return absl::OkStatus();
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.ok()) return HostErrorNow("epoll_create1");
  std::thread([this] { Loop(); }).detach();
  return absl::OkStatus();
}

void OomWatcher::Loop() {
  int epoll;
  {
    absl::MutexLock lock(&mu_);
    epoll = epoll_.get();
  }
  while (true) {
    epoll_event event;
    const int got = epoll_wait(epoll, &event, 1, -1);
    if (got < 0 && errno != EINTR) return;
    if (got == 1) Handle(event.data.fd);
  }
}

void OomWatcher::Handle(int key) {
  for (int look = 0; look < kLooks; ++look) {
    {
      absl::MutexLock lock(&mu_);
      const auto entry = entries_.find(key);
      if (entry == entries_.end()) return;
      std::array<char, 4096> dropped;
      while (read(key, dropped.data(), dropped.size()) > 0) {
      }
      const uint64_t kills = cgroup::OomKills(entry->second.group);
      if (kills > entry->second.kills) {
        entry->second.kills = kills;
        entry->second.on_kill();
        return;
      }
    }
    absl::SleepFor(kBetweenLooks);
  }
}

}  // namespace cloister::shim
