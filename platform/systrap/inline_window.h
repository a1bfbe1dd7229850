#ifndef CLOISTER_PLATFORM_SYSTRAP_INLINE_WINDOW_H_
#define CLOISTER_PLATFORM_SYSTRAP_INLINE_WINDOW_H_

#include <array>
#include <cstdint>
#include <span>

#include "platform/stub/window.h"

namespace cloister::systrap {

class Space;

// The sentry's side of a thread's inline window (platform/stub/window.h), while a system call of that thread
// is served by the worker that took it. Guest memory that lies in the window is read from there; small
// results are left there, and the stub stores them when the call is answered. Owner alone.
class InlineWindow {
 public:
  InlineWindow(Space* space, stub::Context* context);

  // The window that the calling worker serves, if it is one of that address space; else null.
  static InlineWindow* Of(const Space* space);

  // The calling worker has served its call, or given it up.
  static void LeaveWorker();

  // A call begins: copies what the stub says of its ranges, and drops what makes no sense.
  void Open();
  // The thread is about to be answered: how many results the stub is to store. Closed from then on.
  uint32_t Publish();
  // The thread waits, and others may serve it: results reach its memory now. Closed from then on.
  void Settle();
  // Nothing of what was in it is left for another program.
  void Clear();

  // False: it is not in the window, and what was left there for the same bytes has reached memory.
  bool Read(uint64_t addr, std::span<std::byte> dst);
  bool Write(uint64_t addr, std::span<const std::byte> src);

 private:
  template <size_t N>
  static uint32_t Take(const stub::WindowRange (&from)[N], uint32_t count, bool with_bytes,
                       std::array<stub::WindowRange, N>* to);
  void Close();
  void Flush();
  void FlushIfMeeting(uint64_t addr, uint64_t size);
  void ForgetInput(uint64_t addr, uint64_t size);
  bool Append(uint64_t addr, std::span<const std::byte> src);

  Space* const space_;
  stub::Window* const page_;
  bool open_ = false;
  uint32_t in_count_ = 0, out_count_ = 0, write_count_ = 0, used_ = 0;
  std::array<stub::WindowRange, stub::Window::kIns> ins_;
  std::array<stub::WindowRange, stub::Window::kOuts> outs_;
  std::array<stub::WindowRange, stub::Window::kWrites> writes_;
};

}  // namespace cloister::systrap

#endif  // CLOISTER_PLATFORM_SYSTRAP_INLINE_WINDOW_H_
