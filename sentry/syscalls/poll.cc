// poll(2), select(2) and their kin.

#include <poll.h>
#include <sys/select.h>
#include <sys/time.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using usermem::UserPtr;
using vfs::FileDescription;
using wait::Poll;
using wait::Restart;

constexpr size_t kLeastTable = 64;  // descriptors that every process has room for: NR_OPEN_DEFAULT
constexpr Poll kAlways = Poll(POLLERR | POLLHUP);

// One file that is waited for, and for what.
struct Watched {
  Ref<FileDescription> file;
  Poll events;
};

// What is common: how long, under which mask, and where the time that is left goes.
struct Waiting {
  bool may_block = true;
  wait::MonotonicNs until = wait::kNever;
  std::optional<signal::SignalSet> mask;
  uint64_t left_timespec = 0;  // ppoll, pselect6 and select store the time left
  uint64_t left_timeval = 0;

  void SetTimeout(int64_t ns) {
    may_block = ns > 0;
    until = DeadlineAfter(ns);
  }

  ErrnoOrVoid SetMask(Task& task, uint64_t addr, size_t size) {
    if (addr == 0) return {};
    if (size != sizeof(uint64_t)) return Errno::kInval;
    mask = signal::SignalSet(TRY(task.CopyIn(UserPtr<const uint64_t>(addr))));
    return {};
  }

  ErrnoOrVoid SetTimespec(Task& task, uint64_t addr) {
    if (addr == 0) return {};
    SetTimeout(TRY(CopyInDuration(task, addr)));
    left_timespec = addr;
    return {};
  }

  // Over for want of time, or because it was not to wait at all.
  bool Over() const { return !may_block || wait::MonotonicNow() >= until; }

  // As Linux, a bad address is no error here.
  void StoreLeft(Task& task) const {
    if (left_timespec == 0 && left_timeval == 0) return;
    const timespec left =
        ToTimespec(std::max<int64_t>(0, until == wait::kNever ? 0 : until - wait::MonotonicNow()));
    if (left_timespec != 0) static_cast<void>(task.CopyOut(UserPtr<timespec>(left_timespec), left));
    if (left_timeval != 0) {
      static_cast<void>(task.CopyOut(UserPtr<timeval>(left_timeval), {left.tv_sec, left.tv_nsec / 1000}));
    }
  }

  Block BlockOn(Task& task, const std::vector<Watched>& watched, Answer at_signal) {
    if (mask) task.SetTemporaryMask(*std::exchange(mask, std::nullopt));
    Block block;
    for (const Watched& one : watched) {
      if (!one.file || one.file->wait_queue() == nullptr) continue;
      block.on.push_back({Ref<RefCounted>(one.file), one.file->wait_queue(), one.events | kAlways});
    }
    block.until = until;
    block.at_deadline = 0;
    block.at_signal = at_signal;
    return block;
  }
};

struct PollCall : Waiting {
  uint64_t where = 0;
  std::vector<pollfd> fds;
  std::vector<Watched> watched;  // one for each of fds; no file: a bad or negative number
  Answer at_signal = Restart::kRestartBlock;

  ErrnoOrVoid SetFds(Task& task, uint64_t addr, uint32_t count) {
    if (count > task.Limit(RLIMIT_NOFILE).rlim_cur) return Errno::kInval;
    where = addr;
    fds = TRY(usermem::CopyInArray(task.space(), UserPtr<const pollfd>(addr), count));
    watched.resize(count);
    for (size_t i = 0; i < count; ++i) {
      if (fds[i].fd < 0) continue;
      ErrnoOr<Ref<FileDescription>> file = task.GetFile(fds[i].fd);
      if (file.ok()) watched[i] = {*std::move(file), Poll(static_cast<uint16_t>(fds[i].events))};
    }
    return {};
  }

  static ErrnoOr<PollCall> Begin(Task& task, const SyscallArgs& args) {
    PollCall call;
    TRY_VOID(call.SetFds(task, args.Addr(0), args.Uint(1)));
    if (args.Int(2) >= 0) call.SetTimeout(int64_t{args.Int(2)} * 1'000'000);
    return call;
  }

  int Look() {
    int ready = 0;
    for (size_t i = 0; i < fds.size(); ++i) {
      uint32_t found = 0;
      if (watched[i].file) {
        found = watched[i].file->Ready().bits() & (watched[i].events | kAlways).bits();
      } else if (fds[i].fd >= 0) {
        found = POLLNVAL;
      }
      fds[i].revents = static_cast<short>(found);
      ready += found != 0;
    }
    return ready;
  }

  Outcome Step(Task& task) {
    const int ready = Look();
    if (ready == 0 && !Over()) return BlockOn(task, watched, at_signal);
    StoreLeft(task);
    const ErrnoOrVoid stored =
        usermem::CopyOutArray(task.space(), UserPtr<pollfd>(where), std::span<const pollfd>(fds));
    if (!stored.ok()) return Answer(stored.error());
    return Answer(ready);
  }
};

struct PpollCall : PollCall {
  static ErrnoOr<PpollCall> Begin(Task& task, const SyscallArgs& args) {
    PpollCall call;
    TRY_VOID(call.SetTimespec(task, args.Addr(2)));
    TRY_VOID(call.SetMask(task, args.Addr(3), args.Size(4)));
    TRY_VOID(call.SetFds(task, args.Addr(0), args.Uint(1)));
    call.at_signal = Restart::kNoHand;
    return call;
  }
};

// An fd_set of the guest's, as many words as its descriptors need.
struct FdSet {
  uint64_t addr = 0;
  std::vector<uint64_t> words;

  bool Has(int fd) const { return !words.empty() && (words[fd / 64] >> (fd % 64) & 1); }
  void Add(int fd) { words[fd / 64] |= uint64_t{1} << (fd % 64); }
};

struct SelectCall : Waiting {
  enum Kind { kRead, kWrite, kExcept, kKinds };
  // Linux: POLLIN_SET, POLLOUT_SET, POLLEX_SET.
  static constexpr Poll kEvents[kKinds] = {Poll(POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR),
                                           Poll(POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR), Poll(POLLPRI)};
  FdSet sets[kKinds];
  std::vector<Watched> watched;
  std::vector<int> numbers;  // the descriptor of each

  ErrnoOrVoid SetFds(Task& task, const SyscallArgs& args) {
    if (args.Int(0) < 0) return Errno::kInval;
    const int count = static_cast<int>(
        std::min(static_cast<size_t>(args.Int(0)), std::max(task.files().size(), kLeastTable)));
    for (int kind = kRead; kind < kKinds; ++kind) {
      sets[kind].addr = args.Addr(1 + kind);
      if (sets[kind].addr == 0) continue;
      sets[kind].words = TRY(usermem::CopyInArray(task.space(), UserPtr<const uint64_t>(sets[kind].addr),
                                                  (static_cast<size_t>(count) + 63) / 64));
    }
    for (int fd = 0; fd < count; ++fd) {
      Poll events;
      for (int kind = kRead; kind < kKinds; ++kind) {
        if (sets[kind].Has(fd)) events |= kEvents[kind];
      }
      if (!events) continue;
      watched.push_back({TRY(task.GetFile(fd)), events});
      numbers.push_back(fd);
    }
    return {};
  }

  static ErrnoOr<SelectCall> Begin(Task& task, const SyscallArgs& args) {
    SelectCall call;
    if (args.Addr(4) != 0) {
      // Linux takes microseconds above a second here.
      const timeval time = TRY(task.CopyIn(args.Ptr<const timeval>(4)));
      if (time.tv_sec < 0 || time.tv_usec < 0) return Errno::kInval;
      const int64_t seconds = std::min<int64_t>(time.tv_sec, INT32_MAX) + time.tv_usec / 1'000'000;
      call.SetTimeout(TRY(DurationOf({seconds, time.tv_usec % 1'000'000 * 1000})));
      call.left_timeval = args.Addr(4);
    }
    TRY_VOID(call.SetFds(task, args));
    return call;
  }

  // Fills found with what is ready; the number of bits.
  int Look(FdSet (&found)[kKinds]) const {
    int ready = 0;
    for (size_t i = 0; i < watched.size(); ++i) {
      const Poll now = watched[i].file->Ready();
      for (int kind = kRead; kind < kKinds; ++kind) {
        if (!sets[kind].Has(numbers[i]) || !now.Any(kEvents[kind])) continue;
        found[kind].Add(numbers[i]);
        ++ready;
      }
    }
    return ready;
  }

  Outcome Step(Task& task) {
    FdSet found[kKinds];
    for (int kind = kRead; kind < kKinds; ++kind) {
      found[kind] = {sets[kind].addr, std::vector<uint64_t>(sets[kind].words.size())};
    }
    const int ready = Look(found);
    if (ready == 0 && !Over()) return BlockOn(task, watched, Restart::kNoHand);
    StoreLeft(task);
    for (const FdSet& set : found) {
      if (set.addr == 0) continue;
      const ErrnoOrVoid stored = usermem::CopyOutArray(task.space(), UserPtr<uint64_t>(set.addr),
                                                       std::span<const uint64_t>(set.words));
      if (!stored.ok()) return Answer(stored.error());
    }
    return Answer(ready);
  }
};

struct PselectCall : SelectCall {
  static ErrnoOr<PselectCall> Begin(Task& task, const SyscallArgs& args) {
    PselectCall call;
    TRY_VOID(call.SetTimespec(task, args.Addr(4)));
    if (args.Addr(5) != 0) {
      struct MaskArgument {
        uint64_t addr;
        uint64_t size;
      };
      const auto mask = TRY(task.CopyIn(args.Ptr<const MaskArgument>(5)));
      TRY_VOID(call.SetMask(task, mask.addr, mask.size));
    }
    TRY_VOID(call.SetFds(task, args));
    return call;
  }
};

constexpr Entry kEntries[] = {
    {SYS_poll, Blocking<PollCall>},
    {SYS_ppoll, Blocking<PpollCall>},
    {SYS_select, Blocking<SelectCall>},
    {SYS_pselect6, Blocking<PselectCall>},
};

}  // namespace

std::span<const Entry> PollSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
