#include "sentry/vfs/flat_delete.h"

namespace cloister::vfs {

void FlatDelete::Run(Deleter deleter, void* object) {
  static thread_local std::vector<Item>* waiting = nullptr;
  if (waiting != nullptr) {
    waiting->push_back({deleter, object});
    return;
  }
  std::vector<Item> own;
  waiting = &own;
  deleter(object);
  while (!own.empty()) {
    const Item item = own.back();
    own.pop_back();
    item.deleter(item.object);
  }
  waiting = nullptr;
}

}  // namespace cloister::vfs
