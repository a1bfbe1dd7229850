#include "sentry/fs/pipe/pipe_file.h"

#include <sys/ioctl.h>
#include <sys/stat.h>

#include "absl/strings/str_cat.h"
#include "sentry/vfs/anon/anon_inode.h"
#include "sentry/vfs/special_files.h"

namespace cloister::pipe {
namespace {

using vfs::AnonInode;
using vfs::AnonKind;
using vfs::FileDescription;
using vfs::OpenRequest;

ErrnoOr<Ref<FileDescription>> OpenEnd(const OpenRequest& request, Ref<vfs::Inode> inode,
                                      Ref<PipeChannel> channel) {
  const int access = request.flags & O_ACCMODE;
  if (access == O_ACCMODE) return Errno::kInval;
  // A pipe without a name is opened again, through /proc/PID/fd, without waiting for its other end.
  if (!inode && access == O_WRONLY && (request.flags & O_NONBLOCK) && channel->ends().readers == 0)
    return Errno::kNxIo;
  return Ref<FileDescription>(
      MakeRef<PipeFile>(request.flags, request.path, request.cred, std::move(inode), std::move(channel)));
}

// A pipe's inode in pipefs: opened again through /proc/PID/fd.
class PipeInode final : public AnonInode {
 public:
  PipeInode(const auth::Credentials& cred, Ref<PipeChannel> channel)
      : AnonInode(AnonKind::kPipe, S_IFIFO | 0600, vfs::NextAnonInodeNumber(), cred),
        channel_(std::move(channel)) {}

  ErrnoOr<Ref<FileDescription>> Open(const OpenRequest& request) override {
    return OpenEnd(request, Ref<vfs::Inode>(this), channel_);
  }

 private:
  const Ref<PipeChannel> channel_;
};

}  // namespace

PipeFile::PipeFile(int flags, vfs::Path path, auth::CredRef cred, Ref<vfs::Inode> inode,
                   Ref<PipeChannel> channel)
    : FileDescription(flags, std::move(path), std::move(cred)),
      inode_(std::move(inode)),
      channel_(std::move(channel)),
      seen_(channel_->ends()) {
  channel_->OpenEnd(readable(), writable());
}

PipeFile::~PipeFile() { channel_->CloseEnd(readable(), writable()); }

Poll PipeFile::Ready() const {
  // A FIFO's reader that came before every writer sees no hang-up (f_version in Linux).
  const uint64_t seen = !inode_ && seen_.writers == 0 ? seen_.writer_opens : ~uint64_t{0};
  return channel_->Ready(readable(), writable(), seen);
}

bool PipeFile::OpenPending() const {
  if (inode_ || readable() == writable()) return false;
  const PipeChannel::Ends now = channel_->ends();
  if (readable()) return seen_.writers == 0 && now.writer_opens == seen_.writer_opens;
  return seen_.readers == 0 && now.reader_opens == seen_.reader_opens;
}

ErrnoOr<int64_t> PipeFile::Ioctl(const vfs::IoctlRequest& request) {
  if (request.command != FIONREAD) return Errno::kNotTy;
  const int queued = static_cast<int>(channel_->queued());
  TRY_VOID(usermem::CopyOut(request.space, usermem::UserPtr<int>(request.arg), queued));
  return 0;
}

Ref<vfs::Inode> PipeFile::inode() const { return inode_ ? inode_ : FileDescription::inode(); }

std::string PipeFile::Name() const {
  if (!inode_) return FileDescription::Name();
  return absl::StrCat("pipe:[", static_cast<const AnonInode*>(inode_.get())->number(), "]");
}

std::pair<Ref<FileDescription>, Ref<FileDescription>> MakePipe(int flags, auth::CredRef cred) {
  auto channel = MakeRef<PipeChannel>();
  const Ref<vfs::Inode> inode = MakeRef<PipeInode>(*cred, channel);
  // The writer first: the reader then knows that there was one, and sees its hang-up.
  Ref<FileDescription> writer = MakeRef<PipeFile>(O_WRONLY | flags, vfs::Path(), cred, inode, channel);
  Ref<FileDescription> reader = MakeRef<PipeFile>(O_RDONLY | flags, vfs::Path(), cred, inode, channel);
  return {std::move(reader), std::move(writer)};
}

ErrnoOr<Ref<FileDescription>> OpenFifo(vfs::Inode& inode, const OpenRequest& request) {
  const Ref<RefCounted> shared = inode.SharedState([] { return Ref<RefCounted>(MakeRef<PipeChannel>()); });
  return OpenEnd(request, nullptr, Ref<PipeChannel>(static_cast<PipeChannel*>(shared.get())));
}

void ServeFifos() { vfs::SpecialFiles::Get().SetFifoOpener(OpenFifo); }

}  // namespace cloister::pipe
