#include "sentry/fs/proc/process_state.h"

#include <sys/sysmacros.h>

#include <algorithm>

#include "sentry/task/usage.h"

// Macros of sys/sysmacros.h.
#undef major
#undef minor

namespace cloister::proc {
namespace {

// Linux: new_encode_dev.
uint64_t EncodeDevice(dev_t device) {
  const uint64_t high = gnu_dev_major(device), low = gnu_dev_minor(device);
  return (low & 0xff) | high << 8 | (low & ~uint64_t{0xff}) << 12;
}

// Linux: collect_sigign_sigcatch.
void ReadActions(const signal::SignalActions& actions, ProcessState* state) {
  for (int signo = 1; signo <= signal::kMaxSignal; ++signo) {
    const signal::Action action = actions.Get(signo);
    if (action.is_ignore()) {
      state->ignored.Add(signo);
    } else if (!action.is_default()) {
      state->caught.Add(signo);
    }
  }
}

// The session's terminal, to be asked without the lock.
Ref<task::ControllingTerminal> ReadGroup(const task::ThreadGroup& group, ProcessState* state) {
  state->parent = group.parent == nullptr ? 0 : group.parent->pid();
  state->threads = group.tasks.size();
  state->exit_signal = group.exit_signal;
  state->has_execed = group.has_execed;
  state->children_cpu_ns = task::CpuNsOf(group.children_usage);
  state->group_pending = group.pending.set();
  state->queued = group.pending.queued();
  if (group.actions) ReadActions(*group.actions, state);
  if (!group.process_group) return nullptr;
  state->process_group = group.process_group->id();
  const task::Session& session = *group.process_group->session();
  state->session = session.id();
  return session.terminal;
}

}  // namespace

ErrnoOr<ProcessState> ReadState(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  ProcessState state;
  const Ref<task::Task> task = subject.Find();
  const task::ThreadGroup& group = subject.group();
  Ref<task::ControllingTerminal> terminal;
  {
    absl::MutexLock lock(&subject.kernel().tree_mu());
    terminal = ReadGroup(group, &state);
    if (task) {
      state.blocked = task->BlockedLocked();
      state.no_new_privs = task->no_new_privs;
      state.seccomp_mode = task->filters.mode();
      if (const Ref<const seccomp::Filter> filter = task->filters.ref())
        state.seccomp_filters = filter->count();
    }
  }
  if (terminal) {
    state.terminal = EncodeDevice(terminal->device());
    state.foreground = terminal->foreground_group();
  }
  if (task) {
    state.name = task->name();
    state.letter = task->StateLetter();
    state.tracer = task->TracerTid();
    // A leader that ended before its threads is a zombie in its own place.
    if (!subject.is_thread() && task->tid() != subject.pid()) state.letter = 'Z';
    state.nice = task->nice.load(std::memory_order_relaxed);
    state.pending = task->OwnPendingSet();
  }
  // The host tells one CPU time for a process: it is the leader's.
  if (!subject.is_thread() || subject.id() == subject.pid()) state.cpu_ns = task::ProcessCpuNs(group);
  state.start_ns =
      static_cast<uint64_t>(std::max<int64_t>(0, group.start_time_ns - subject.kernel().boot_monotonic_ns()));
  return state;
}

std::string_view StateName(char letter) {
  switch (letter) {
    case 'R':
      return "R (running)";
    case 'S':
      return "S (sleeping)";
    case 'D':
      return "D (disk sleep)";
    case 'T':
      return "T (stopped)";
    case 't':
      return "t (tracing stop)";
    case 'Z':
      return "Z (zombie)";
    default:
      return "X (dead)";
  }
}

}  // namespace cloister::proc
