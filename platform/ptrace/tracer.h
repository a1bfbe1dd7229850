#ifndef CLOISTER_PLATFORM_PTRACE_TRACER_H_
#define CLOISTER_PLATFORM_PTRACE_TRACER_H_

#include <deque>
#include <set>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "platform/ptrace/file_sender.h"
#include "platform/ptrace/orders.h"
#include "platform/ptrace/ptrace.h"
#include "platform/ptrace/thread.h"
#include "platform/ptrace/waiter.h"
#include "platform/ptrace/zygote.h"

namespace cloister::ptrace {

// The one thread that traces all stubs: ptrace(2) is for the tracer's thread alone. It waits for stops and
// for orders, and calls the TrapHandlers.
class Tracer {
 public:
  Tracer(LaunchedZygote zygote, const PtraceOptions& options);
  ~Tracer();

  // Makes the thread; it is the zygote's tracer when this has returned.
  absl::Status Start();
  // Kills all stubs and ends the thread.
  void Stop();

  // Anyone.
  void Tell(Ref<Thread> thread, Order::Task task);

  // ---- The tracer's thread ----
  // Until a child's first stop it is known by a token in its registers.
  uint64_t ExpectBirth(Ref<Thread> child);
  // False: nobody with that token is expected (any more).
  bool ForgetBirth(uint64_t token) { return births_.erase(token) != 0; }
  // Whether a child of that id ended before it was known.
  bool TakeUnknownEnd(pid_t tid) { return unknown_ends_.erase(tid) != 0; }
  FileSender& files() { return files_; }
  bool stopping() const { return orders_.stopping(); }
  void TellZygoteDead(pid_t pid) {
    if (options_.on_zygote_dead) options_.on_zygote_dead(pid);
  }

 private:
  void Run();
  void RunOrders();
  bool TakeOrders();
  void Do(const Order& order);
  void OnStop(pid_t tid, int status);
  void OnFirstStop(pid_t tid);
  void OnEnd(const siginfo_t& info);
  void KillAll();

  const PtraceOptions options_;
  Waiter waiter_;
  std::thread thread_;
  Orders orders_{&waiter_};

  // The tracer's thread.
  std::deque<Order> todo_;
  absl::flat_hash_map<pid_t, Ref<Thread>> threads_;
  absl::flat_hash_map<uint64_t, Ref<Thread>> births_;
  std::set<pid_t> unknown_ends_;  // while there are births
  uint64_t last_token_ = 0;
  FileSender files_;
  Zygote zygote_;
};

}  // namespace cloister::ptrace

#endif  // CLOISTER_PLATFORM_PTRACE_TRACER_H_
