#include "platform/stub/window.h"

#include "platform/stub/internal.h"
#include "platform/stub/shapes.h"

namespace cloister::stub {
namespace {

constexpr uint64_t kPage = 4096;

Window* WindowOf(Context* context) {
  return reinterpret_cast<Window*>(reinterpret_cast<uint64_t>(context) + kWindowOffset);
}

uint64_t Argument(const user_regs_struct& regs, int arg) {
  switch (arg) {
    case 0:
      return regs.rdi;
    case 1:
      return regs.rsi;
    case 2:
      return regs.rdx;
    case 3:
      return regs.r10;
    case 4:
      return regs.r8;
    default:
      return regs.r9;
  }
}

// Bytes of a piece; 0 where it is too large for the window.
uint64_t SizeOf(const Piece& piece, const user_regs_struct& regs, uint64_t addr) {
  if (piece.kind == kString) {
    const uint64_t to_page_end = kPage - addr % kPage;
    return to_page_end < kStringPiece ? to_page_end : kStringPiece;
  }
  uint64_t count = 1;
  if (piece.count_arg >= 0) count = Argument(regs, piece.count_arg);
  return count <= kMostInline && count * piece.size <= kMostInline ? count * piece.size : 0;
}

// One word of each page: cmpxchg writes, whatever it finds.
bool CanWrite(uint64_t addr, uint64_t size) {
  const uint64_t end = addr + size;
  for (uint64_t at = addr; at < end; at = (at | (kPage - 1)) + 1) {
    if (stub_cmpxchg(at & ~3ul, 0, 0) < 0) return false;
  }
  return true;
}

void CopyIn(Window* window, uint64_t addr, uint64_t size) {
  if (window->in_count == Window::kIns || size > Window::kDataBytes - window->used) return;
  if (stub_copy(window->data + window->used, reinterpret_cast<const void*>(addr), size) != 0) return;
  window->ins[window->in_count++] = {addr, static_cast<uint32_t>(size), window->used};
  window->used += static_cast<uint32_t>((size + 7) & ~7ul);
}

void Announce(Window* window, uint64_t addr, uint64_t size) {
  if (window->out_count == Window::kOuts || !CanWrite(addr, size)) return;
  window->outs[window->out_count++] = {addr, static_cast<uint32_t>(size), 0};
}

}  // namespace

void FillWindow(Context* context) {
  Window* window = WindowOf(context);
  const user_regs_struct& regs = context->regs;
  const Shape* shape = kShapes.Find(regs.orig_rax);
  context->window = shape != nullptr ? 1 : 0;
  if (shape == nullptr) return;
  window->in_count = window->out_count = window->used = 0;
  for (const Piece& piece : shape->pieces) {
    if (piece.kind == Piece::Kind::kNone) return;
    const uint64_t addr = Argument(regs, piece.arg);
    if (addr < kPatchBase + kPatchBytes || addr >= kImageBase - kMostInline) continue;
    const uint64_t size = SizeOf(piece, regs, addr);
    if (size == 0) continue;
    if (piece.kind != kOut) CopyIn(window, addr, size);
    if (piece.kind == kOut || piece.kind == kBoth) Announce(window, addr, size);
  }
}

bool StoreResults(Context* context) {
  const Window* window = WindowOf(context);
  const uint32_t count = context->writes < Window::kWrites ? context->writes : Window::kWrites;
  context->writes = 0;
  bool stored = true;
  for (uint32_t i = 0; i < count; ++i) {
    const WindowRange range = window->writes[i];
    if (range.size > Window::kDataBytes || range.offset > Window::kDataBytes - range.size) Die();
    const auto to = reinterpret_cast<void*>(range.addr);
    if (stub_copy(to, window->data + range.offset, range.size) != 0) stored = false;
  }
  return stored;
}

}  // namespace cloister::stub
