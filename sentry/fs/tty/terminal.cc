#include "sentry/fs/tty/terminal.h"

#include <signal.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/wait/block.h"
#include "sentry/wait/parker.h"

namespace cloister::tty {
namespace {

constexpr unsigned kSlaveMajor = 136;  // UNIX98 pty slaves
constexpr wait::MonotonicNs kTenth = 100'000'000;
// A deadline that nobody came back for is not another reader's.
constexpr wait::MonotonicNs kStale = 100'000'000;

siginfo_t KernelSignal(int signo) {
  siginfo_t info = {};
  info.si_signo = signo;
  info.si_code = SI_KERNEL;
  return info;
}

void SignalGroupLocked(task::Kernel& kernel, pid_t id, int signo)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(kernel.tree_mu()) {
  for (const Ref<task::ThreadGroup>& group : kernel.GroupsLocked()) {
    if (group->process_group && group->process_group->id() == id) {
      task::Task::SendToGroupLocked(*group, KernelSignal(signo));
    }
  }
}

}  // namespace

void SignalGroup(task::Kernel& kernel, pid_t group, int signo) {
  if (group <= 0) return;
  absl::MutexLock lock(&kernel.tree_mu());
  SignalGroupLocked(kernel, group, signo);
}

Terminal::Terminal(task::Kernel& kernel, unsigned index) : kernel_(kernel), index_(index) {}

Terminal::~Terminal() { wait::Poller::Get().CancelTimer(*this); }

void Terminal::OnLastRef() {
  wait::Poller::Get().Post([this] { delete this; });
}

dev_t Terminal::device() const { return makedev(kSlaveMajor, index_); }

std::string Terminal::name() const { return absl::StrCat("pts/", index_); }

pid_t Terminal::Disassociate() {
  session_.store(0, std::memory_order_release);
  return foreground_.exchange(0, std::memory_order_acq_rel);
}

void Terminal::SetSession(pid_t session, pid_t foreground) {
  session_.store(session, std::memory_order_release);
  foreground_.store(foreground, std::memory_order_release);
}

void Terminal::SignalForeground(int signo) { SignalGroup(kernel_, foreground_group(), signo); }

void Terminal::Finish(const After& after) {
  if (after.programs) queue_.Notify(after.programs);
  if (after.keyboard) NotifyKeyboard(after.keyboard);
  for (const int signo : after.effects.signals) SignalForeground(signo);
}

ErrnoOrVoid Terminal::WaitTimeLocked(size_t have, uint64_t tenths) {
  const wait::MonotonicNs now = wait::MonotonicNow();
  const bool mine = read_deadline_ != 0 && read_seen_ == have && now < read_deadline_ + kStale;
  if (mine && now >= read_deadline_) {
    read_deadline_ = 0;
    return {};
  }
  if (!mine) {
    read_deadline_ = now + static_cast<wait::MonotonicNs>(tenths) * kTenth;
    read_seen_ = have;
    wait::Poller::Get().SetTimer(*this, read_deadline_);
  }
  return Errno::kAgain;
}

void Terminal::OnTimer() { queue_.Notify(Poll::kIn); }

// Raw mode; termios(3), "noncanonical mode".
ErrnoOrVoid Terminal::CheckMinimumLocked(size_t wanted) {
  const uint8_t least = discipline_.termios().c_cc[VMIN];
  const uint8_t tenths = discipline_.termios().c_cc[VTIME];
  const size_t have = discipline_.InputBytes();
  if (least == 0) {
    if (have > 0 || tenths == 0) return {};
    return WaitTimeLocked(0, tenths);
  }
  if (have >= std::min<size_t>(least, wanted)) return {};
  if (have == 0 || tenths == 0) return Errno::kAgain;
  return WaitTimeLocked(have, tenths);
}

ErrnoOr<size_t> Terminal::TakeLocked(std::span<char> bytes, bool nonblocking) {
  if (discipline_.canonical()) {
    if (!discipline_.HasInput()) return Errno::kAgain;
  } else {
    const ErrnoOrVoid enough = CheckMinimumLocked(bytes.size());
    const bool some = discipline_.HasInput();
    if (!enough.ok() && !(nonblocking && some)) return enough.error();
  }
  read_deadline_ = 0;
  return discipline_.Read(bytes.data(), bytes.size());
}

ErrnoOr<size_t> Terminal::Read(UserBuffer& dst, bool nonblocking) {
  if (dst.empty()) return 0;
  After after;
  char bytes[LineDiscipline::kCapacity];
  const std::span<char> wanted(bytes, std::min(sizeof bytes, dst.size()));
  ErrnoOr<size_t> got = 0;
  {
    absl::MutexLock lock(&mu_);
    if (hung_up()) return 0;  // Linux: what was typed before is lost
    RoomLocked(&after);
    got = TakeLocked(wanted, nonblocking);
    if (got.ok()) RoomLocked(&after);
  }
  Finish(after);
  if (!got.ok() || *got == 0) return got;
  return dst.CopyOut(std::as_bytes(wanted.first(*got)));
}

ErrnoOr<size_t> Terminal::Write(UserBuffer& src) {
  if (src.empty()) return 0;
  size_t done = 0;
  while (!src.empty()) {
    After after;
    char bytes[1024];
    {
      absl::MutexLock lock(&mu_);
      if (hung_up()) return done > 0 ? ErrnoOr<size_t>(done) : Errno::kIo;
      if (discipline_.output_stopped() || output_.size() >= kOutputLimit) {
        OutputChangedLocked(false, &after);
        if (discipline_.output_stopped() || output_.size() >= kOutputLimit) break;
      }
    }
    // Not under the lock: guest memory may be slow. Another writer may come between, as in Linux.
    const size_t size = std::min(sizeof bytes, src.size());
    const ErrnoOr<size_t> copied = src.CopyIn(std::as_writable_bytes(std::span(bytes, size)));
    if (!copied.ok()) {
      Finish(after);
      if (done == 0) return copied.error();
      break;
    }
    const size_t got = *copied;
    {
      absl::MutexLock lock(&mu_);
      discipline_.ProcessOutput(std::string_view(bytes, got), &output_);
      OutputChangedLocked(false, &after);
    }
    done += got;
    Finish(after);
    if (got < size) break;
  }
  if (done == 0) return Errno::kAgain;
  return done;
}

Poll Terminal::Ready() const {
  absl::MutexLock lock(&mu_);
  if (hung_up()) return Poll::kIn | Poll::kOut | Poll::kErr | Poll::kHup;
  Poll ready;
  const struct termios2& modes = discipline_.termios();
  const size_t least =
      discipline_.canonical() || modes.c_cc[VTIME] != 0 ? 1 : std::max<size_t>(1, modes.c_cc[VMIN]);
  if (discipline_.canonical() ? discipline_.HasInput() : discipline_.InputBytes() >= least)
    ready |= Poll::kIn;
  if (read_deadline_ != 0 && wait::MonotonicNow() >= read_deadline_) ready |= Poll::kIn;
  if (!discipline_.output_stopped() && output_.size() < kOutputLimit) ready |= Poll::kOut;
  return ready;
}

void Terminal::InputLocked(std::string_view bytes, After* after) {
  std::string echo;
  discipline_.Receive(bytes, &echo, &after->effects);
  const bool flushed = after->effects.flush_output;
  if (flushed) output_.clear();
  if (output_.size() < kEchoLimit) output_ += echo;
  if (discipline_.HasInput()) after->programs |= Poll::kIn;
  if (flushed || after->effects.output_started) after->programs |= Poll::kOut;
  if (flushed || after->effects.output_started || !echo.empty()) OutputChangedLocked(flushed, after);
}

size_t Terminal::SendableLocked() const { return discipline_.output_stopped() ? 0 : output_.size(); }

struct termios2 Terminal::Termios() const {
  absl::MutexLock lock(&mu_);
  return discipline_.termios();
}

void Terminal::SetTermios(const struct termios2& termios, bool flush_input) {
  After after;
  {
    absl::MutexLock lock(&mu_);
    if (flush_input) discipline_.FlushInput();
    const struct termios2 before = discipline_.termios();
    discipline_.SetTermios(termios);
    ModesChangedLocked(before, &after);
    RoomLocked(&after);
    if (discipline_.HasInput()) after.programs |= Poll::kIn;
    after.programs |= Poll::kOut;
    OutputChangedLocked(false, &after);
  }
  Finish(after);
}

struct winsize Terminal::WindowSize() const {
  absl::MutexLock lock(&mu_);
  return size_;
}

void Terminal::SetWindowSize(const struct winsize& size) {
  {
    absl::MutexLock lock(&mu_);
    if (memcmp(&size, &size_, sizeof size) == 0) return;
    size_ = size;
  }
  SignalForeground(SIGWINCH);
}

size_t Terminal::InputBytes() const {
  absl::MutexLock lock(&mu_);
  return discipline_.InputBytes();
}

size_t Terminal::OutputBytes() const {
  absl::MutexLock lock(&mu_);
  return output_.size();
}

ErrnoOrVoid Terminal::Flush(uint64_t which) {
  if (which != TCIFLUSH && which != TCOFLUSH && which != TCIOFLUSH) return Errno::kInval;
  After after;
  {
    absl::MutexLock lock(&mu_);
    if (which != TCOFLUSH) {
      discipline_.FlushInput();
      RoomLocked(&after);
    }
    if (which != TCIFLUSH) {
      output_.clear();
      after.programs |= Poll::kOut;
      OutputChangedLocked(true, &after);
    }
  }
  Finish(after);
  return {};
}

ErrnoOrVoid Terminal::Flow(uint64_t action) {
  After after;
  {
    absl::MutexLock lock(&mu_);
    switch (action) {
      case TCOOFF:
        discipline_.SetOutputStopped(true);
        break;
      case TCOON:
        if (!discipline_.SetOutputStopped(false)) break;
        after.programs |= Poll::kOut;
        OutputChangedLocked(false, &after);
        break;
      case TCIOFF:
      case TCION: {
        const int index = action == TCIOFF ? VSTOP : VSTART;
        const uint8_t byte = discipline_.termios().c_cc[index];
        if (byte == 0) break;
        output_.push_back(static_cast<char>(byte));
        OutputChangedLocked(false, &after);
        break;
      }
      default:
        return Errno::kInval;
    }
  }
  Finish(after);
  return {};
}

void Terminal::HangUp() {
  {
    absl::MutexLock lock(&mu_);
    if (hung_up_.exchange(true, std::memory_order_acq_rel)) return;
    output_.clear();
  }
  {
    absl::MutexLock lock(&kernel_.tree_mu());
    const pid_t session = session_.exchange(0, std::memory_order_acq_rel);
    foreground_.store(0, std::memory_order_release);
    for (const Ref<task::ThreadGroup>& group : kernel_.GroupsLocked()) {
      if (session == 0 || group->pid() != session || !group->process_group) continue;
      task::Session& owner = *group->process_group->session();
      if (owner.terminal.get() == this) owner.terminal.reset();
      task::Task::SendToGroupLocked(*group, KernelSignal(SIGHUP));
      task::Task::SendToGroupLocked(*group, KernelSignal(SIGCONT));
    }
  }
  queue_.Notify(Poll::kAll);
}

}  // namespace cloister::tty
