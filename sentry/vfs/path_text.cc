#include <algorithm>

#include "absl/strings/str_cat.h"
#include "sentry/vfs/mount.h"

namespace cloister::vfs {
namespace {

// One step up: the parent in the tree, or the place a mount covers. Empty at the very top.
Path StepUp(const MountNamespace& ns, const Path& path) ABSL_SHARED_LOCKS_REQUIRED(Dentry::rename_mutex()) {
  if (path.dentry() == path.mount()->root()) return ns.MountPointOf(*path.mount());
  return Path(path.mount(), path.dentry()->parent());
}

}  // namespace

std::string PathText(const MountNamespace& ns, const Path& root, const Path& path) {
  std::vector<std::string> names;
  bool reached = false;
  {
    absl::ReaderMutexLock lock(&Dentry::rename_mutex());
    for (Path at = path; at.dentry();) {
      reached = at == root;
      if (reached) break;
      const bool crosses = at.dentry() == at.mount()->root();
      if (!crosses) names.push_back(at.dentry()->name());
      at = StepUp(ns, at);
    }
  }
  std::string text;
  for (auto name = names.rbegin(); name != names.rend(); ++name) absl::StrAppend(&text, "/", *name);
  if (text.empty()) text = "/";
  // A path that ends at the top of the namespace is what an unchrooted task calls absolute.
  if (!reached && !(root == ns.RootPath())) text = absl::StrCat("(unreachable)", text);
  if (path.dentry()->deleted()) text += " (deleted)";
  return text;
}

std::string PathInMount(const Path& path) {
  std::string text;
  {
    absl::ReaderMutexLock lock(&Dentry::rename_mutex());
    for (const Dentry* at = path.dentry().get(); at != path.mount()->root() && at->parent();
         at = at->parent().get()) {
      text = absl::StrCat("/", at->name(), text);
    }
  }
  if (text.empty()) text = "/";
  if (path.dentry()->deleted()) text += " (deleted)";
  return text;
}

bool IsBelow(const MountNamespace& ns, const Path& path, const Path& ancestor) {
  absl::ReaderMutexLock lock(&Dentry::rename_mutex());
  for (Path at = path; at.dentry(); at = StepUp(ns, at)) {
    if (at == ancestor) return true;
  }
  return false;
}

}  // namespace cloister::vfs
