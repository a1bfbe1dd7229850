#ifndef CLOISTER_SENTRY_FS_PIPE_PIPE_FILE_H_
#define CLOISTER_SENTRY_FS_PIPE_PIPE_FILE_H_

#include <cstdint>
#include <string>
#include <utility>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/fs/pipe/pipe_channel.h"
#include "sentry/vfs/file_description.h"

namespace cloister::pipe {

// One open end of a pipe or FIFO (both ends at once for a FIFO opened O_RDWR). Linux: a struct file
// with pipefifo_fops. The channel and the rights are fixed at open.
class PipeFile final : public vfs::FileDescription {
 public:
  // inode: of a pipe that has no path; null for a FIFO, which has one. The channel counts this end
  // from here until the file goes.
  PipeFile(int flags, vfs::Path path, auth::CredRef cred, Ref<vfs::Inode> inode, Ref<PipeChannel> channel);
  ~PipeFile() override;

  ErrnoOr<size_t> Read(UserBuffer& dst) override { return channel_->Read(dst); }
  ErrnoOr<size_t> Write(UserBuffer& src) override { return channel_->Write(src, (flags() & O_DIRECT) != 0); }
  Poll Ready() const override;
  wait::WaitQueue* wait_queue() override { return &channel_->queue(); }
  bool OpenPending() const override;
  // FIONREAD alone.
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
  Ref<vfs::Inode> inode() const override;
  std::string Name() const override;
  PipeFile* AsPipe() override { return this; }

  // For splice, tee, vmsplice, F_SETPIPE_SZ and F_GETPIPE_SZ.
  PipeChannel& channel() const { return *channel_; }

 private:
  const Ref<vfs::Inode> inode_;
  const Ref<PipeChannel> channel_;
  PipeChannel::Ends seen_;  // before this end was counted; immutable after construction
};

// pipe2(2): the reading and the writing end. flags: O_NONBLOCK and O_DIRECT.
std::pair<Ref<vfs::FileDescription>, Ref<vfs::FileDescription>> MakePipe(int flags, auth::CredRef cred);

// open(2) of a FIFO: its description, whose OpenPending says whether a blocking open is to wait.
// kNxIo for O_WRONLY | O_NONBLOCK without a reader. All opens of one inode share its pipe.
ErrnoOr<Ref<vfs::FileDescription>> OpenFifo(vfs::Inode& inode, const vfs::OpenRequest& request);

// Makes OpenFifo what FIFOs on every file system are opened with. At boot.
void ServeFifos();

}  // namespace cloister::pipe

#endif  // CLOISTER_SENTRY_FS_PIPE_PIPE_FILE_H_
