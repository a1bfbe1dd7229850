// Makes the calls of the program on standard input; image.h says what it prints. Runs in the sandbox, as its
// first process: a second one makes the calls, so that whatever they do to it, this one can tell.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "runsc/program/call_log.h"
#include "runsc/program/evaluate.h"
#include "runsc/program/program.h"
#include "runsc/program/raw_call.h"

namespace cloister::program {
namespace {

constexpr absl::Duration kPatience = absl::Milliseconds(100);
constexpr timespec kUntilNextLook = {0, 20'000'000};

// The thread of one task: makes the calls that it is given, one at a time.
class Worker {
 public:
  explicit Worker(Registers* registers) : registers_(registers) {
    std::thread([this] { Loop(); }).detach();
  }

  // False if it is still at an earlier call.
  bool Give(const Call* call, CallLog::Entry* entry) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (call_ != nullptr) return false;
    call_ = call;
    entry_ = entry;
    return true;
  }

  // Until the call has been made, or the patience is at its end.
  void Await() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(absl::Condition(this, &Worker::IsIdle), kPatience);
  }

 private:
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return call_ == nullptr; }
  bool IsBusy() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return call_ != nullptr; }

  void Loop() ABSL_LOCKS_EXCLUDED(mu_) {
    while (true) {
      const Call* call;
      CallLog::Entry* entry;
      {
        absl::MutexLock lock(&mu_);
        mu_.Await(absl::Condition(this, &Worker::IsBusy));
        call = call_;
        entry = entry_;
      }
      uint64_t args[6] = {};
      for (size_t i = 0; i < call->args.size() && i < 6; ++i) args[i] = Evaluate(call->args[i], *registers_);
      const int64_t result = RawCall(static_cast<uint64_t>(call->signature->number), args);
      if (call->into >= 0) (*registers_)[static_cast<size_t>(call->into)] = result;
      entry->result = result;
      entry->state = CallLog::kDone;
      absl::MutexLock lock(&mu_);
      call_ = nullptr;
    }
  }

  Registers* const registers_;
  absl::Mutex mu_;
  const Call* call_ ABSL_GUARDED_BY(mu_) = nullptr;
  CallLog::Entry* entry_ ABSL_GUARDED_BY(mu_) = nullptr;
};

// All of it is left alone when the process ends: threads may be anywhere.
class Crew {
 public:
  Crew(const Program& program, CallLog* log) : program_(program), log_(log), workers_(kTasks) {
    std::fill(registers_.begin(), registers_.end(), -1);
    for (const Call& call : program.calls) {
      std::unique_ptr<Worker>& worker = workers_[call.task % kTasks];
      if (!worker) worker = std::make_unique<Worker>(&registers_);
    }
  }

  void Run() {
    if (!program_.races) return RunHalf(-1);
    std::thread other([this] { RunHalf(1); });
    RunHalf(0);
    other.join();
  }

 private:
  // half: of tasks that are odd or even; -1: all.
  void RunHalf(int half) {
    for (size_t i = 0; i < program_.calls.size(); ++i) {
      const Call& call = program_.calls[i];
      if (half >= 0 && call.task % 2 != half) continue;
      Worker& worker = *workers_[call.task % kTasks];
      CallLog::Entry& entry = NewEntry(i);
      if (worker.Give(&call, &entry)) worker.Await();
      CallLog::State made = CallLog::kMade;
      entry.state.compare_exchange_strong(made, CallLog::kWaits);
    }
  }

  CallLog::Entry& NewEntry(size_t index) {
    absl::MutexLock lock(&mu_);
    CallLog::Entry& entry = log_->entries[log_->begun];
    entry.index = static_cast<uint32_t>(index);
    ++log_->begun;
    return entry;
  }

  const Program& program_;
  CallLog* const log_;
  Registers registers_;
  std::vector<std::unique_ptr<Worker>> workers_;
  absl::Mutex mu_;  // held to add to the log
};

[[noreturn]] void MakeCalls(const Program& program, CallLog* log) {
  void* const scratch = mmap(reinterpret_cast<void*>(kScratch), kScratchSize, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (scratch == MAP_FAILED) _exit(99);
  close_range(0, ~0u, 0);
  for (int i = 0; i < 3; ++i) open("/dev/null", O_RDWR);
  auto* const crew = new Crew(program, log);
  crew->Run();
  _exit(0);
}

// Prints what is known by now; ended: nothing will be added.
void PrintNews(const CallLog& log, bool ended, uint32_t* printed) {
  const uint32_t begun = std::min<uint32_t>(log.begun, kMostCalls);
  for (; *printed < begun; ++*printed) {
    const CallLog::Entry& entry = log.entries[*printed];
    const CallLog::State state = entry.state;
    if (state == CallLog::kMade && !ended) break;
    if (state == CallLog::kDone) {
      printf("%u %lld\n", entry.index, static_cast<long long>(entry.result.load()));
    } else {
      printf("%u waits\n", entry.index);
    }
  }
  fflush(stdout);
}

std::string ReadAll() {
  std::string text;
  char piece[4096];
  ssize_t got;
  while ((got = read(STDIN_FILENO, piece, sizeof piece)) > 0) text.append(piece, static_cast<size_t>(got));
  return text;
}

int Run() {
  const Program program = Parse(ReadAll());
  void* const shared =
      mmap(nullptr, sizeof(CallLog), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return 98;
  auto* const log = new (shared) CallLog();
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const pid_t child = fork();
  if (child < 0) return 97;
  if (child == 0) {
    sigprocmask(SIG_UNBLOCK, &child_ended, nullptr);
    MakeCalls(program, log);
  }
  uint32_t printed = 0;
  int status = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    PrintNews(*log, /*ended=*/false, &printed);
    sigtimedwait(&child_ended, nullptr, &kUntilNextLook);
  }
  PrintNews(*log, /*ended=*/true, &printed);
  if (WIFSIGNALED(status)) {
    printf("signal %d\n", WTERMSIG(status));
  } else {
    printf("exit %d\n", WEXITSTATUS(status));
  }
  return 0;
}

}  // namespace
}  // namespace cloister::program

int main() { return cloister::program::Run(); }
