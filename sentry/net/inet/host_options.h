#ifndef CLOISTER_SENTRY_NET_INET_HOST_OPTIONS_H_
#define CLOISTER_SENTRY_NET_INET_HOST_OPTIONS_H_

#include <cstddef>
#include <cstdint>

namespace cloister::net {

// A socket option that is handed to the host. What is not listed answers ENOPROTOOPT.
struct HostOption {
  enum Direction : uint8_t { kGet = 1, kSet = 2, kBoth = 3 };
  int level;
  int name;
  Direction direction;
  // Sizes of the value that the host is given. What a guest has above most is cut, below least is EINVAL.
  uint16_t least;
  uint16_t most;
};

// Null if the option is not listed.
const HostOption* FindHostOption(int level, int name);

// A control message that a guest may send with its data.
bool MaySendControl(int level, int type, size_t size);
// A control message of the host that a guest may see.
bool MayReceiveControl(int level, int type);

}  // namespace cloister::net

#endif  // CLOISTER_SENTRY_NET_INET_HOST_OPTIONS_H_
