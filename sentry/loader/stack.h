#ifndef CLOISTER_SENTRY_LOADER_STACK_H_
#define CLOISTER_SENTRY_LOADER_STACK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error/errno_or.h"
#include "sentry/mm/memory_manager.h"

namespace cloister::loader {

// What a program finds on its first stack, from high to low addresses: the path, the environment,
// the arguments, the platform's name and random bytes; then the auxiliary vector, the pointers to
// environment and arguments, and at the stack pointer their number. System V ABI; Linux:
// create_elf_tables.
class StackBuilder {
 public:
  // The stack ends at top (page-aligned).
  explicit StackBuilder(uint64_t top) : top_(top) {}

  struct Contents {
    const std::string& exec_path;
    const std::vector<std::string>& argv;
    const std::vector<std::string>& envp;
    std::span<const std::byte, 16> random;
  };
  // Auxiliary entries in their order, without AT_EXECFN, AT_PLATFORM, AT_RANDOM and AT_NULL, which
  // are added. kNoMem where it does not fit into size bytes.
  using Aux = std::vector<std::pair<uint64_t, uint64_t>>;
  ErrnoOrVoid Build(const Contents& contents, Aux aux, uint64_t size);

  uint64_t pointer() const { return pointer_; }
  // The memory from pointer() to the top.
  std::vector<std::byte> TakeBytes() { return std::move(bytes_); }
  // Where argv, envp and auxv ended up.
  void Describe(mm::MemoryManager::Layout* layout) const;

 private:
  const uint64_t top_;
  uint64_t pointer_ = 0;
  std::vector<std::byte> bytes_;
  uint64_t arg_start_ = 0, arg_end_ = 0, env_end_ = 0;
  std::vector<uint64_t> auxv_;
};

}  // namespace cloister::loader

#endif  // CLOISTER_SENTRY_LOADER_STACK_H_
