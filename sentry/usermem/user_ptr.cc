#include "sentry/usermem/user_ptr.h"

#include <linux/limits.h>

#include <algorithm>
#include <cstring>

namespace cloister::usermem {

ErrnoOrVoid CopyInBytes(AddressSpace& space, uint64_t addr, std::span<std::byte> dst) {
  if (space.Read(addr, dst) != dst.size()) return Errno::kFault;
  return {};
}

ErrnoOrVoid CopyOutBytes(AddressSpace& space, uint64_t addr, std::span<const std::byte> src) {
  if (space.Write(addr, src) != src.size()) return Errno::kFault;
  return {};
}

ErrnoOr<std::string> CopyInString(AddressSpace& space, uint64_t addr, size_t max, Errno too_long) {
  constexpr size_t kPiece = 256;
  std::string text;
  while (text.size() < max) {
    char piece[kPiece];
    // Never across a page that the string may not reach.
    const size_t to_page_end = 4096 - ((addr + text.size()) & 4095);
    const size_t want = std::min({kPiece, max - text.size(), to_page_end});
    const size_t got = space.Read(addr + text.size(), std::as_writable_bytes(std::span(piece, want)));
    if (got == 0) return Errno::kFault;
    if (const void* end = memchr(piece, 0, got); end != nullptr) {
      text.append(piece, static_cast<size_t>(static_cast<const char*>(end) - piece));
      return text;
    }
    text.append(piece, got);
  }
  return too_long;
}

ErrnoOr<std::string> CopyInPath(AddressSpace& space, uint64_t addr) {
  return CopyInString(space, addr, PATH_MAX);
}

}  // namespace cloister::usermem
