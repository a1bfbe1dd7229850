#include "base/abi/syscall_signatures.h"

#include <algorithm>
#include <iterator>

namespace cloister::abi {

const Signature* FindSyscallSignature(uint64_t number) {
  const auto* const found =
      std::lower_bound(std::begin(kSyscallSignatures), std::end(kSyscallSignatures), number,
                       [](const Signature& signature, uint64_t wanted) { return signature.number < wanted; });
  return found != std::end(kSyscallSignatures) && found->number == number ? found : nullptr;
}

const Signature* FindSyscallSignature(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kSyscallSignatures), std::end(kSyscallSignatures),
                   [name](const Signature& signature) { return name == signature.name; });
  return found != std::end(kSyscallSignatures) ? found : nullptr;
}

}  // namespace cloister::abi
