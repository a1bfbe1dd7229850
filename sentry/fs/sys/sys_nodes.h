#ifndef CLOISTER_SENTRY_FS_SYS_SYS_NODES_H_
#define CLOISTER_SENTRY_FS_SYS_SYS_NODES_H_

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/call_once.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/fs/kernfs/text_file.h"

namespace cloister::sys {

using Reader = std::function<ErrnoOr<std::string>()>;

// An attribute. Unlike proc's files, sysfs' are as large as a page, whatever they say; writes fail
// with EIO as where Linux has no store method.
class Attribute final : public kernfs::TextInode {
 public:
  Attribute(Ref<kernfs::Tree> tree, Reader reader)
      : TextInode(std::move(tree), {.mode = 0444}), reader_(std::move(reader)) {}

  ErrnoOr<std::string> Generate() override { return reader_(); }
  ErrnoOr<struct statx> GetAttr() override;

 private:
  const Reader reader_;
};

// A directory whose entries are made when somebody first asks for one.
class Folder final : public kernfs::StaticDirectory {
 public:
  // Adds the entries. What it uses must live as long as the tree.
  using Fill = std::function<void(Folder&)>;

  Folder(Ref<kernfs::Tree> tree, Fill fill, mode_t mode = 0755)
      : StaticDirectory(std::move(tree), {.mode = mode, .links = 2}), fill_(std::move(fill)) {}

  ErrnoOr<Ref<vfs::Inode>> Lookup(std::string_view name) override;
  ErrnoOrVoid Emit(int64_t from, EmitFn emit) override;

  // For Fill. The names must be new.
  void AddText(std::string_view name, std::string text);
  void AddText(std::string_view name, Reader reader);
  void AddFolder(std::string_view name, Fill fill = nullptr);
  Ref<kernfs::Tree> owner() const { return tree_ref(); }

 private:
  void FillOnce();

  const Fill fill_;  // null: empty
  absl::once_flag filled_;
};

}  // namespace cloister::sys

#endif  // CLOISTER_SENTRY_FS_SYS_SYS_NODES_H_
