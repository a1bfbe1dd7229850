#include "sentry/fs/kernfs/text_file.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/synchronization/mutex.h"

namespace cloister::kernfs {
namespace {

using vfs::UserBuffer;

class TextFile final : public vfs::SeekableFile {
 public:
  TextFile(const vfs::OpenRequest& request, Ref<TextInode> inode)
      : SeekableFile(request.flags & ~O_APPEND, request.path, request.cred), inode_(std::move(inode)) {}

  Ref<vfs::Inode> inode() const override { return inode_; }

  ErrnoOr<size_t> ReadAt(UserBuffer& dst, int64_t offset) override {
    absl::MutexLock lock(&mu_);
    if (offset == 0 || !made_) {
      text_ = TRY(inode_->Generate());
      made_ = true;
    }
    if (offset < 0) return Errno::kInval;
    if (static_cast<uint64_t>(offset) >= text_.size()) return 0;
    return dst.CopyOut(std::as_bytes(std::span(text_).subspan(static_cast<size_t>(offset))));
  }

  ErrnoOr<size_t> WriteAt(UserBuffer& src, int64_t) override {
    if (src.size() > TextInode::kMaxStore) return Errno::kInval;
    std::string text(src.size(), '\0');
    text.resize(TRY(src.CopyIn(std::as_writable_bytes(std::span(text)))));
    TRY_VOID(inode_->Store(text, *cred()));
    return text.size();
  }

 protected:
  ErrnoOr<uint64_t> Size() override { return 0; }

 private:
  const Ref<TextInode> inode_;
  absl::Mutex mu_;  // above everything that Generate locks
  std::string text_ ABSL_GUARDED_BY(mu_);
  bool made_ ABSL_GUARDED_BY(mu_) = false;
};

class FunctionText final : public TextInode {
 public:
  FunctionText(Ref<Tree> tree, mode_t mode, TextReader reader, TextWriter writer)
      : TextInode(std::move(tree), {.mode = mode}), reader_(std::move(reader)), writer_(std::move(writer)) {}

  ErrnoOr<std::string> Generate() override { return reader_(); }
  ErrnoOrVoid Store(std::string_view text, const auth::Credentials& opener) override {
    if (!writer_) return Errno::kIo;
    return writer_(text, opener);
  }

 private:
  const TextReader reader_;
  const TextWriter writer_;
};

}  // namespace

TextInode::TextInode(Ref<Tree> tree, const NodeSpec& spec)
    : Inode(tree, S_IFREG), attr_(*tree, S_IFREG, spec) {}

ErrnoOrVoid TextInode::Store(std::string_view, const auth::Credentials&) { return Errno::kIo; }

ErrnoOr<Ref<vfs::FileDescription>> TextInode::Open(const vfs::OpenRequest& request) {
  TRY_VOID(CheckOpen(request));
  return Ref<vfs::FileDescription>(MakeRef<TextFile>(request, Ref<TextInode>(this)));
}

Ref<vfs::Inode> MakeText(Ref<Tree> tree, mode_t mode, TextReader reader, TextWriter writer) {
  return MakeRef<FunctionText>(std::move(tree), mode, std::move(reader), std::move(writer));
}

ErrnoOr<int64_t> ParseNumber(std::string_view text, int64_t least, int64_t most) {
  int64_t value;
  while (!text.empty() &&
         (text.back() == '\0' || absl::ascii_isspace(static_cast<unsigned char>(text.back())))) {
    text.remove_suffix(1);
  }
  if (!absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &value)) return Errno::kInval;
  if (value < least || value > most) return Errno::kInval;
  return value;
}

}  // namespace cloister::kernfs
