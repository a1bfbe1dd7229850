#include "runsc/cgroup/hierarchies.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error/status.h"
#include "runsc/spec/spec.h"

namespace cloister::cgroup {
namespace {

absl::string_view View(std::string_view text) { return absl::string_view(text.data(), text.size()); }

// What the kernel writes between a hierarchy's options and is no controller.
bool IsController(absl::string_view option) {
  static constexpr absl::string_view kOther[] = {
      "rw", "ro", "none", "noprefix", "clone_children", "xattr", "cpuset_v2_mode"};
  return !option.empty() && std::find(std::begin(kOther), std::end(kOther), option) == std::end(kOther) &&
         !absl::StartsWith(option, "release_agent=") && !absl::StartsWith(option, "nsdelegate") &&
         !absl::StartsWith(option, "favordynmods");
}

std::string Unescape(absl::string_view text) {
  return absl::StrReplaceAll(text, {{"\\040", " "}, {"\\011", "\t"}, {"\\012", "\n"}, {"\\134", "\\"}});
}

// A group's path as it is seen from root.
std::string Below(absl::string_view root, absl::string_view path) {
  if (root != "/" && (path == root || absl::StartsWith(path, absl::StrCat(root, "/")))) {
    path.remove_prefix(root.size());
  }
  return path.empty() ? "/" : std::string(path);
}

// The group in the line of /proc/PID/cgroup ("4:memory:/docker/ID") that lists the controller.
std::string OwnGroup(absl::string_view cgroup, absl::string_view controller) {
  for (const absl::string_view line : absl::StrSplit(cgroup, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    for (const absl::string_view name : absl::StrSplit(fields[1], ',')) {
      if (name == controller) return std::string(fields[2]);
    }
  }
  return "/";
}

// "a-b.slice" lies in "a.slice".
absl::StatusOr<std::string> ExpandSlice(const std::string& slice) {
  if (slice == "-.slice") return std::string("/");
  absl::string_view stem = slice;
  if (!absl::ConsumeSuffix(&stem, ".slice") || stem.empty() || absl::StrContains(stem, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("linux.cgroupsPath: invalid slice name: ", slice));
  }
  std::string path, name;
  for (const absl::string_view part : absl::StrSplit(stem, '-')) {
    if (part.empty())
      return absl::InvalidArgumentError(absl::StrCat("linux.cgroupsPath: invalid slice name: ", slice));
    absl::StrAppend(&name, name.empty() ? "" : "-", part);
    absl::StrAppend(&path, "/", name, ".slice");
  }
  return path;
}

absl::StatusOr<std::string> SystemdPlace(const std::string& cgroups_path, const std::string& id) {
  const std::string text = cgroups_path.empty() ? absl::StrCat("system.slice:runsc:", id) : cgroups_path;
  const std::vector<std::string> parts = absl::StrSplit(text, ':');
  if (parts.size() != 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        "linux.cgroupsPath: expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, "
        "got \"",
        text, "\" instead"));
  }
  const std::string slice = TRY_STATUS(ExpandSlice(parts[0].empty() ? "system.slice" : parts[0]));
  const std::string unit =
      absl::EndsWith(parts[2], ".slice") ? parts[2] : absl::StrCat(parts[1], "-", parts[2], ".scope");
  return spec::CleanPath(absl::StrCat(slice, "/", unit));
}

}  // namespace

std::vector<Hierarchy> ParseHierarchies(std::string_view mountinfo, std::string_view cgroup) {
  std::vector<Hierarchy> found;
  std::set<std::vector<std::string>> seen;
  for (const absl::string_view line : absl::StrSplit(View(mountinfo), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<absl::string_view> place = absl::StrSplit(halves[0], ' ');
    const std::vector<absl::string_view> type = absl::StrSplit(halves[1], ' ');
    if (place.size() < 5 || type.size() < 3 || (type[0] != "cgroup" && type[0] != "cgroup2")) continue;
    Hierarchy hierarchy{.mount = Unescape(place[4]), .root = Unescape(place[3])};
    if (type[0] == "cgroup") {
      for (const absl::string_view option : absl::StrSplit(type[2], ',')) {
        if (IsController(option)) hierarchy.controllers.emplace_back(option);
      }
      if (hierarchy.controllers.empty()) continue;
    }
    if (!seen.insert(hierarchy.controllers).second) continue;
    const std::string own =
        OwnGroup(View(cgroup), hierarchy.unified() ? "" : absl::string_view(hierarchy.controllers[0]));
    hierarchy.own = Below(hierarchy.root, own);
    found.push_back(std::move(hierarchy));
  }
  return found;
}

absl::StatusOr<std::vector<Hierarchy>> FindHierarchies() {
  const std::string mountinfo = TRY_STATUS(spec::ReadTextFile("/proc/self/mountinfo"));
  return ParseHierarchies(mountinfo, TRY_STATUS(spec::ReadTextFile("/proc/self/cgroup")));
}

absl::StatusOr<std::string> PlaceOf(const std::string& cgroups_path, const std::string& id, bool systemd) {
  if (systemd) return SystemdPlace(cgroups_path, id);
  if (cgroups_path.empty()) return id;
  // ".." may not lead out of where it begins, in either form.
  const std::string clean = spec::CleanPath(cgroups_path);
  if (clean == "/") return absl::InvalidArgumentError("linux.cgroupsPath: must name a group");
  return cgroups_path[0] == '/' ? clean : clean.substr(1);
}

std::string DirectoryIn(const Hierarchy& hierarchy, const std::string& place) {
  if (place[0] == '/') return absl::StrCat(hierarchy.mount, place);
  std::string own = hierarchy.own;
  // A group with processes in it cannot hand controllers down in version 2, so that a sibling is made.
  if (hierarchy.unified()) own = own.substr(0, own.rfind('/'));
  if (own == "/") own.clear();
  return absl::StrCat(hierarchy.mount, own, "/", place);
}

}  // namespace cloister::cgroup
