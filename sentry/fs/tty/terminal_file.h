#ifndef CLOISTER_SENTRY_FS_TTY_TERMINAL_FILE_H_
#define CLOISTER_SENTRY_FS_TTY_TERMINAL_FILE_H_

#include <string>

#include "sentry/fs/tty/pty.h"
#include "sentry/fs/tty/terminal.h"
#include "sentry/vfs/file_description.h"
#include "sentry/vfs/inode.h"

namespace cloister::tty {

class DevPts;

// An open terminal: /dev/pts/N, /dev/tty, /dev/console. inode is shown where the file has no path.
class TerminalFile final : public vfs::FileDescription {
 public:
  TerminalFile(int flags, vfs::Path path, auth::CredRef cred, Ref<vfs::Inode> inode, Ref<Terminal> terminal);
  ~TerminalFile() override;

  ErrnoOr<size_t> Read(UserBuffer& dst) override;
  ErrnoOr<size_t> Write(UserBuffer& src) override;
  Poll Ready() const override { return terminal_->Ready(); }
  wait::WaitQueue* wait_queue() override { return &terminal_->queue(); }
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
  Ref<vfs::Inode> inode() const override;
  std::string Name() const override { return "/dev/" + terminal_->name(); }

 private:
  const Ref<vfs::Inode> inode_;
  const Ref<Terminal> terminal_;
};

// An open /dev/ptmx: the master of a pty of its own. Its end hangs the terminal up.
class MasterFile final : public vfs::FileDescription {
 public:
  MasterFile(int flags, vfs::Path path, auth::CredRef cred, Ref<DevPts> devpts, Ref<Pty> pty);
  ~MasterFile() override;

  ErrnoOr<size_t> Read(UserBuffer& dst) override { return pty_->MasterRead(dst); }
  ErrnoOr<size_t> Write(UserBuffer& src) override { return pty_->MasterWrite(src); }
  Poll Ready() const override { return pty_->MasterReady(); }
  wait::WaitQueue* wait_queue() override { return &pty_->master_queue(); }
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
  std::string Name() const override { return "/dev/ptmx"; }

  // For TIOCGPTPEER, which the ioctl cannot serve by itself (it makes a descriptor): the slave,
  // opened with these flags as open(2) takes them.
  ErrnoOr<Ref<vfs::FileDescription>> OpenPeer(int flags, auth::CredRef cred) const;

 private:
  const Ref<DevPts> devpts_;
  const Ref<Pty> pty_;
};

}  // namespace cloister::tty

#endif  // CLOISTER_SENTRY_FS_TTY_TERMINAL_FILE_H_
