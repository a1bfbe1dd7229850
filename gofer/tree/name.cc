#include "gofer/tree/name.h"

#include "gofer/protocol/limits.h"

namespace cloister::gofer {

ErrnoOrVoid CheckName(const std::string& name) {
  if (name.size() > kMaxNameBytes) return Errno::kNameTooLong;
  if (name.empty() || name == "." || name == "..") return Errno::kInval;
  if (name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) return Errno::kInval;
  return {};
}

ErrnoOrVoid CheckTarget(const std::string& text) {
  if (text.empty()) return Errno::kNoEnt;
  if (text.size() > kMaxTargetBytes) return Errno::kNameTooLong;
  if (text.find('\0') != std::string::npos) return Errno::kInval;
  return {};
}

ErrnoOrVoid CheckXattrName(const std::string& name) {
  if (name.empty() || name.size() > kMaxXattrNameBytes) return Errno::kRange;
  if (name.find('\0') != std::string::npos) return Errno::kInval;
  return {};
}

}  // namespace cloister::gofer
