#include "sentry/fs/proc/mount_text.h"

#include <sys/mount.h>
#include <sys/sysmacros.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/proc/subject_nodes.h"

// Macros of sys/sysmacros.h.
#undef major
#undef minor

namespace cloister::proc {
namespace {

constexpr uint64_t kNoSymFollow = 256;  // MS_NOSYMFOLLOW

// Linux: mangle.
std::string Mangled(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\\' || c == '#') {
      absl::StrAppendFormat(&result, "\\%03o", c);
    } else {
      result += c;
    }
  }
  return result;
}

std::string MountOptions(uint64_t flags) {
  std::string text;
  const std::pair<uint64_t, const char*> known[] = {
      {MS_NOSUID, ",nosuid"},   {MS_NODEV, ",nodev"},           {MS_NOEXEC, ",noexec"},
      {MS_NOATIME, ",noatime"}, {MS_NODIRATIME, ",nodiratime"}, {kNoSymFollow, ",nosymfollow"}};
  for (const auto& [flag, name] : known)
    if ((flags & flag) != 0) text += name;
  // mount(2): the default.
  if ((flags & (MS_NOATIME | MS_STRICTATIME)) == 0) text += ",relatime";
  return text;
}

std::string FileSystemOptions(const vfs::FileSystem& fs) {
  const std::string text = fs.OptionsText();
  return text.empty() ? "" : "," + text;
}

std::string SourceOf(const vfs::Mount& mount) {
  return mount.source().empty() ? "none" : Mangled(mount.source());
}

absl::string_view TypeOf(const vfs::Mount& mount) {
  const std::string_view type = mount.fs().type();
  return {type.data(), type.size()};
}

// The part of the file system that is mounted.
std::string RootWithinFileSystem(const vfs::Mount& mount) {
  std::string text;
  absl::ReaderMutexLock lock(&vfs::Dentry::rename_mutex());
  for (const vfs::Dentry* at = mount.root().get(); at->parent(); at = at->parent().get())
    text = absl::StrCat("/", at->name(), text);
  return text.empty() ? "/" : text;
}

using Line = std::function<std::string(const vfs::MountNamespace::Listed& listed, const std::string& point)>;

ErrnoOr<std::string> ForEachMount(const Subject& subject, const Line& line) {
  if (!subject.Exists()) return Errno::kSrch;
  const Ref<task::FsContext> fs = subject.Fs();
  if (!fs) return Errno::kInval;
  const task::FsContext::View view = fs->Get();
  std::string text;
  for (const vfs::MountNamespace::Listed& listed : view.mounts->List()) {
    const vfs::Path top(listed.mount, listed.mount->root());
    if (!vfs::IsBelow(*view.mounts, top, view.root)) continue;
    text += line(listed, Mangled(vfs::PathText(*view.mounts, view.root, top)));
  }
  return text;
}

}  // namespace

ErrnoOr<std::string> MountsText(const Subject& subject) {
  return ForEachMount(subject, [](const vfs::MountNamespace::Listed& listed, const std::string& point) {
    const vfs::Mount& mount = *listed.mount;
    return absl::StrCat(SourceOf(mount), " ", point, " ", TypeOf(mount), " ", mount.read_only() ? "ro" : "rw",
                        MountOptions(mount.flags()), FileSystemOptions(mount.fs()), " 0 0\n");
  });
}

ErrnoOr<std::string> MountInfoText(const Subject& subject) {
  return ForEachMount(subject, [](const vfs::MountNamespace::Listed& listed, const std::string& point) {
    const vfs::Mount& mount = *listed.mount;
    const dev_t device = mount.fs().device();
    return absl::StrCat(mount.id(), " ", listed.parent_id, " ", gnu_dev_major(device), ":",
                        gnu_dev_minor(device), " ", Mangled(RootWithinFileSystem(mount)), " ", point, " ",
                        (mount.flags() & MS_RDONLY) != 0 ? "ro" : "rw", MountOptions(mount.flags()), " - ",
                        TypeOf(mount), " ", SourceOf(mount), " ", mount.fs().read_only() ? "ro" : "rw",
                        FileSystemOptions(mount.fs()), "\n");
  });
}

ErrnoOr<std::string> MountStatsText(const Subject& subject) {
  return ForEachMount(subject, [](const vfs::MountNamespace::Listed& listed, const std::string& point) {
    const vfs::Mount& mount = *listed.mount;
    return absl::StrCat("device ", SourceOf(mount), " mounted on ", point, " with fstype ", TypeOf(mount),
                        "\n");
  });
}

}  // namespace cloister::proc
