#include "platform/ptrace/ptrace.h"

#include <utility>

#include "platform/ptrace/fp_state.h"
#include "platform/ptrace/tracer.h"
#include "platform/stub/tracee_layout.h"

namespace cloister::ptrace {
namespace {

constexpr size_t kAreaAlignment = 64;  // XSAVE's

class Ptrace final : public platform::Platform {
 public:
  Ptrace(LaunchedZygote zygote, const PtraceOptions& options)
      : vdso_(zygote.vdso_begin), tracer_(std::move(zygote), options) {}

  absl::Status Start() override { return tracer_.Start(); }
  ErrnoOr<Ref<platform::GuestThread>> NewProcess(platform::TrapHandler* handler) override {
    const auto process = MakeRef<Process>(MakeRef<Space>());
    const auto thread = MakeRef<Thread>(&tracer_, process, handler, Thread::Birth::kStopped);
    process->Add(thread);
    tracer_.Tell(thread, Order::Task::kBirth);
    return Ref<platform::GuestThread>(thread);
  }
  uint64_t task_size() const override { return stub::kImageBase; }
  uint64_t vdso_start() const override { return vdso_; }
  size_t fp_state_size() const override {
    return (FpFrameBytes() + kAreaAlignment - 1) / kAreaAlignment * kAreaAlignment;
  }

 private:
  const uint64_t vdso_;
  Tracer tracer_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<platform::Platform>> NewPtrace(const PtraceOptions& options) {
  LaunchedZygote zygote;
  {
    auto launched = LaunchZygote();
    if (!launched.ok()) return launched.status();
    zygote = std::move(*launched);
  }
  return std::unique_ptr<platform::Platform>(std::make_unique<Ptrace>(std::move(zygote), options));
}

}  // namespace cloister::ptrace
