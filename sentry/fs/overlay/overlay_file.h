#ifndef CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_FILE_H_
#define CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_FILE_H_

#include <atomic>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "sentry/fs/overlay/node_layers.h"
#include "sentry/vfs/file_description.h"

namespace cloister::overlay {

// A regular file.
class OverlayFile final : public OverlayNode<vfs::Inode> {
 public:
  OverlayFile(const Ref<OverlayFs>& fs, NodeLayers::Birth birth)
      : OverlayNode(fs, std::move(birth), static_cast<mode_t>(S_IFREG)) {}

  // For writing: copies it up first, as Linux does, whether or not anything is written then.
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;
};

// A regular file, open: a layer's open file with the overlay's identity. One that was opened for
// reading before the copy reads the copy from then on; mappings made before it stay with the lower
// file, as on Linux ("Non-standard behavior" in overlayfs.rst).
class OverlayOpenFile final : public vfs::SeekableFile, public mm::Mappable {
 public:
  // One of lower and upper is null.
  OverlayOpenFile(const vfs::OpenRequest& request, Ref<OverlayFile> file, Ref<vfs::FileDescription> lower,
                  Ref<vfs::FileDescription> upper);
  ~OverlayOpenFile() override;

  Ref<vfs::Inode> inode() const override { return file_; }
  ErrnoOr<size_t> ReadAt(vfs::UserBuffer& dst, int64_t offset) override;
  HostRead HostReadAt(size_t size, size_t least, int64_t offset) override;
  ErrnoOr<size_t> WriteAt(vfs::UserBuffer& src, int64_t offset) override;
  ErrnoOr<size_t> Append(vfs::UserBuffer& src, int64_t* end) override;
  ErrnoOr<int64_t> Ioctl(const vfs::IoctlRequest& request) override;
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
  // The layer's file that has the data now.
  ErrnoOr<vfs::FileDescription*> Real() ABSL_LOCKS_EXCLUDED(upper_mu_);

  const Ref<OverlayFile> file_;
  const int upper_flags_;
  const Ref<vfs::FileDescription> lower_;     // stays open: mappings may use it
  absl::Mutex upper_mu_;                      // held while the upper file is opened
  std::atomic<vfs::FileDescription*> upper_;  // one reference; set once
};

}  // namespace cloister::overlay

#endif  // CLOISTER_SENTRY_FS_OVERLAY_OVERLAY_FILE_H_
