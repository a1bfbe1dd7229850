#include "sentry/vfs/file_system_types.h"

#include <utility>

namespace cloister::vfs {

FileSystemTypes& FileSystemTypes::Get() {
  static FileSystemTypes* const types = new FileSystemTypes;
  return *types;
}

void FileSystemTypes::Register(std::string_view type, Factory factory) {
  absl::MutexLock lock(&mu_);
  factories_[std::string(type)] = std::move(factory);
}

ErrnoOr<Ref<Mount>> FileSystemTypes::Make(std::string_view type, const NewMount& request) const {
  Factory factory;
  {
    absl::ReaderMutexLock lock(&mu_);
    const auto found = factories_.find(type);
    if (found == factories_.end()) return Errno::kNoDev;
    factory = found->second;
  }
  return factory(request);
}

std::vector<std::string> FileSystemTypes::Names() const {
  absl::ReaderMutexLock lock(&mu_);
  std::vector<std::string> names;
  for (const auto& [name, factory] : factories_) names.push_back(name);
  return names;
}

}  // namespace cloister::vfs
