#include "base/error/errno.h"

#include <cstring>

namespace cloister {

std::string_view ErrnoName(Errno error) {
  const char* name = strerrorname_np(static_cast<int>(error));
  return name != nullptr ? name : "unknown errno";
}

}  // namespace cloister
