#ifndef CLOISTER_SENTRY_VFS_PATH_WALK_H_
#define CLOISTER_SENTRY_VFS_PATH_WALK_H_

#include <optional>
#include <string>
#include <string_view>

#include "base/error/errno_or.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/dentry.h"

namespace cloister::vfs {

// One resolution of a path, path_resolution(7). Linux: struct nameidata. Lives on the stack of one
// operation: ToParent walks up to the last component; the operation then looks that up itself, or
// lets Last do it, and comes back with FollowLast where it is a symbolic link.
class PathWalk {
 public:
  // What the last component is. kRoot: the path was "/" or a magic link that led to a place: then
  // Place() is the result and there is no name.
  enum class LastKind { kName, kDot, kDotDot, kRoot };

  // resolve: openat2(2)'s RESOLVE_… bits, checked by the caller.
  PathWalk(const Caller& caller, const Path& start, uint64_t resolve);

  // Walks all of path but its last component. path must live as long as the walk.
  ErrnoOrVoid ToParent(std::string_view path);

  LastKind last_kind() const { return last_kind_; }
  // Valid for kName until the next step.
  std::string_view last() const { return last_; }
  // A '/' stood behind the last component: it must be a directory.
  bool trailing_slash() const { return trailing_slash_; }
  // Where the walk stands: before Last, the directory that holds the last component.
  Path Place() const { return Path(mount_, dentry_); }
  const Ref<Dentry>& dentry() const { return dentry_; }

  // The last component looked up, mounts crossed. A symbolic link at the end is followed where
  // `follow` or a trailing slash says so. kNoEnt where there is nothing.
  ErrnoOr<Path> Last(bool follow);

  // For operations that looked the last component up themselves: goes where the link leads, up to
  // *its* last component (Linux: may_follow_link, step_into).
  ErrnoOrVoid FollowLast(const Ref<Dentry>& link);

  // From a looked-up child of Place() to what is mounted there. kXDev under RESOLVE_NO_XDEV.
  ErrnoOr<Path> CrossMounts(Ref<Dentry> child);

 private:
  // Steps through rest_ up to its last component.
  ErrnoOrVoid WalkRest();
  // One inner component: down, "." or "..".
  ErrnoOrVoid Step(std::string_view name);
  ErrnoOrVoid GoUp();
  ErrnoOrVoid JumpToRoot();
  ErrnoOrVoid CheckSearch();
  // Puts the link's text before what is left, or goes where a magic link leads.
  ErrnoOrVoid PushLink(Inode& link);
  ErrnoOrVoid Jump(const Path& target);
  void StandOn(Path path);
  static LastKind KindOf(std::string_view name);

  const Caller& caller_;
  const uint64_t resolve_;
  Path root_;         // where absolute paths begin and ".." ends
  Ref<Mount> mount_;  // where the walk stands
  Ref<Dentry> dentry_;
  std::string_view rest_;  // not yet walked: in the caller's path, or in storage_
  std::string storage_;    // text of links and what was left behind them
  std::string_view last_;
  LastKind last_kind_ = LastKind::kRoot;
  bool trailing_slash_ = false;
  int links_ = 0;
};

}  // namespace cloister::vfs

#endif  // CLOISTER_SENTRY_VFS_PATH_WALK_H_
