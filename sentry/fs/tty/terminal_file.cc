#include "sentry/fs/tty/terminal_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "sentry/fs/tty/devpts.h"
#include "sentry/fs/tty/job_control.h"
#include "sentry/fs/tty/terminal_ioctl.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/vfs/dentry.h"

namespace cloister::tty {
namespace {

using usermem::UserPtr;
using vfs::IoctlRequest;

}  // namespace

TerminalFile::TerminalFile(int flags, vfs::Path path, auth::CredRef cred, Ref<vfs::Inode> inode,
                           Ref<Terminal> terminal)
    : FileDescription(flags, std::move(path), std::move(cred)),
      inode_(std::move(inode)),
      terminal_(std::move(terminal)) {
  terminal_->OnOpen();
}

TerminalFile::~TerminalFile() { terminal_->OnClose(); }

Ref<vfs::Inode> TerminalFile::inode() const { return path() ? path().dentry()->inode() : inode_; }

ErrnoOr<size_t> TerminalFile::Read(UserBuffer& dst) {
  if (!terminal_->hung_up()) TRY_VOID(CheckForeground(*terminal_, SIGTTIN));
  return terminal_->Read(dst, nonblocking());
}

ErrnoOr<size_t> TerminalFile::Write(UserBuffer& src) {
  if ((terminal_->Termios().c_lflag & TOSTOP) != 0 && !terminal_->hung_up()) {
    TRY_VOID(CheckForeground(*terminal_, SIGTTOU));
  }
  return terminal_->Write(src);
}

ErrnoOr<int64_t> TerminalFile::Ioctl(const IoctlRequest& request) {
  return TerminalIoctl(*terminal_, request, false);
}

MasterFile::MasterFile(int flags, vfs::Path path, auth::CredRef cred, Ref<DevPts> devpts, Ref<Pty> pty)
    : FileDescription(flags, std::move(path), std::move(cred)),
      devpts_(std::move(devpts)),
      pty_(std::move(pty)) {}

MasterFile::~MasterFile() {
  devpts_->Remove(*pty_);
  pty_->HangUp();
}

ErrnoOr<Ref<vfs::FileDescription>> MasterFile::OpenPeer(int flags, auth::CredRef cred) const {
  return devpts_->OpenTerminal(*pty_, {flags & ~O_CLOEXEC, {}, std::move(cred)});
}

ErrnoOr<int64_t> MasterFile::Ioctl(const IoctlRequest& request) {
  switch (request.command) {
    case TIOCGPTN:
      TRY_VOID(usermem::CopyOut(request.space, UserPtr<uint32_t>(request.arg), pty_->index()));
      return 0;
    case TIOCSPTLCK:
      pty_->locked.store(TRY(usermem::CopyIn(request.space, UserPtr<const int>(request.arg))) != 0);
      return 0;
    case TIOCGPTLCK:
      TRY_VOID(usermem::CopyOut(request.space, UserPtr<int>(request.arg), pty_->locked.load() ? 1 : 0));
      return 0;
    case TIOCPKT:
      pty_->SetPacketMode(TRY(usermem::CopyIn(request.space, UserPtr<const int>(request.arg))) != 0);
      return 0;
    case TIOCGPKT:
      TRY_VOID(usermem::CopyOut(request.space, UserPtr<int>(request.arg), pty_->packet_mode() ? 1 : 0));
      return 0;
    case TIOCSIG:
      if (request.arg != SIGINT && request.arg != SIGQUIT && request.arg != SIGTSTP) return Errno::kInval;
      pty_->SignalForeground(static_cast<int>(request.arg));
      return 0;
    case FIONREAD:
      TRY_VOID(
          usermem::CopyOut(request.space, UserPtr<int>(request.arg), static_cast<int>(pty_->MasterBytes())));
      return 0;
    case TIOCGPTPEER: {
      task::Task* const task = task::CurrentTask::Get();
      if (task == nullptr) return Errno::kNotTy;
      const int flags = static_cast<int>(request.arg);
      return TRY(task->InstallFile(TRY(OpenPeer(flags, task->cred())), (flags & O_CLOEXEC) != 0));
    }
    default:
      return TerminalIoctl(*pty_, request, true);
  }
}

}  // namespace cloister::tty
