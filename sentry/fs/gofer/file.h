#ifndef CLOISTER_SENTRY_FS_GOFER_FILE_H_
#define CLOISTER_SENTRY_FS_GOFER_FILE_H_

#include <atomic>
#include <string>
#include <string_view>

#include "sentry/fs/gofer/directory.h"
#include "sentry/fs/gofer/gofer_node.h"
#include "sentry/vfs/file_description.h"

namespace cloister::goferfs {

// A regular file.
class GoferFile final : public GoferNode<vfs::Inode> {
 public:
  GoferFile(const Ref<GoferFs>& fs, const gofer::Node& node, Ref<GoferDirectory> parent,
            std::string_view name)
      : GoferNode(fs, node, std::move(parent), name, static_cast<mode_t>(S_IFREG)) {}
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;
  // False for what O_TMPFILE|O_EXCL made: it never gets a name.
  bool linkable() const { return linkable_.load(std::memory_order_relaxed); }

 private:
  std::atomic<bool> linkable_{true};
};

// A regular file, open: reads and writes go to the host's file and never through the channel.
class GoferOpenFile final : public vfs::SeekableFile, public mm::Mappable {
 public:
  GoferOpenFile(const vfs::OpenRequest& request, Ref<GoferFile> file, Ref<HostFd> host);
  ~GoferOpenFile() override;

  Ref<vfs::Inode> inode() const override { return file_; }
  ErrnoOr<size_t> ReadAt(vfs::UserBuffer& dst, int64_t offset) override;
  HostRead HostReadAt(size_t size, size_t least, int64_t offset) override;
  ErrnoOr<size_t> WriteAt(vfs::UserBuffer& src, int64_t offset) override;
  ErrnoOr<size_t> Append(vfs::UserBuffer& src, int64_t* end) override;
  ErrnoOrVoid Sync(bool data_only) override;
  ErrnoOrVoid Allocate(int mode, uint64_t offset, uint64_t length) override;

  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t length, bool shared, bool writable) override;
  Identity identity() const override;
  std::string MappedName() const override;

 protected:
  ErrnoOr<uint64_t> Size() override;
  ErrnoOr<int64_t> SeekHole(int64_t offset, bool data) override;

 private:
  void NoteSize(uint64_t at, size_t bytes, bool full);
  // pwritev2(2)'s flags for O_SYNC and O_DSYNC.
  int SyncFlags() const;

  const Ref<GoferFile> file_;
  Ref<HostFd> host_;  // taken away by the destructor alone
};

}  // namespace cloister::goferfs

#endif  // CLOISTER_SENTRY_FS_GOFER_FILE_H_
