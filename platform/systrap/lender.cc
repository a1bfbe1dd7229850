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
  read_.fd = -1;
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

int Lender::NumberForReading(int fd, uint64_t file_id) {
  const int number = first_ + stub::kMappedFds;
  if (read_.held && read_id_ == file_id) return number;
  if (fd < 0) return -1;
  read_.fd = fd;
  read_.held = false;
  read_id_ = file_id;
  ++new_;
  return number;
}

// True: the last one went with the answer, and the thread is anyone's from then on.
bool Lender::Give(Listener& listener, uint64_t doorbell, bool send) {
  for (size_t i = 0; i < places_.size(); ++i) {
    if (GiveOne(listener, doorbell, send, places_[i], first_ + static_cast<int>(i))) return true;
  }
  return GiveOne(listener, doorbell, send, read_, first_ + stub::kMappedFds);
}

bool Lender::GiveOne(Listener& listener, uint64_t doorbell, bool send, Place& place, int number) {
  if (place.fd < 0 || place.held) return false;
  const bool answers = --new_ == 0 && send;
  place.held = true;
  if (answers && listener.AddFdAndSend(doorbell, place.fd, number)) return true;
  if (!answers && listener.AddFd(doorbell, place.fd, number)) return false;
  LOG(kWarning, "a file could not be lent as %d: errno %d", number, errno);
  place.held = false;
  return false;
}

void Lender::Lend(Listener& listener, uint64_t doorbell) { Give(listener, doorbell, false); }

bool Lender::LendAndSend(Listener& listener, uint64_t doorbell) { return Give(listener, doorbell, true); }

}  // namespace cloister::systrap
