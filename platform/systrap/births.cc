#include "platform/systrap/births.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/host/random.h"
#include "platform/systrap/thread.h"

namespace cloister::systrap {
namespace {

// That of a fork has to fit into mmap(2)'s flags.
uint64_t NewToken(bool fork) {
  uint64_t token = 0;
  while (token == 0) {
    token = RandomWord();
    if (fork) token >>= stub::kTokenShift;
  }
  return token;
}

bool IsSilent(const Thread& child) { return child.kind() == platform::CloneKind::kThread; }

}  // namespace

uint64_t Births::Expect(Ref<Thread> child) {
  const absl::Time now = absl::Now();
  absl::MutexLock lock(&mu_);
  uint64_t token;
  do {
    token = NewToken(child->kind() == platform::CloneKind::kFork);
  } while (expected_.contains(token));
  expected_[token] = {std::move(child), now};
  return token;
}

Ref<Thread> Births::Take(uint64_t token) {
  absl::MutexLock lock(&mu_);
  const auto found = expected_.find(token);
  if (found == expected_.end()) return nullptr;
  Ref<Thread> child = std::move(found->second.child);
  expected_.erase(found);
  return child;
}

std::vector<Ref<Thread>> Births::TakeOld(absl::Time asked_before) {
  std::vector<Ref<Thread>> old;
  absl::MutexLock lock(&mu_);
  absl::erase_if(expected_, [&](auto& entry) {
    const bool everybody = asked_before == absl::InfiniteFuture();
    if (!everybody && (entry.second.asked >= asked_before || IsSilent(*entry.second.child))) return false;
    old.push_back(std::move(entry.second.child));
    return true;
  });
  return old;
}

absl::Time Births::Oldest() {
  absl::MutexLock lock(&mu_);
  absl::Time oldest = absl::InfiniteFuture();
  for (const auto& [token, birth] : expected_) {
    if (!IsSilent(*birth.child)) oldest = std::min(oldest, birth.asked);
  }
  return oldest;
}

}  // namespace cloister::systrap
