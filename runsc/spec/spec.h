#ifndef CLOISTER_RUNSC_SPEC_SPEC_H_
#define CLOISTER_RUNSC_SPEC_SPEC_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "runsc/spec/resources.h"
#include "runsc/spec/seccomp.h"

namespace cloister::spec {

// config.json of an OCI bundle, after checking. Names follow the specification's.
// What Cloister does not use (annotations aside) is not kept.

struct User {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> additional_gids;
  std::optional<uint32_t> umask;
};

// Bit n is capability n of capabilities(7).
struct Capabilities {
  uint64_t bounding = 0;
  uint64_t effective = 0;
  uint64_t inheritable = 0;
  uint64_t permitted = 0;
  uint64_t ambient = 0;
};

struct Rlimit {
  uint32_t resource = 0;  // RLIMIT_…
  uint64_t soft = 0;
  uint64_t hard = 0;
};

struct Process {
  bool terminal = false;
  uint32_t rows = 0;
  uint32_t columns = 0;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;
  std::string cwd;  // absolute
  Capabilities capabilities;
  std::vector<Rlimit> rlimits;
  bool no_new_privileges = false;
  std::optional<int32_t> oom_score_adj;
};

struct Root {
  std::string path;  // as written: absolute, or relative to the bundle
  bool readonly = false;
};

struct Mount {
  std::string destination;  // absolute and cleaned
  std::string type;         // "bind" for bind and rbind
  std::string source;
  uint64_t flags = 0;                // MS_…, without MS_BIND, MS_REC and propagation
  std::vector<std::string> options;  // what is left for the file system: size=, mode= …
  bool bind = false;
  bool recursive = false;
};

enum class NamespaceType { kPid, kNetwork, kIpc, kUts, kMount, kUser, kCgroup, kTime };

struct Namespace {
  NamespaceType type;
  std::string path;  // empty: a new one
};

struct IdMapping {
  uint32_t container_id = 0;
  uint32_t host_id = 0;
  uint32_t size = 0;
};

struct Device {
  std::string path;
  std::string type;  // c, b, p, u
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t mode = 0666;
  uint32_t uid = 0;
  uint32_t gid = 0;
};

struct Hook {
  std::string path;
  std::vector<std::string> args;                // args[0] included
  std::optional<std::vector<std::string>> env;  // absent: the runtime's own
  uint32_t timeout_seconds = 0;                 // 0: none
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
};

struct Spec {
  std::string oci_version;
  std::optional<Process> process;
  Root root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::vector<Device> devices;
  std::map<std::string, std::string> sysctl;
  Resources resources;
  std::string cgroups_path;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::optional<Seccomp> seccomp;

  // Null where the list does not name the type: the container shares the caller's.
  const Namespace* FindNamespace(NamespaceType type) const;
};

// The text of config.json. A missing or wrong field is an error that names it by its path
// ("process.args: must not be empty"); unknown fields are ignored.
absl::StatusOr<Spec> ParseSpec(std::string_view text);

// The text of a process.json (runsc exec --process).
absl::StatusOr<Process> ParseProcessText(std::string_view text);

// {bundle}/config.json. What cannot be read is named with its path.
absl::StatusOr<std::string> ReadTextFile(const std::string& path);

// Absolute path without "", "." and ".." components; ".." stops at the root.
std::string CleanPath(std::string_view path);

// "CAP_KILL" or "kill" to its number; nothing for a name that is not known.
std::optional<int> CapabilityNumber(std::string_view name);

// One "RLIMIT_NOFILE" to its number.
std::optional<uint32_t> RlimitNumber(std::string_view name);

// Splits mount options into flags, what is left for the file system, and bind.
void ParseMountOptions(const std::vector<std::string>& options, Mount* mount);

// The config.json that "runsc spec" writes: runc's, with rootless's changes if asked for.
std::string DefaultConfig(bool rootless);

}  // namespace cloister::spec

#endif  // CLOISTER_RUNSC_SPEC_SPEC_H_
