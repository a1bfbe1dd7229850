#include "platform/stub/tracee_image.h"

namespace cloister::stub {
namespace {

constexpr unsigned char kImage[] = {
#include "platform/stub/tracee_image_bytes.inc"
};

}  // namespace

std::span<const std::byte> TraceeImage() { return std::as_bytes(std::span(kImage)); }

}  // namespace cloister::stub
