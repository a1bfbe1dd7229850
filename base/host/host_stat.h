#ifndef CLOISTER_BASE_HOST_HOST_STAT_H_
#define CLOISTER_BASE_HOST_HOST_STAT_H_

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace cloister {

// fstat(2) by descriptor alone: 0, or -1 with errno. The C library's is newfstatat(2), which takes
// names as well; a locked-down process may make this one only.
inline int HostStat(int fd, struct stat* attr) { return static_cast<int>(syscall(SYS_fstat, fd, attr)); }

}  // namespace cloister

#endif  // CLOISTER_BASE_HOST_HOST_STAT_H_
