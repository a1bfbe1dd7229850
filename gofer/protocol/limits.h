#ifndef CLOISTER_GOFER_PROTOCOL_LIMITS_H_
#define CLOISTER_GOFER_PROTOCOL_LIMITS_H_

#include <cstddef>
#include <cstdint>

// The limits that gofer.proto states, for both sides.

namespace cloister::gofer {

inline constexpr size_t kWindowBytes = 192 << 10;  // of a request, and of a reply
inline constexpr size_t kMaxNameBytes = 255;
inline constexpr size_t kMaxTargetBytes = 4095;
inline constexpr int kMaxWalkNames = 64;
inline constexpr uint32_t kMaxListEntries = 1024;  // WalkRequest.list_limit, ReadDirRequest.attr_limit
inline constexpr size_t kMaxEntriesPerReply = 4096;
inline constexpr size_t kMaxXattrNameBytes = 255;
inline constexpr size_t kMaxXattrValueBytes = 65536;
inline constexpr int kMaxForget = 4096;
inline constexpr uint32_t kMaxConnections = 17;
inline constexpr uint32_t kPermissionBits = 07777;

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_PROTOCOL_LIMITS_H_
