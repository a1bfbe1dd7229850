#ifndef CLOISTER_SENTRY_FS_KERNFS_TEXT_FILE_H_
#define CLOISTER_SENTRY_FS_KERNFS_TEXT_FILE_H_

#include <functional>
#include <string>
#include <string_view>

#include "sentry/auth/credentials.h"
#include "sentry/fs/kernfs/tree.h"
#include "sentry/vfs/file_description.h"

namespace cloister::kernfs {

// A file whose text is made when it is read from its beginning; what is read further on belongs to
// the same text. Linux: seq_file. Its size is 0, whatever it says.
class TextInode : public vfs::Inode {
 public:
  // The longest text that a write(2) may bring; longer ones are kInval.
  static constexpr size_t kMaxStore = 4095;

  TextInode(Ref<Tree> tree, const NodeSpec& spec);

  // The whole text, now.
  virtual ErrnoOr<std::string> Generate() = 0;
  // One write(2), whole. Default: kIo, as Linux where a file has no write method.
  virtual ErrnoOrVoid Store(std::string_view text, const auth::Credentials& opener);
  // Further checks at open(2).
  virtual ErrnoOrVoid CheckOpen(const vfs::OpenRequest&) { return {}; }

  ErrnoOr<struct statx> GetAttr() override { return attr_.Get(); }
  ErrnoOr<vfs::Ownership> GetOwnership() override { return attr_.GetOwnership(); }
  ErrnoOrVoid SetAttr(const vfs::AttrChange& change) override { return attr_.Set(change); }
  ErrnoOr<Ref<vfs::FileDescription>> Open(const vfs::OpenRequest& request) override;

 private:
  NodeAttr attr_;
};

using TextReader = std::function<std::string()>;
using TextWriter = std::function<ErrnoOrVoid(std::string_view text, const auth::Credentials& opener)>;

// A file made of two functions, which must stay valid as long as the tree. Without a writer it
// cannot be written.
Ref<vfs::Inode> MakeText(Ref<Tree> tree, mode_t mode, TextReader reader, TextWriter writer = nullptr);

// A decimal number with blanks around it: kInval for anything else or outside [least, most].
ErrnoOr<int64_t> ParseNumber(std::string_view text, int64_t least, int64_t most);

}  // namespace cloister::kernfs

#endif  // CLOISTER_SENTRY_FS_KERNFS_TEXT_FILE_H_
