#include "sentry/fs/sys/sys_nodes.h"

namespace cloister::sys {

ErrnoOr<struct statx> Attribute::GetAttr() {
  struct statx attr = TRY(TextInode::GetAttr());
  attr.stx_size = 4096;
  return attr;
}

void Folder::FillOnce() {
  absl::call_once(filled_, [this] {
    if (fill_) fill_(*this);
  });
}

ErrnoOr<Ref<vfs::Inode>> Folder::Lookup(std::string_view name) {
  FillOnce();
  return StaticDirectory::Lookup(name);
}

ErrnoOrVoid Folder::Emit(int64_t from, EmitFn emit) {
  FillOnce();
  return StaticDirectory::Emit(from, emit);
}

void Folder::AddText(std::string_view name, std::string text) {
  text += '\n';
  AddText(name, [text = std::move(text)]() -> ErrnoOr<std::string> { return text; });
}

void Folder::AddText(std::string_view name, Reader reader) {
  Add(name, MakeRef<Attribute>(tree_ref(), std::move(reader)));
}

void Folder::AddFolder(std::string_view name, Fill fill) {
  Add(name, MakeRef<Folder>(tree_ref(), std::move(fill)));
}

}  // namespace cloister::sys
