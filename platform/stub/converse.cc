// Telling the sentry what happened, and doing what it answers.

#include <asm/unistd.h>

#include "platform/stub/internal.h"

namespace cloister::stub {
namespace {

constexpr long kEIntr = 4, kEFault = 14;
// How long a posted event is waited for before the thread sleeps. A pause is some 40 to 140 cycles.
constexpr int kPatience = 1500;
constexpr uint64_t kTrapFlag = 0x100;
constexpr int kFutexWait = 0;

bool Replied(Context* context) { return __atomic_load_n(&context->reply, __ATOMIC_ACQUIRE) == kReplied; }

// The doorbell's answer, or the one that comes later. An interrupt is found on the way out.
long AwaitRested(Context* context, long answer) {
  if (answer != static_cast<long>(Answer::kRest)) return answer;
  while (__atomic_load_n(&context->rested, __ATOMIC_ACQUIRE) == 0) {
    stub_call(__NR_futex, reinterpret_cast<uint64_t>(&context->rested), kFutexWait, 0, 0);
  }
  return context->answer;
}

// A worker looks at this thread: the answer comes without the host's help, if it comes soon.
// cycle is read before the event is posted: the answer may belong to the next watch already.
long AwaitReply(Context* context, uint64_t cycle) {
  for (int i = 0; i < kPatience; ++i) {
    if (Replied(context)) return context->answer;
    if ((i & 7) == 7 && __atomic_load_n(&context->wait_long, __ATOMIC_RELAXED) != 0) break;
    __builtin_ia32_pause();
  }
  uint32_t none = kNoReply;
  if (!__atomic_compare_exchange_n(&context->reply, &none, kSleeping, false, __ATOMIC_SEQ_CST,
                                   __ATOMIC_ACQUIRE)) {
    return context->answer;
  }
  return AwaitRested(context, Ring(Event::kSleep, cycle));
}

// Whether the guest can go on without rt_sigreturn(2).
bool NeedsFrame(const user_regs_struct& regs) {
  return (regs.eflags & kTrapFlag) != 0 || regs.cs != STUB_USER_CS || regs.ss != STUB_USER_SS;
}

void Reframe(Context* context, long answer) {
  context->reframe_answer = static_cast<uint64_t>(answer);
  stub_reframe();
}

// True: the guest runs on. False: the sentry is to be told how it went.
bool CarryOutOps(Context* context, UContext* uc) {
  if (context->fetch != 0) Ring(Event::kFetch, context->token);
  if (context->lends != 0) context->keeps = 1;
  uint64_t run = 0;
  context->op_result = RunOps(context, uc, &run);
  context->ops_run = run;
  return context->report == 0 && (context->op_result >= 0 || context->op_result < -4095);
}

// The guest is to run on, unless it was interrupted meanwhile.
bool MayLeave(Context* context, UContext* uc) {
  if (uc == nullptr) {
    if (NeedsFrame(context->regs)) Reframe(context, static_cast<long>(Answer::kResume));
    return true;  // stub_exit looks for the interrupt
  }
  if (__atomic_exchange_n(&context->interrupted, 0, __ATOMIC_SEQ_CST) != 0) return false;
  LoadRegisters(uc, &context->regs);
  return true;
}

long AskInterrupt(Context* context) {
  context->regs.orig_rax = ~0ul;
  return Ask(context, Event::kInterrupt);
}

}  // namespace

void GiveBackLent(Context* context) {
  if (context->keeps == 0) return;
  context->keeps = 0;
  const auto first = static_cast<uint64_t>(LentFd(SlotOf(context)));
  stub_call(__NR_close_range, first, first + kMappedFds - 1, 0);
}

void GiveBackRead(const Context* context) {
  const auto fd = static_cast<uint64_t>(ReadFd(SlotOf(context)));
  stub_call(__NR_close_range, fd, fd, 0);
}

long Ring(Event event, uint64_t token) {
  long answer;
  do {
    answer = stub_call(kDoorbellNr, static_cast<uint64_t>(event), token);
  } while (answer == -kEIntr);  // interrupted before the sentry took notice
  return answer;
}

long Ask(Context* context, Event event) {
  context->event = static_cast<uint64_t>(event);
  const uint64_t cycle = context->cycle;
  context->writes = 0;
  __atomic_store_n(&context->rested, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&context->reply, kNoReply, __ATOMIC_RELAXED);
  uint32_t watched = kWatched;
  if (__atomic_compare_exchange_n(&context->request, &watched, kPosted, false, __ATOMIC_SEQ_CST,
                                  __ATOMIC_RELAXED)) {
    return AwaitReply(context, cycle);
  }
  return AwaitRested(context, Ring(event, context->token));
}

void Obey(Context* context, UContext* uc, long answer) {
  for (;;) {
    Event next = Event::kOpsDone;
    if (context->writes != 0 && !StoreResults(context) && answer == static_cast<long>(Answer::kResume)) {
      context->regs.rax = static_cast<uint64_t>(-kEFault);
    }
    if (answer == static_cast<long>(Answer::kResume)) {
      if (MayLeave(context, uc)) return;
      answer = AskInterrupt(context);
      continue;
    }
    if (answer == static_cast<long>(Answer::kExit)) {
      GiveBackLent(context);
      GiveBackRead(context);
      stub_call(__NR_exit, 0);
    }
    if (answer == static_cast<long>(Answer::kOps) || answer >= kFirstInjectedFd) {
      if (uc == nullptr && OpsNeedFrame(context)) Reframe(context, answer);
      if (CarryOutOps(context, uc)) {
        answer = static_cast<long>(Answer::kResume);
        continue;
      }
    } else if (answer == static_cast<long>(Answer::kClone)) {
      if (uc == nullptr) Reframe(context, answer);
      bool stop = false;
      const long result = RunClone(context, uc, SlotOf(context), &stop);
      if (result == 0) {  // the forked child: registers are loaded
        if (!stop) return;
        next = Event::kBorn;
      } else {
        context->op_result = result < 0 ? result : 0;
        context->ops_run = 1;
        if (result > 0 && context->report == 0) {
          answer = static_cast<long>(Answer::kResume);
          continue;
        }
      }
    } else if (answer == static_cast<long>(Answer::kAdopt) && uc != nullptr) {
      AwaitMaker(context);
      answer = static_cast<long>(Answer::kResume);
      continue;
    } else {
      Die();
    }
    answer = Ask(context, next);
  }
}

// A patched call, whose registers are in the context page.
extern "C" void stub_serve(Context* context) {
  if (AnswerQuickly(context, nullptr)) return;
  context->patch_site = 0;
  context->frame = 0;
  if (context->regs.orig_rax != __NR_mmap) GiveBackLent(context);
  if (context->regs.orig_rax == __NR_exit) LeaveFutexes(context);
  FillWindow(context);
  Obey(context, nullptr, Ask(context, Event::kSyscall));
}

// The end of a patched call that was interrupted.
extern "C" void stub_serve_interrupt(Context* context) {
  __atomic_store_n(&context->interrupted, 0, __ATOMIC_SEQ_CST);
  Obey(context, nullptr, AskInterrupt(context));
}

}  // namespace cloister::stub
