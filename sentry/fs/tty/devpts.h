#ifndef CLOISTER_SENTRY_FS_TTY_DEVPTS_H_
#define CLOISTER_SENTRY_FS_TTY_DEVPTS_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/kernfs/mountable.h"
#include "sentry/fs/kernfs/tree.h"
#include "sentry/fs/tty/host_terminal.h"
#include "sentry/fs/tty/pty.h"
#include "sentry/fs/tty/terminal.h"

namespace cloister::tty {

// The terminals of one container and the file system that shows them: /dev/pts. Linux: an instance
// of devpts.
class DevPts final : public kernfs::Tree {
 public:
  struct Options {
    uid_t uid = 0;  // of new terminals; Linux: the opener's, unless given
    bool has_uid = false;
    gid_t gid = 0;
    bool has_gid = false;
    mode_t mode = 0600;
    mode_t ptmx_mode = 0666;
    unsigned max = 4096;
  };
  // mount(2)'s options: "newinstance,ptmxmode=0666,mode=0620,gid=5". Unknown or bad ones: kInval.
  static ErrnoOr<Options> ParseOptions(std::string_view text);

  DevPts(task::Kernel& kernel, const Options& options);

  // The root directory, one more for each mount.
  Ref<vfs::Inode> MakeRoot();
  kernfs::Mountable Mount() { return {Ref<vfs::FileSystem>(this), MakeRoot()}; }

  // The slave of a host pty becomes /dev/pts/N for the next free N, owned by uid.
  absl::StatusOr<Ref<HostTerminal>> AddHostTerminal(UniqueFd fd, uid_t uid) ABSL_LOCKS_EXCLUDED(mu_);

  // open(2) of /dev/ptmx: a new pty. kNoSpc where there are too many.
  ErrnoOr<Ref<vfs::FileDescription>> OpenMaster(const vfs::OpenRequest& request) ABSL_LOCKS_EXCLUDED(mu_);
  // open(2) of a terminal; flags may hold O_NOCTTY.
  ErrnoOr<Ref<vfs::FileDescription>> OpenTerminal(Terminal& terminal, const vfs::OpenRequest& request);
  // The terminal N, or null.
  Ref<Terminal> Find(unsigned index) const ABSL_LOCKS_EXCLUDED(mu_);
  // Its node, or null.
  Ref<vfs::Inode> FindNode(unsigned index) const ABSL_LOCKS_EXCLUDED(mu_);
  // Numbers in use, ascending, from `from` on.
  std::vector<unsigned> Numbers(unsigned from) const ABSL_LOCKS_EXCLUDED(mu_);
  // What /dev/console is: the first terminal of the host, or null.
  Ref<Terminal> Console() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Ref<HostTerminal>> HostTerminals() const ABSL_LOCKS_EXCLUDED(mu_);
  // The terminal is no longer listed.
  void Remove(const Terminal& terminal) ABSL_LOCKS_EXCLUDED(mu_);

  const Options& options() const { return pts_options_; }

 private:
  struct Entry {
    Ref<Terminal> terminal;
    Ref<vfs::Inode> node;
    bool is_host = false;
  };
  ErrnoOr<unsigned> FreeIndexLocked() const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  Ref<vfs::Inode> MakeNode(Ref<Terminal> terminal, uid_t uid, gid_t gid);

  task::Kernel& kernel_;
  const Options pts_options_;
  mutable absl::Mutex mu_;  // leaf
  std::map<unsigned, Entry> entries_ ABSL_GUARDED_BY(mu_);
};

// Registers /dev/tty, /dev/console, /dev/ptmx and terminals' numbers, wherever their nodes lie. own: the
// terminals of the calling task's container.
void RegisterTerminalDevices(std::function<Ref<DevPts>()> own);

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_DEVPTS_H_
