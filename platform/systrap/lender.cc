#include "platform/systrap/lender.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/host/host_stat.h"
#include "base/log/log.h"
#include "platform/systrap/listener.h"

namespace cloister::systrap {

void Lender::Begin(bool keeps) {
  new_ = 0;
  for (Place& place : places_) {
    place.fd = -1;
    place.held = place.held && keeps;
  }
}

int Lender::NumberFor(int fd) {
  const auto number = [&](const Place& place) { return first_ + static_cast<int>(&place - places_.data()); };
  for (const Place& place : places_) {
    if (place.fd == fd) return number(place);
  }
  struct stat file = {};
  if (HostStat(fd, &file) != 0) {
    LOG(kWarning, "a file to be lent cannot be looked at: errno %d", errno);
    return -1;
  }
  const auto same = std::ranges::find_if(places_, [&](const Place& place) {
    return place.held && place.device == file.st_dev && place.inode == file.st_ino;
  });
  if (same != places_.end()) {
    same->fd = fd;
    return number(*same);
  }
  const auto free = std::ranges::find(places_, -1, &Place::fd);
  if (free == places_.end()) return -1;
  *free = {fd, file.st_dev, file.st_ino, false};
  ++new_;
  return number(*free);
}

// True: the last one went with the answer, and the thread is anyone's from then on.
bool Lender::Give(Listener& listener, uint64_t doorbell, bool send) {
  for (Place& place : places_) {
    if (place.fd < 0 || place.held) continue;
    const int at = first_ + static_cast<int>(&place - places_.data());
    const bool answers = --new_ == 0 && send;
    place.held = true;
    if (answers && listener.AddFdAndSend(doorbell, place.fd, at)) return true;
    if (!answers && listener.AddFd(doorbell, place.fd, at)) continue;
    LOG(kWarning, "a file could not be lent as %d: errno %d", at, errno);
    place.held = false;
  }
  return false;
}

void Lender::Lend(Listener& listener, uint64_t doorbell) { Give(listener, doorbell, false); }

bool Lender::LendAndSend(Listener& listener, uint64_t doorbell) { return Give(listener, doorbell, true); }

}  // namespace cloister::systrap
