#include "base/host/random.h"

#include <sys/random.h>

#include <array>
#include <cstdlib>

namespace cloister {

uint64_t RandomWord() {
  // Of one call of the host for many; each is given out once.
  thread_local std::array<uint64_t, 32> words;
  thread_local size_t left = 0;
  if (left == 0) {
    if (getrandom(words.data(), sizeof words, 0) != static_cast<ssize_t>(sizeof words)) abort();
    left = words.size();
  }
  const uint64_t word = words[--left];
  words[left] = 0;
  return word;
}

}  // namespace cloister
