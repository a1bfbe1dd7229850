#include "platform/stub/image.h"

namespace cloister::stub {
namespace {

constexpr unsigned char kImage[] = {
#include "platform/stub/image_bytes.inc"
};

}  // namespace

std::span<const std::byte> Image() { return std::as_bytes(std::span(kImage)); }

}  // namespace cloister::stub
