#include "runsc/shim/mounts.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error/status.h"
#include "runsc/spec/spec.h"

namespace cloister::shim {
namespace {

constexpr size_t kMaxData = 4095;  // a page with its NUL
constexpr absl::string_view kLowerDir = "lowerdir=";
constexpr int kMostMounts = 128;

// The directory of the part that all have in common, with its slash.
absl::string_view CommonDirectory(const std::vector<absl::string_view>& paths) {
  absl::string_view common = paths[0];
  for (const absl::string_view path : paths) {
    const auto [end, unused] = std::mismatch(common.begin(), common.end(), path.begin(), path.end());
    common = common.substr(0, static_cast<size_t>(end - common.begin()));
  }
  return common.substr(0, common.rfind('/') + 1);
}

absl::Status MountOne(const api::Mount& mount, const std::string& root) {
  MountCall call = TRY_STATUS(ToMountCall(mount));
  if (call.data.size() > kMaxData) {
    const std::string directory = CompactLowerDirs(&call.data);
    // Of this thread alone, which serves one call and ends.
    if (!directory.empty() && (unshare(CLONE_FS) != 0 || chdir(directory.c_str()) != 0)) {
      return HostErrorNow(directory);
    }
    if (call.data.size() > kMaxData) return absl::InvalidArgumentError("mount options: too long");
  }
  const std::string what = absl::StrCat("mount ", call.source, " on ", root);
  const int done =
      ::mount(call.source.c_str(), root.c_str(), call.type.c_str(), call.flags, call.data.c_str());
  if (done != 0) return HostErrorNow(what);
  if (call.remount != 0 && ::mount("", root.c_str(), "", call.remount, nullptr) != 0)
    return HostErrorNow(what);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MountCall> ToMountCall(const api::Mount& mount) {
  if (!mount.target().empty() && mount.target() != "/") {
    return absl::InvalidArgumentError(absl::StrCat("a mount on ", mount.target(), " is not supported"));
  }
  spec::Mount parsed;
  spec::ParseMountOptions({mount.options().begin(), mount.options().end()}, &parsed);
  MountCall call{.source = mount.source(), .type = mount.type(), .flags = parsed.flags};
  if (parsed.bind || mount.type() == "bind") {
    call.flags = MS_BIND | (parsed.recursive ? MS_REC : 0);
    if (parsed.flags != 0) call.remount = MS_REMOUNT | MS_BIND | parsed.flags;
    return call;
  }
  call.data = absl::StrJoin(parsed.options, ",");
  return call;
}

std::string CompactLowerDirs(std::string* data) {
  std::vector<std::string> options = absl::StrSplit(*data, ',');
  const auto lower = std::find_if(options.begin(), options.end(), [](const std::string& option) {
    return absl::StartsWith(option, kLowerDir);
  });
  if (lower == options.end()) return "";
  const std::vector<absl::string_view> layers =
      absl::StrSplit(absl::string_view(*lower).substr(kLowerDir.size()), ':');
  const std::string common(CommonDirectory(layers));
  if (common.size() < 2 || layers.size() < 2) return "";
  std::string shortened(kLowerDir);
  for (const absl::string_view layer : layers) {
    if (layer.size() == common.size()) return "";
    absl::StrAppend(&shortened, shortened.size() == kLowerDir.size() ? "" : ":", layer.substr(common.size()));
  }
  *lower = shortened;
  *data = absl::StrJoin(options, ",");
  return common;
}

absl::Status MountAll(const google::protobuf::RepeatedPtrField<api::Mount>& mounts, const std::string& root) {
  if (mounts.empty()) return absl::OkStatus();
  if (mounts.size() > kMostMounts) return absl::InvalidArgumentError("too many mounts");
  if (mkdir(root.c_str(), 0711) != 0 && errno != EEXIST) return HostErrorNow(root);
  for (const api::Mount& mount : mounts) {
    const absl::Status mounted = MountOne(mount, root);
    if (mounted.ok()) continue;
    UnmountAll(root).IgnoreError();
    return mounted;
  }
  return absl::OkStatus();
}

absl::Status UnmountAll(const std::string& root) {
  for (int i = 0; i <= kMostMounts; ++i) {
    if (umount2(root.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) continue;
    if (errno == EINVAL || errno == ENOENT) return absl::OkStatus();
    return HostErrorNow(absl::StrCat("unmount ", root));
  }
  return absl::OkStatus();
}

}  // namespace cloister::shim
