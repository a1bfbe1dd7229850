#ifndef CLOISTER_PLATFORM_CONFORMANCE_TEST_GUEST_H_
#define CLOISTER_PLATFORM_CONFORMANCE_TEST_GUEST_H_

#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "platform/api/platform.h"

// A bare guest for tests: some code at a fixed place, and a handler that lets the test answer.

extern "C" {
extern const char guest_begin[], guest_end[], guest_call[], guest_fault[], guest_spin[], guest_loop[],
    guest_fp[], guest_store[], guest_tls[], guest_after_gate[], guest_int80[], guest_scribble[],
    guest_wait_flag[], guest_ud2[], guest_vsyscall[];
}

namespace cloister::guest {

using platform::AfterOps;
using platform::CloneKind;
using platform::CloneRequest;
using platform::GuestThread;
using platform::HostOp;
using platform::Trap;

inline constexpr uint64_t kCode = 0x10000000;
inline constexpr uint64_t kData = 0x20000000;
inline constexpr uint64_t kStack = 0x30000000;
inline constexpr uint64_t kRegion = 0x10000;

inline uint64_t Label(const char* label) { return kCode + static_cast<uint64_t>(label - guest_begin); }

// Keeps traps until the test takes them.
class Recorder final : public platform::TrapHandler {
 public:
  struct Seen {
    Ref<platform::GuestThread> thread;
    platform::Trap trap;
  };

  void OnTrap(platform::GuestThread& thread, const platform::Trap& trap) override {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    seen_.push_back({Ref<platform::GuestThread>(&thread), trap});
  }
  void OnGone(platform::GuestThread& thread, int host_status) override {
    absl::MutexLock lock(&mu_);
    ++gone_count_;
    EXPECT_TRUE(gone_.insert(&thread).second) << "OnGone came twice";
    if (!closed_) kept_.push_back(Ref<platform::GuestThread>(&thread));
    status_ = host_status;
  }

  // The next trap of any thread; nothing after ten seconds.
  std::optional<Seen> Next(absl::Duration patience = absl::Seconds(10)) {
    absl::MutexLock lock(&mu_);
    auto some = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !seen_.empty(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&some), patience)) return std::nullopt;
    Seen seen = std::move(seen_.front());
    seen_.pop_front();
    return seen;
  }
  bool AwaitGone(size_t count) {
    absl::MutexLock lock(&mu_);
    auto all = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return gone_count_ >= count; };
    return mu_.AwaitWithTimeout(absl::Condition(&all), absl::Seconds(10));
  }
  // Lets go of all threads: none may outlive the platform.
  void Close() {
    std::deque<Seen> seen;  // dropped outside the lock
    std::deque<Ref<platform::GuestThread>> kept;
    absl::MutexLock lock(&mu_);
    closed_ = true;
    seen.swap(seen_);
    kept.swap(kept_);
  }
  int status() {
    absl::MutexLock lock(&mu_);
    return status_;
  }

 private:
  absl::Mutex mu_;
  std::deque<Seen> seen_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::set<platform::GuestThread*> gone_ ABSL_GUARDED_BY(mu_);
  std::deque<Ref<platform::GuestThread>> kept_ ABSL_GUARDED_BY(mu_);
  size_t gone_count_ ABSL_GUARDED_BY(mu_) = 0;
  int status_ ABSL_GUARDED_BY(mu_) = 0;
};

// Runs operations and returns the trap that reports them.
inline platform::Trap RunOps(Recorder& recorder, platform::GuestThread& thread,
                             std::span<const platform::HostOp> ops) {
  thread.RunOps(ops, platform::AfterOps::kReport);
  const auto seen = recorder.Next();
  if (!seen || seen->trap.kind != platform::Trap::Kind::kOpsDone) {
    ADD_FAILURE() << "operations were not reported";
    return {};
  }
  return seen->trap;
}

inline int64_t RunOp(Recorder& recorder, platform::GuestThread& thread, const platform::HostOp& op) {
  return RunOps(recorder, thread, {&op, 1}).result;
}

// A new process with the code, a data page and a stack, stopped before its first instruction.
inline Ref<platform::GuestThread> NewGuest(platform::Platform& platform, Recorder& recorder) {
  auto made = platform.NewProcess(&recorder);
  if (!made.ok()) {
    ADD_FAILURE() << "NewProcess failed";
    return nullptr;
  }
  Ref<platform::GuestThread> thread = *made;
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  const HostOp ops[] = {
      HostOp::Mmap(kCode, kRegion, PROT_READ | PROT_WRITE | PROT_EXEC, kFlags, -1, 0),
      HostOp::Mmap(kData, kRegion, PROT_READ | PROT_WRITE, kFlags, -1, 0),
      HostOp::Mmap(kStack, kRegion, PROT_READ | PROT_WRITE, kFlags, -1, 0),
  };
  EXPECT_EQ(RunOps(recorder, *thread, ops).result, static_cast<int64_t>(kStack));
  const std::span<const char> code(guest_begin, guest_end);
  EXPECT_EQ(thread->address_space().Write(kCode, std::as_bytes(code)), code.size());
  thread->regs().rsp = kStack + kRegion - 64;
  return thread;
}

// What a test of one platform has.
class PlatformFixture {
 protected:
  void Begin(absl::StatusOr<std::unique_ptr<platform::Platform>> made) {
    ASSERT_TRUE(made.ok()) << made.status();
    platform_ = std::move(*made);
    const absl::Status started = platform_->Start();
    ASSERT_TRUE(started.ok()) << started;
    guest_ = NewGuest(*platform_, recorder_);
    ASSERT_TRUE(guest_);
  }
  // No process of ours is left behind.
  void End() {
    guest_.reset();
    recorder_.Close();
    platform_.reset();
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
  }
  Trap AwaitTrap(Trap::Kind kind) {
    const auto seen = recorder_.Next();
    if (!seen) {
      ADD_FAILURE() << "no trap";
      return {};
    }
    EXPECT_EQ(static_cast<int>(seen->trap.kind), static_cast<int>(kind));
    return seen->trap;
  }

  std::unique_ptr<platform::Platform> platform_;
  Recorder recorder_;
  Ref<GuestThread> guest_;
};

}  // namespace cloister::guest

#endif  // CLOISTER_PLATFORM_CONFORMANCE_TEST_GUEST_H_
