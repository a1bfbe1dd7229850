// libFuzzer on what is parsed of files: a bundle's config.json and the other JSON that runsc reads, ELF
// images, #! lines. What an input begins with tells which it is.

#include <string_view>

#include "runsc/spec/resources.h"
#include "runsc/spec/spec.h"
#include "runsc/spec/state.h"
#include "sentry/loader/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (!text.starts_with("{")) {
    cloister::loader::LoadAnyBytes(data, size);
    return 0;
  }
  static_cast<void>(cloister::spec::ParseSpec(text).ok());
  static_cast<void>(cloister::spec::ParseState(text).ok());
  static_cast<void>(cloister::spec::ParseResourcesText(text).ok());
  static_cast<void>(cloister::spec::ParseProcessText(text).ok());
  return 0;
}
