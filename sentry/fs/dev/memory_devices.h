#ifndef CLOISTER_SENTRY_FS_DEV_MEMORY_DEVICES_H_
#define CLOISTER_SENTRY_FS_DEV_MEMORY_DEVICES_H_

namespace cloister::dev {

// Gives the character devices of major number 1 their drivers, on every file system: null, zero,
// full, random, urandom, kmsg. Once, before the first guest runs.
//
// interrupted: whether the caller of the running read or write has a signal to take. Asked between
// the pieces of a long transfer, which then ends early. Null: never.
void RegisterMemoryDevices(bool (*interrupted)() = nullptr);

}  // namespace cloister::dev

#endif  // CLOISTER_SENTRY_FS_DEV_MEMORY_DEVICES_H_
