#include "platform/systrap/dispatcher.h"

#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/log/log.h"
#include "platform/process/wait_status.h"

namespace cloister::systrap {
namespace {

constexpr int64_t kReceiveNs = 1500;  // a receive that did not have to wait takes less

// A host thread that nobody asked for, stopped in a notification: its process has to go.
void KillStranger(pid_t tid) {
  LOG(kWarning, "host thread %d is not known: killed", tid);
  kill(tid, SIGKILL);  // kill(2) takes any thread's id for its process
}

void KillLiar(Thread& thread) {
  LOG(kWarning, "host thread %d broke the stub's protocol: killed (%s)", thread.host_tid(),
      thread.Describe());
  thread.KillProcess();
}

thread_local struct {
  bool is_one = false;
  bool spins = false;  // before it listens again
} worker;

}  // namespace

bool Dispatcher::IsWorker() { return worker.is_one; }

void Dispatcher::SpinNext() { worker.spins = true; }

void Dispatcher::Work() {
  Turns::MarkWorker();
  Housekeeper::BecomeWorker();
  worker.is_one = true;
  Watch::View view;
  for (;;) {
    while (std::exchange(worker.spins, false)) {
      const Ref<Thread> thread = core_->watch.Await(&view);
      if (!thread) break;
      worker.spins = true;
      if (!thread->OnPosted()) KillLiar(*thread);
      Housekeeper::SayPosted();
    }
    if (!core_->turns.Enter()) return;
    seccomp_notif notif;
    const int64_t before = NowNs();
    const int error = core_->listener->Receive(&notif);
    core_->turns.Leave(NowNs() - before > kReceiveNs);
    if (error == 0) {
      Handle(notif);
      Housekeeper::SayPosted();
    } else if (error == ENOENT && core_->processes.Empty()) {
      core_->turns.Stop();
    }
  }
}

bool Dispatcher::ServeOne() {
  seccomp_notif notif;
  int error;
  do {
    error = core_->listener->Receive(&notif);
  } while (error == EINTR);
  if (error != 0) return false;
  Handle(notif);
  return true;
}

void Dispatcher::Handle(const seccomp_notif& notif) {
  const seccomp_data& data = notif.data;
  const auto tid = static_cast<pid_t>(notif.pid);
  const bool doorbell = static_cast<uint64_t>(data.nr) == stub::kDoorbellNr;
  const auto event = static_cast<stub::Event>(data.args[0]);
  Ref<Thread> thread = core_->threads.Find(tid);
  if (!thread) {
    if (doorbell && event == stub::Event::kHello) return Hello(notif, data.args[1]);
    if (data.nr == SYS_mmap) return Hello(notif, data.args[3] >> stub::kTokenShift);
    // A thread that was told to end while it went to sleep: it is not known any more.
    if (doorbell && event == stub::Event::kSleep) {
      core_->listener->Send(notif.id, static_cast<int64_t>(stub::Answer::kExit));
      return;
    }
    if (doorbell) thread = FirstRing(notif);
    if (!thread) return KillStranger(tid);
  }
  bool honest = false;
  if (doorbell && event == stub::Event::kSleep) {
    honest = thread->OnSleep(notif.id, data.args[1]);
  } else if (doorbell) {
    honest = thread->OnDoorbell(notif.id, event);
  } else if (data.nr == SYS_mmap || data.nr == SYS_mremap) {
    honest = thread->OnMapping(notif.id, data);
  } else if (data.nr == SYS_clone) {
    honest = thread->OnClone(notif.id, data);
  }
  if (!honest) KillLiar(*thread);
}

bool Dispatcher::IsWhatItSays(Thread& child, const seccomp_notif& notif) {
  const auto tid = static_cast<pid_t>(notif.pid);
  const bool forked = notif.data.nr == SYS_mmap;
  if (forked != (child.kind() == platform::CloneKind::kFork)) return false;
  if (forked && !child.IsBirthMapping(notif.data)) return false;
  if (child.kind() == platform::CloneKind::kThread) return child.process().HasThread(tid);
  return syscall(SYS_tgkill, tid, tid, 0) == 0 && !core_->processes.Has(tid);
}

// A thread that rings for the first time, by its token; null if it is not the one that it says.
Ref<Thread> Dispatcher::FirstRing(const seccomp_notif& notif) {
  const auto tid = static_cast<pid_t>(notif.pid);
  Ref<Thread> thread = core_->births.Take(notif.data.args[1]);
  if (!thread) return nullptr;
  if (thread->kind() != platform::CloneKind::kThread || !thread->process().HasThread(tid)) {
    thread->Gone(0);
    return nullptr;
  }
  thread->BindThread(tid);
  return thread;
}

void Dispatcher::Hello(const seccomp_notif& notif, uint64_t token) {
  const auto tid = static_cast<pid_t>(notif.pid);
  const Ref<Thread> child = core_->births.Take(token);
  if (!child || !IsWhatItSays(*child, notif)) {
    KillStranger(tid);
    if (child) child->Gone(0);
    return;
  }
  child->Bind(tid, notif.id);
}

void Dispatcher::Reap(const std::atomic<bool>& done) {
  while (!done.load() || !core_->processes.Empty()) {
    siginfo_t info = {};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOWAIT) != 0) {
      if (errno == EINTR) continue;
      break;
    }
    const pid_t pid = info.si_pid;
    const Ref<HostProcess> process = core_->processes.TakeDead(pid);
    core_->housekeeper.SuspectBirths();
    if (!process) continue;
    const bool by_signal = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
    if (by_signal && info.si_status == SIGKILL && !process->killed() && core_->on_killed_outside) {
      core_->on_killed_outside(pid);
    }
    const std::vector<Ref<Thread>> left = process->Bury();
    siginfo_t reaped = {};
    waitid(P_PID, static_cast<id_t>(pid), &reaped, WEXITED | WNOHANG);
    for (const Ref<Thread>& thread : left) thread->Gone(process::WaitStatus(info));
  }
}

}  // namespace cloister::systrap
