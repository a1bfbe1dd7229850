#include "sentry/usermem/page_reader.h"

#include <algorithm>
#include <cstring>

namespace cloister::usermem {

std::span<const char> PageReader::From(uint64_t addr) {
  const uint64_t page = addr / kPage * kPage;
  if (page != page_) {
    page_ = page;
    if (space_.Read(page, std::as_writable_bytes(std::span(bytes_))) != kPage) page_ = ~uint64_t{0};
  }
  if (page_ != page) return {};
  return std::span<const char>(bytes_).subspan(addr - page);
}

ErrnoOr<uint64_t> PageReader::Word(uint64_t addr) {
  uint64_t word = 0;
  const std::span<const char> bytes = From(addr);
  if (bytes.size() < sizeof word) {  // reaches into the next page, or there is none
    TRY_VOID(CopyInBytes(space_, addr, std::as_writable_bytes(std::span(&word, 1))));
    return word;
  }
  memcpy(&word, bytes.data(), sizeof word);
  return word;
}

ErrnoOr<std::string> PageReader::String(uint64_t addr, size_t max, Errno too_long) {
  std::string text;
  while (text.size() < max) {
    const std::span<const char> bytes = From(addr + text.size());
    if (bytes.empty()) return Errno::kFault;
    const size_t want = std::min(bytes.size(), max - text.size());
    if (const void* end = memchr(bytes.data(), 0, want); end != nullptr) {
      return text.append(bytes.data(), static_cast<const char*>(end));
    }
    text.append(bytes.data(), want);
  }
  return too_long;
}

}  // namespace cloister::usermem
