#ifndef CLOISTER_SENTRY_FS_TMP_TMP_FILE_H_
#define CLOISTER_SENTRY_FS_TMP_TMP_FILE_H_

#include <string>

#include "sentry/fs/tmp/file_data.h"
#include "sentry/fs/tmp/node_state.h"
#include "sentry/vfs/file_description.h"

namespace cloister::tmp {

// A regular file.
class TmpFile final : public TmpNode<vfs::Inode> {
 public:
  TmpFile(const Ref<TmpFs>& fs, const vfs::NewNode& node, uint32_t links, std::string name = "tmpfs",
          bool sealable = false)
      : TmpNode(fs, node, links, S_IFREG), data_(*fs, std::move(name), sealable) {}

  FileData& data() { return data_; }

  ErrnoOr<struct statx> GetAttr() override;
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override;
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;

 private:
  FileData data_;
};

// A regular file, open.
class TmpOpenFile final : public vfs::SeekableFile, public mm::Mappable {
 public:
  TmpOpenFile(const vfs::OpenRequest& request, Ref<TmpFile> file);

  Ref<vfs::Inode> inode() const override { return file_; }
  ErrnoOr<size_t> ReadAt(UserBuffer& dst, int64_t offset) override;
  ErrnoOr<size_t> WriteAt(UserBuffer& src, int64_t offset) override;
  ErrnoOrVoid Sync(bool) override { return {}; }
  ErrnoOrVoid Allocate(int mode, uint64_t offset, uint64_t length) override;
  ErrnoOr<int> Seals() override { return file_->data().Seals(); }
  ErrnoOrVoid AddSeals(int seals) override;

  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t length, bool shared, bool writable) override;
  Identity identity() const override;
  std::string MappedName() const override;

 protected:
  ErrnoOr<uint64_t> Size() override { return file_->data().size(); }
  ErrnoOr<int64_t> SeekHole(int64_t offset, bool data) override {
    return file_->data().SeekHole(offset, data);
  }

 private:
  const Ref<TmpFile> file_;
  const bool keeps_atime_;  // MS_NOATIME of the mount
};

}  // namespace cloister::tmp

#endif  // CLOISTER_SENTRY_FS_TMP_TMP_FILE_H_
