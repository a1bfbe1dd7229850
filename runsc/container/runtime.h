#ifndef CLOISTER_RUNSC_CONTAINER_RUNTIME_H_
#define CLOISTER_RUNSC_CONTAINER_RUNTIME_H_

#include <string>

namespace cloister::container {

// runsc's global options, as far as containers depend on them.
struct Runtime {
  enum class Network {
    kNone,  // a network namespace of the sandbox's own, loopback only
    kHost,  // the container's: joined by path, new, or the caller's, as config.json says
  };
  std::string root;      // absolute; parent of the containers' directories
  std::string platform;  // systrap, ptrace; empty: what the host allows
  Network network = Network::kHost;
  bool strace = false;
  std::string debug_level = "warning";
  int debug_log = -1;          // borrowed; -1: none
  bool spin = true;            // --spin
  bool patch = true;           // --patch
  bool native_futexes = true;  // --native-futex
  bool native_reads = true;    // --native-read
  bool root_shared = false;    // --file-access=shared
  bool root_overlay = false;   // --overlay2=root:memory
  bool systemd_cgroup = false;
};

}  // namespace cloister::container

#endif  // CLOISTER_RUNSC_CONTAINER_RUNTIME_H_
