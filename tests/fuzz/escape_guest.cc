// A guest that attacks its sandbox from inside: tools/fuzz escape runs it there.
//
// usage: escape_guest SEED ATTACKS   that many children, each with threads that attack and threads that work;
//                                    42 when all have been waited for
//        escape_guest well           does a little of everything and says "well"
//
// It knows the layout of the stub (platform/stub/layout.h), as any guest may.

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <iterator>

#include "platform/stub/layout.h"

namespace cloister::escape {
namespace {

constexpr int kWorkers = 2, kAttackers = 2;
constexpr int kSteps = 200;         // of an attacker
constexpr int kChildMs = 250;       // then it is killed
constexpr uint64_t kSlotsUsed = 8;  // the first slots are those that are given out
constexpr size_t kPage = 4096;
constexpr size_t kArena = 4 << 20;

struct Random {
  uint64_t state;
  uint64_t Next() {
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return Next() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }
};

// Of all children, so that it shows whether the attacks come to anything.
struct Counts {
  std::atomic<uint64_t> steps, faults, calls;
};
Counts* counts;

uint8_t* arena;  // of the guest's own, all rights
uint8_t* code;   // a page of code that is changed while it runs
char* own_path;
sigset_t child_ended;

// ---- What an attack is made of ----

// rax, rdi, rsi, rdx, r10, r8, r9, then rbx, rbp, r12 to r15, rsp and flags.
struct Registers {
  uint64_t nr, args[6], rbx, rbp, r12, r13, r14, r15, rsp, flags;
};

// Makes a call with these registers, from `at`: a `syscall; ret`, or anything else. An rsp of 0 stays as it
// is; from any other there is no way back but a fault.
extern "C" uint64_t escape_call(const Registers* regs, uint64_t at);
asm(R"(
  .text
  .globl escape_call
  .type escape_call, @function
escape_call:
  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15
  mov %rsi, %r11
  lea 1f(%rip), %rcx
  push %rcx
  mov 104(%rdi), %rax
  test %rax, %rax
  cmove %rsp, %rax
  push 112(%rdi); popf
  mov %rax, %rsp
  mov 0(%rdi), %rax; mov 16(%rdi), %rsi; mov 24(%rdi), %rdx; mov 32(%rdi), %r10
  mov 40(%rdi), %r8; mov 48(%rdi), %r9; mov 56(%rdi), %rbx; mov 64(%rdi), %rbp
  mov 72(%rdi), %r12; mov 80(%rdi), %r13; mov 88(%rdi), %r14; mov 96(%rdi), %r15
  mov 8(%rdi), %rdi
  jmp *%r11
1: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx
  cld
  ret
  .globl escape_syscall
escape_syscall:
  syscall
  ret
  .size escape_call, .-escape_call

  .section .escape_site, "ax", @progbits
  .balign 4096
  .globl escape_site
escape_site:
  mov $39, %eax
  syscall
  ret
  .balign 4096
  .text
)");
extern "C" void escape_syscall();
extern "C" uint64_t escape_site();

thread_local sigjmp_buf back;
thread_local bool can_go_back;

uint64_t Raw(uint64_t nr, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
             uint64_t f = 0) {
  Registers regs = {nr, {a, b, c, d, e, f}, 0, 0, 0, 0, 0, 0, 0, 0x202};
  return escape_call(&regs, reinterpret_cast<uint64_t>(&escape_syscall));
}

uint64_t ByGate(uint64_t nr, uint64_t a = 0, uint64_t b = 0, uint64_t c = 0, uint64_t d = 0, uint64_t e = 0,
                uint64_t f = 0) {
  Registers regs = {nr, {a, b, c, d, e, f}, 0, 0, 0, 0, 0, 0, 0, 0x202};
  return escape_call(&regs, stub::kGate);
}

uint64_t StubAddress(Random& random) {
  const uint64_t slot = random.Below(kSlotsUsed);
  switch (random.Below(7)) {
    case 0:
      return stub::kImageBase + random.Below(16 * kPage);
    case 1:
      return stub::kGate + random.Below(4);
    case 2:
      return stub::StackAddress(slot) + random.Below(stub::kStackBytes);
    case 3:
      return stub::kPatchBase + random.Below(stub::kPatchBytes);
    case 4:
      return stub::kReservedEnd - random.Below(1 << 22);
    default:
      return stub::ContextAddress(slot) + random.Below(random.OneIn(3) ? stub::kContextBytes : 2048);
  }
}

uint64_t Interesting(Random& random) {
  static constexpr uint64_t kNumbers[] = {0,
                                          1,
                                          2,
                                          3,
                                          4,
                                          8,
                                          10,
                                          4095,
                                          4096,
                                          65535,
                                          UINT32_MAX,
                                          INT64_MAX,
                                          ~uint64_t{0},
                                          1ull << 63,
                                          1ull << 47,
                                          (1ull << 47) - 4096};
  switch (random.Below(8)) {
    case 0:
    case 1:
      return StubAddress(random) & ~(random.OneIn(2) ? kPage - 1 : 0);
    case 2:
      return reinterpret_cast<uint64_t>(arena) + random.Below(kArena);
    case 3:
      return random.Next();
    case 4:
      return random.Below(256);
    case 5:
      return uint64_t{1} << random.Below(64);
    default:
      return kNumbers[random.Below(std::size(kNumbers))];
  }
}

// ---- Attacks ----

// Calls that would end the attack at once are left to ByGate and Race.
void HostileRegisters(Random& random) {
  Registers regs;
  for (uint64_t* reg = &regs.nr; reg <= &regs.flags; ++reg) *reg = Interesting(random);
  regs.nr = random.OneIn(8) ? Interesting(random) : random.OneIn(20) ? stub::kDoorbellNr : random.Below(470);
  if (regs.nr == SYS_exit_group || regs.nr == SYS_pause || regs.nr == SYS_rt_sigsuspend) regs.nr = SYS_getpid;
  // A stack of the attack's choice cannot be come back from but by a fault.
  regs.rsp = random.OneIn(12) ? Interesting(random) : 0;
  regs.flags = 0x202 | (random.OneIn(6) ? 0x400 : 0) | (random.OneIn(6) ? 0x100 : 0) |
               (random.OneIn(6) ? 0x40000 : 0) | (random.Next() & 0x8d5);
  escape_call(&regs, reinterpret_cast<uint64_t>(&escape_syscall));
}

void JumpIntoStub(Random& random) {
  static constexpr uint64_t kCalls[] = {
      SYS_mmap,          SYS_munmap,        SYS_mprotect,      SYS_mremap,         SYS_madvise,
      SYS_arch_prctl,    SYS_futex,         SYS_close,         SYS_rt_sigprocmask, SYS_rt_sigreturn,
      SYS_clone,         SYS_exit,          SYS_exit_group,    SYS_sendmsg,        449,
      SYS_close_range,   SYS_fork,          SYS_execve,        SYS_openat,         SYS_ptrace,
      stub::kDoorbellNr, stub::kDoorbellNr, stub::kDoorbellNr, SYS_sched_yield};
  Registers regs;
  for (uint64_t* reg = &regs.nr; reg <= &regs.flags; ++reg) *reg = Interesting(random);
  regs.nr = kCalls[random.Below(std::size(kCalls))];
  // What ends the process is rare, so that others get to their turn.
  if ((regs.nr == SYS_exit || regs.nr == SYS_exit_group) && !random.OneIn(10)) regs.nr = stub::kDoorbellNr;
  if (regs.nr == stub::kDoorbellNr) regs.args[0] = random.Below(12);
  if (regs.nr == SYS_mmap && random.OneIn(2)) {
    regs.args[1] = kPage * random.Below(64);
    regs.args[2] = random.Below(8);
    regs.args[3] = MAP_PRIVATE | (random.OneIn(2) ? MAP_FIXED : 0) | (random.OneIn(2) ? MAP_ANONYMOUS : 0);
    regs.args[4] = random.Below(16);
  }
  // Descriptors that a stub holds: its boot socket, the memory of all context pages, files that it was lent.
  if (regs.nr == SYS_close || regs.nr == SYS_close_range || regs.nr == SYS_sendmsg)
    regs.args[0] = random.Below(14);
  regs.rsp = 0;
  regs.flags = 0x202 | (random.OneIn(8) ? 0x100 : 0);
  const bool elsewhere = random.OneIn(5);
  escape_call(&regs, elsewhere ? stub::kImageBase + random.Below(6 * kPage) : stub::kGate);
}

void CorruptContext(Random& random) {
  for (uint64_t writes = 1 + random.Below(64); writes > 0; --writes) {
    const uint64_t at = stub::ContextAddress(random.Below(kSlotsUsed)) +
                        (random.OneIn(4) ? random.Below(stub::kContextBytes - 8) : random.Below(2048));
    if (random.OneIn(2)) {
      *reinterpret_cast<volatile uint64_t*>(at & ~uint64_t{7}) = Interesting(random);
    } else {
      *reinterpret_cast<volatile uint32_t*>(at & ~uint64_t{3}) = static_cast<uint32_t>(random.Below(16));
    }
  }
}

// A flood over one word, for checks that look twice.
void FlipContextWord(Random& random) {
  const uint64_t at = (stub::ContextAddress(random.Below(4)) + random.Below(1536)) & ~uint64_t{7};
  volatile uint64_t* const word = reinterpret_cast<volatile uint64_t*>(at);
  const uint64_t before = *word, other = Interesting(random);
  for (int i = 0; i < 20000; ++i) *word = (i & 1) != 0 ? before : other;
}

void CorruptStub(Random& random) {
  const uint64_t at = StubAddress(random) & ~(kPage - 1);
  switch (random.Below(5)) {
    case 0:
      ByGate(SYS_munmap, at, kPage * (1 + random.Below(16)));
      return;
    case 1:
      ByGate(SYS_mprotect, at, kPage * (1 + random.Below(4)), random.Below(8));
      return;
    case 2:
      ByGate(SYS_mmap, at, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
             ~uint64_t{0}, 0);
      return;
    case 3:
      ByGate(SYS_mremap, at, kPage, kPage, MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<uint64_t>(arena));
      return;
    default:
      if (ByGate(SYS_mprotect, at, kPage, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return;
      for (int i = 0; i < 16; ++i) {
        reinterpret_cast<volatile uint8_t*>(at)[random.Below(kPage)] = static_cast<uint8_t>(random.Next());
      }
  }
}

// The sentry is asked to reach for the stub, and for what is not there.
void PointersIntoStub(Random& random) {
  const int memory = open("/proc/self/mem", O_RDWR);
  const uint64_t at = StubAddress(random);
  uint64_t value = Interesting(random);
  Raw(SYS_pwrite64, static_cast<uint64_t>(memory), reinterpret_cast<uint64_t>(&value), 8, at);
  Raw(SYS_pread64, static_cast<uint64_t>(memory), at, 64, reinterpret_cast<uint64_t>(arena));
  Raw(SYS_uname, at);
  Raw(SYS_getcwd, at, 64);
  iovec local = {&value, 8}, remote = {reinterpret_cast<void*>(at), 8};
  process_vm_writev(getpid(), &local, 1, &remote, 1, 0);
  Raw(SYS_mprotect, at & ~(kPage - 1), kPage, random.Below(8));
  Raw(SYS_munmap, at & ~(kPage - 1), kPage);
  Raw(SYS_mmap, at & ~(kPage - 1), kPage, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~uint64_t{0}, 0);
  Raw(SYS_madvise, at & ~(kPage - 1), kPage, MADV_DONTNEED);
  Raw(SYS_set_robust_list, at, 24);
  Raw(SYS_set_tid_address, at);
  Raw(SYS_futex, at, random.Below(14), 0, 0, at, 0);
  close(memory);
}

// Code that other threads run meanwhile: on a page of its own, and where the stub patches calls.
void ModifyCode(Random& random) {
  static constexpr uint8_t kBytes[][7] = {{0xb8, 0x27, 0, 0, 0, 0x0f, 0x05},  // mov $39,%eax; syscall
                                          {0xb8, 0x6e, 0, 0, 0, 0x0f, 0x05},  // mov $110,%eax; syscall
                                          {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3},
                                          {0xff, 0x24, 0x25, 0, 0, 6, 0},  // jmp *0x60000
                                          {0xcc, 0xc3, 0x0f, 0x05, 0xc3, 0x90, 0xc3}};
  const uint8_t* const bytes = kBytes[random.Below(std::size(kBytes))];
  uint8_t* const site = reinterpret_cast<uint8_t*>(reinterpret_cast<uint64_t>(&escape_site));
  uint8_t* const to = random.OneIn(2) ? code : site;
  if (to == site) Raw(SYS_mprotect, reinterpret_cast<uint64_t>(site), kPage, 7);
  for (size_t i = 0; i < 7; ++i) const_cast<volatile uint8_t*>(to)[i] = bytes[random.OneIn(30) ? 0 : i];
  if (to == site && random.OneIn(2))
    Raw(SYS_mprotect, reinterpret_cast<uint64_t>(site), kPage, PROT_READ | PROT_EXEC);
}

void Race(Random& random) {
  const uint64_t at = reinterpret_cast<uint64_t>(arena) + kPage * random.Below(kArena / kPage);
  switch (random.Below(10)) {
    case 0:
      Raw(SYS_munmap, at, kPage * random.Below(8));
      return;
    case 1:
      Raw(SYS_mmap, at, kPage * (1 + random.Below(8)), 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
          ~uint64_t{0}, 0);
      return;
    case 2: {
      const int file = open(own_path, O_RDONLY);
      Raw(SYS_mmap, at, kPage * (1 + random.Below(8)), 5, MAP_PRIVATE | MAP_FIXED,
          static_cast<uint64_t>(file), 0);
      close(file);
      return;
    }
    case 3:
    case 4: {
      const uint64_t child = Raw(SYS_fork);
      if (child == 0) {
        if (random.OneIn(2)) Raw(SYS_execve, reinterpret_cast<uint64_t>(own_path), 0, 0);
        Raw(SYS_exit_group, 0);
      }
      return;
    }
    case 5:
      Raw(SYS_tgkill, static_cast<uint64_t>(getpid()), static_cast<uint64_t>(getpid()) + random.Below(6),
          1 + random.Below(64));
      return;
    case 6:
      Raw(SYS_mremap, at, kPage * random.Below(8), kPage * random.Below(16), MREMAP_MAYMOVE);
      return;
    case 7:
      if (random.OneIn(20)) Raw(SYS_exit, 0);
      return;
    case 8:
      if (random.OneIn(100)) Raw(SYS_execve, reinterpret_cast<uint64_t>(own_path), 0, 0);
      return;
    default:
      Raw(SYS_mprotect, at, kPage * random.Below(8), random.Below(8));
  }
}

// A signal frame of the attack's own making, by the call and by the gate.
void ForgeFrame(Random& random) {
  uint64_t frame[160];
  for (uint64_t& word : frame) word = random.OneIn(3) ? Interesting(random) : 0;
  Registers regs = {};
  regs.nr = SYS_rt_sigreturn;
  regs.flags = 0x202;
  regs.rsp = reinterpret_cast<uint64_t>(frame);
  escape_call(&regs, random.OneIn(2) ? stub::kGate : reinterpret_cast<uint64_t>(&escape_syscall));
}

void Segments(Random& random) {
  if (random.OneIn(2)) {
    asm volatile("wrgsbase %0" : : "r"(StubAddress(random)));
  } else {
    Raw(SYS_arch_prctl, 0x1001 /* ARCH_SET_GS */, StubAddress(random));
  }
}

struct Attack {
  const char* name;
  void (*run)(Random&);
};
constexpr Attack kAttacks[] = {
    {"registers", HostileRegisters},
    {"gate", JumpIntoStub},
    {"context", CorruptContext},
    {"flips", FlipContextWord},
    {"stub", CorruptStub},
    {"pointers", PointersIntoStub},
    {"code", ModifyCode},
    {"races", Race},
    {"frames", ForgeFrame},
    {"segments", Segments},
};

// ---- One child ----

void OnFault(int signo, siginfo_t*, void* context) {
  constexpr greg_t kTrapFlag = 0x100;
  thread_local int single_steps = 0;
  auto& flags = static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_EFL];
  if (signo == SIGTRAP && (flags & kTrapFlag) != 0) {  // through the call, and some way on
    if (++single_steps % 64 == 0) flags &= ~kTrapFlag;
    return;
  }
  counts->faults.fetch_add(1);
  if (can_go_back) siglongjmp(back, 1);
  _exit(1);
}

void HandleFaults() {
  struct sigaction action = {};
  action.sa_sigaction = OnFault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (const int signo : {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE, SIGSYS})
    sigaction(signo, &action, nullptr);
}

void OwnSignalStack() {
  const stack_t stack = {mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                         0, 1 << 16};
  sigaltstack(&stack, nullptr);
}

struct Orders {
  uint64_t seed;
  size_t attack;  // the main one
};

void* AttackFor(void* given) {
  const Orders* const orders = static_cast<Orders*>(given);
  Random random = {orders->seed};
  OwnSignalStack();
  volatile int steps = 0;
  sigsetjmp(back, 1);
  can_go_back = true;
  while (steps < kSteps) {
    steps = steps + 1;
    counts->steps.fetch_add(1);
    const size_t which = random.OneIn(4) ? random.Below(std::size(kAttacks)) : orders->attack;
    kAttacks[which].run(random);
  }
  return nullptr;
}

// Ordinary work, for the attack to hit.
void* WorkFor(void* given) {
  Random random = {*static_cast<uint64_t*>(given)};
  OwnSignalStack();
  int ends[2];
  if (pipe(ends) != 0) return nullptr;
  sigsetjmp(back, 1);
  can_go_back = true;
  auto* const page_call = reinterpret_cast<uint64_t (*)()>(code);
  for (;;) {
    counts->calls.fetch_add(1);
    char byte = 0;
    switch (random.Below(7)) {
      case 0:
        escape_site();
        break;
      case 1:
        page_call();
        break;
      case 2:
        if (write(ends[1], &byte, 1) == 1 && read(ends[0], &byte, 1) != 1) return nullptr;
        break;
      case 3:
        munmap(mmap(nullptr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), kPage);
        break;
      case 4:
        close(open(own_path, O_RDONLY));
        break;
      case 5:
        sched_yield();
        break;
      default:
        syscall(SYS_gettid);
    }
  }
}

[[noreturn]] void RunChild(uint64_t seed, size_t attack) {
  sigprocmask(SIG_UNBLOCK, &child_ended, nullptr);
  HandleFaults();
  Random random = {seed};
  static Orders orders[kAttackers];
  static uint64_t seeds[kWorkers];
  pthread_t thread;
  for (uint64_t& own : seeds) {
    own = random.Next();
    pthread_create(&thread, nullptr, WorkFor, &own);
  }
  for (Orders& own : orders) {
    own = {random.Next(), attack};
    pthread_create(&thread, nullptr, AttackFor, &own);
  }
  pthread_join(thread, nullptr);
  _exit(0);
}

void Reap(pid_t child) {
  constexpr int kLook = 5;
  constexpr timespec kUntilNextLook = {0, kLook * 1'000'000};
  // A signal may be of another child.
  for (int waited = 0; waited < kChildMs;) {
    if (waitpid(child, nullptr, WNOHANG) == child) return;
    if (sigtimedwait(&child_ended, nullptr, &kUntilNextLook) < 0) waited += kLook;
  }
  kill(-1, SIGKILL);  // init of its pid namespace: all others
  waitpid(child, nullptr, 0);
}

int Attack(uint64_t seed, int attacks) {
  Random random = {seed};
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  counts =
      static_cast<Counts*>(mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  arena = static_cast<uint8_t*>(
      mmap(nullptr, kArena, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  code = static_cast<uint8_t*>(
      mmap(nullptr, kPage, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  memset(code, 0xc3, kPage);
  for (int i = 0; i < attacks; ++i) {
    const uint64_t own = random.Next();
    const size_t attack = random.Below(std::size(kAttacks));
    printf("%d %s %016lx\n", i, kAttacks[attack].name, static_cast<unsigned long>(own));
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) RunChild(own, attack);
    Reap(child);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
  printf("%lu steps, %lu faults, %lu ordinary calls meanwhile\n", counts->steps.load(), counts->faults.load(),
         counts->calls.load());
  return 42;
}

int BeWell() {
  int ends[2], status = 0;
  char text[5] = {};
  const pid_t child = pipe(ends) == 0 ? fork() : -1;
  if (child == 0) _exit(write(ends[1], "well", 4) == 4 ? 7 : 1);
  if (waitpid(child, &status, 0) != child || WEXITSTATUS(status) != 7) return 1;
  if (read(ends[0], text, 4) != 4) return 2;
  const int file = open("/work/file", O_RDWR | O_CREAT, 0600);
  if (write(file, text, 4) != 4 || pread(file, text, 4, 0) != 4) return 3;
  puts(text);
  return 0;
}

}  // namespace
}  // namespace cloister::escape

int main(int argc, char** argv) {
  using namespace cloister::escape;
  own_path = argc > 0 ? argv[0] : nullptr;
  if (argc == 2 && strcmp(argv[1], "well") == 0) return BeWell();
  if (argc != 3) return 0;
  return Attack(strtoull(argv[1], nullptr, 0), atoi(argv[2]));
}
