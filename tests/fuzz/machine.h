#ifndef CLOISTER_TESTS_FUZZ_MACHINE_H_
#define CLOISTER_TESTS_FUZZ_MACHINE_H_

#include <array>
#include <atomic>
#include <memory>
#include <string_view>

#include "platform/inproc/inproc.h"
#include "sentry/task/kernel.h"
#include "sentry/vfs/operations.h"
#include "tests/fuzz/program.h"

namespace cloister::fuzz {

// One sandbox on the inproc platform, with those of a container's file systems that the program names, in
// which it is run. Nothing of it outlives it, so that the same program does the same each time (unless it
// races).
class Machine {
 public:
  // One at a time in a process. The program must outlive it.
  explicit Machine(const Program& program);
  // Ends all tasks. Aborts if one does not end: a wake-up was lost.
  ~Machine();

  // How many calls were made. A call whose task waits is made by another one.
  size_t Run();

 private:
  void MakeTree();
  void MountWhatIsNamed();
  void MountOverlay();
  void PutFile(std::string_view path, std::string_view bytes);
  void MountAt(std::string_view path, Ref<vfs::Mount> mount);
  void StartProcess();
  void RunHalf(int half);
  // A running thread; null if all wait or have ended. half: 0 or 1, of two that share out the threads.
  Ref<inproc::Thread> Choose(int task, int half);
  uint64_t Evaluate(inproc::Thread& thread, const Value& value);
  void Make(inproc::Thread& thread, const Call& call);

  const Program& program_;
  inproc::Inproc* platform_ = nullptr;
  std::unique_ptr<task::Kernel> kernel_;
  Ref<vfs::MountNamespace> mounts_;
  vfs::Caller caller_;
  std::array<std::atomic<int64_t>, kRegisters> registers_;
  std::atomic<size_t> calls_{0};
};

}  // namespace cloister::fuzz

#endif  // CLOISTER_TESTS_FUZZ_MACHINE_H_
