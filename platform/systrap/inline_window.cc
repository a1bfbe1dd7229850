#include "platform/systrap/inline_window.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "platform/systrap/space.h"

namespace cloister::systrap {
namespace {

using stub::Window;
using stub::WindowRange;

thread_local InlineWindow* served = nullptr;

bool Holds(const WindowRange& range, uint64_t addr, uint64_t size) {
  return addr >= range.addr && size <= range.size && addr - range.addr <= range.size - size;
}

bool Meet(const WindowRange& range, uint64_t addr, uint64_t size) {
  return addr < range.addr + range.size && range.addr < addr + size;
}

Window* PageOf(stub::Context* context) {
  return reinterpret_cast<Window*>(reinterpret_cast<std::byte*>(context) + stub::kWindowOffset);
}

}  // namespace

InlineWindow::InlineWindow(Space* space, stub::Context* context) : space_(space), page_(PageOf(context)) {}

InlineWindow* InlineWindow::Of(const Space* space) {
  return served != nullptr && served->space_ == space ? served : nullptr;
}

void InlineWindow::LeaveWorker() { served = nullptr; }

template <size_t N>
uint32_t InlineWindow::Take(const WindowRange (&from)[N], uint32_t count, bool with_bytes,
                            std::array<WindowRange, N>* to) {
  uint32_t taken = 0;
  for (uint32_t i = 0; i < std::min<uint32_t>(count, N); ++i) {
    const WindowRange range = from[i];
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const bool sane = range.size > 0 && range.size <= stub::kMostInline && range.addr < stub::kImageBase;
    const bool inside =
        range.offset <= Window::kDataBytes - stub::kMostInline ||
        (range.offset < Window::kDataBytes && range.size <= Window::kDataBytes - range.offset);
    if (sane && (inside || !with_bytes)) (*to)[taken++] = range;
  }
  return taken;
}

void InlineWindow::Open() {
  const uint32_t in_count = page_->in_count, out_count = page_->out_count, used = page_->used;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  in_count_ = Take(page_->ins, in_count, true, &ins_);
  out_count_ = Take(page_->outs, out_count, false, &outs_);
  write_count_ = 0;
  used_ = std::min(used, Window::kDataBytes);
  open_ = true;
  served = this;
}

void InlineWindow::Close() {
  open_ = false;
  if (served == this) served = nullptr;
}

uint32_t InlineWindow::Publish() {
  if (!open_) return 0;
  Close();
  std::copy_n(writes_.begin(), write_count_, page_->writes);
  return write_count_;
}

void InlineWindow::Settle() {
  if (!open_) return;
  Flush();
  Close();
}

void InlineWindow::Clear() {
  Close();
  memset(static_cast<void*>(page_), 0, sizeof *page_);
}

void InlineWindow::Flush() {
  for (uint32_t i = 0; i < write_count_; ++i) {
    const WindowRange& range = writes_[i];
    const auto* bytes = reinterpret_cast<const std::byte*>(page_->data + range.offset);
    space_->WriteMemory(range.addr, {bytes, range.size});
  }
  write_count_ = 0;
}

void InlineWindow::FlushIfMeeting(uint64_t addr, uint64_t size) {
  const auto meets = [&](const WindowRange& range) { return Meet(range, addr, size); };
  if (std::any_of(writes_.begin(), writes_.begin() + write_count_, meets)) Flush();
}

void InlineWindow::ForgetInput(uint64_t addr, uint64_t size) {
  for (uint32_t i = 0; i < in_count_; ++i) {
    if (Meet(ins_[i], addr, size)) ins_[i].size = 0;
  }
}

bool InlineWindow::Read(uint64_t addr, std::span<std::byte> dst) {
  for (uint32_t i = 0; i < in_count_; ++i) {
    if (ins_[i].size == 0 || !Holds(ins_[i], addr, dst.size())) continue;
    memcpy(dst.data(), page_->data + ins_[i].offset + (addr - ins_[i].addr), dst.size());
    return true;
  }
  FlushIfMeeting(addr, dst.size());
  return false;
}

bool InlineWindow::Append(uint64_t addr, std::span<const std::byte> src) {
  if (src.size() > Window::kDataBytes - used_) return false;
  const auto size = static_cast<uint32_t>(src.size());
  WindowRange* last = write_count_ > 0 ? &writes_[write_count_ - 1] : nullptr;
  if (last != nullptr && addr == last->addr + last->size && last->offset + last->size == used_) {
    last->size += size;
  } else if (write_count_ == writes_.size()) {
    return false;
  } else {
    writes_[write_count_++] = {addr, size, used_};
  }
  memcpy(page_->data + used_, src.data(), size);
  used_ += size;
  return true;
}

bool InlineWindow::Write(uint64_t addr, std::span<const std::byte> src) {
  if (src.empty()) return true;
  ForgetInput(addr, src.size());
  const auto holds = [&](const WindowRange& range) { return Holds(range, addr, src.size()); };
  if (std::any_of(outs_.begin(), outs_.begin() + out_count_, holds) && Append(addr, src)) return true;
  FlushIfMeeting(addr, src.size());
  return false;
}

}  // namespace cloister::systrap
