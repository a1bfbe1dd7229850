#ifndef CLOISTER_SENTRY_FS_EVENT_ANON_FILE_H_
#define CLOISTER_SENTRY_FS_EVENT_ANON_FILE_H_

#include <string>
#include <string_view>
#include <utility>

#include "sentry/vfs/anon/anon_inode.h"
#include "sentry/vfs/file_description.h"

namespace cloister::task {
class PidFile;
}

namespace cloister::event {

using usermem::UserBuffer;
using wait::Poll;

class InotifyFile;
class SignalFd;
class TimerFd;

// Base of the files that share the one anonymous inode. kind: "[eventfd]", a literal.
class AnonFile : public vfs::FileDescription {
 public:
  AnonFile(int flags, auth::CredRef cred, std::string_view kind)
      : FileDescription(flags, vfs::Path(), std::move(cred)), kind_(kind) {}

  Ref<vfs::Inode> inode() const override { return vfs::SharedAnonInode(); }
  std::string Name() const override { return "anon_inode:" + std::string(kind_); }

  // timerfd_settime(2), signalfd(2), inotify_add_watch(2) and pidfd_send_signal(2) want one of theirs.
  AnonFile* AsAnon() override { return this; }
  virtual SignalFd* AsSignal() { return nullptr; }
  virtual TimerFd* AsTimer() { return nullptr; }
  virtual InotifyFile* AsInotify() { return nullptr; }
  virtual task::PidFile* AsPid() { return nullptr; }

  // What /proc/PID/fdinfo shows of it besides what it shows of every file; lines.
  virtual std::string FdInfo() const { return {}; }

 private:
  const std::string_view kind_;
};

}  // namespace cloister::event

#endif  // CLOISTER_SENTRY_FS_EVENT_ANON_FILE_H_
