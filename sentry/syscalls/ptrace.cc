// ptrace(2): decoding of its requests. What they mean is in sentry/task/ptrace.h.

#include "sentry/task/ptrace.h"

#include <asm/prctl.h>
#include <linux/audit.h>
#include <linux/elf.h>
#include <linux/ptrace.h>
#include <sys/uio.h>

#include <cstddef>
#include <utility>

#include "sentry/syscalls/ptrace_registers.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/task/errand.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using task::Errand;
using task::Errands;
using task::ExtraRegisters;
using task::ForcedAccess;
using task::Kernel;
using task::Ptrace;
using task::Tracee;
using task::TraceMode;
using usermem::UserPtr;

// Of asm/ptrace-abi.h, which does not go with sys/user.h.
constexpr int kGetRegs = 12, kSetRegs = 13, kGetFpRegs = 14, kSetFpRegs = 15;
constexpr int kOldSetOptions = 21, kArchPrctl = 30, kSysemu = 31, kSysemuStep = 32;

constexpr size_t kWord = sizeof(uint64_t);
// struct user: glibc's lacks the last two words.
constexpr size_t kDebugRegisters = offsetof(struct user, u_debugreg), kUserArea = 928;

bool IsSignal(uint64_t number) { return number <= static_cast<uint64_t>(signal::kMaxSignal); }

// PTRACE_PEEKTEXT, PTRACE_POKETEXT and their kin: a word, whatever its page's protection.
struct WordCall {
  ForcedAccess memory;
  bool poke = false;
  uint64_t data = 0;

  static ErrnoOr<WordCall> Begin(Task& task, const SyscallArgs& args) {
    WordCall call;
    const int request = args.Int(0);
    call.poke = request == PTRACE_POKETEXT || request == PTRACE_POKEDATA;
    call.data = args.Raw(3);
    Ref<Task> target;
    {
      absl::MutexLock lock(&Kernel::tree_mu());
      target = Ref<Task>(Ptrace::FindStoppedLocked(task, args.Int(1)));
    }
    if (!target) return Errno::kSrch;
    Ref<mm::MemoryManager> mm = target->GetMm();
    if (!mm) return Errno::kIo;
    std::vector<std::byte> word(kWord);
    if (call.poke) std::memcpy(word.data(), &call.data, kWord);
    call.memory = ForcedAccess(std::move(target), std::move(mm), call.poke, args.Addr(2), std::move(word));
    return call;
  }

  Outcome Step(Task& task) {
    Block block;
    const ErrnoOr<size_t> done = memory.Step(&block);
    if (!done.ok()) return block;
    if (*done != kWord) return Answer(Errno::kIo);
    if (poke) return Answer(0);
    return task::ToAnswer(usermem::CopyOutBytes(task.space(), data, memory.bytes()));
  }
};

// What concerns registers. Those that the trap did not tell are fetched first, by the tracee itself; and
// set by it.
struct RegisterCall {
  int request = 0;
  pid_t pid = 0;
  uint64_t addr = 0, data = 0;
  iovec vector = {};
  std::vector<std::byte> input;  // copied from the tracer once
  std::vector<std::byte> output;
  Ref<Errand> errand;
  bool fp_stored = false;

  static ErrnoOr<RegisterCall> Begin(Task& task, const SyscallArgs& args) {
    RegisterCall call;
    call.request = args.Int(0);
    call.pid = args.Int(1);
    call.addr = args.Addr(2);
    call.data = args.Raw(3);
    {
      absl::MutexLock lock(&Kernel::tree_mu());
      if (Ptrace::FindStoppedLocked(task, call.pid) == nullptr) return Errno::kSrch;
    }
    const bool word = call.request == PTRACE_PEEKUSR || call.request == PTRACE_POKEUSR;
    if (word && (call.addr % kWord != 0 || call.addr >= kUserArea)) return Errno::kIo;
    TRY_VOID(call.CopyIn(task));
    return call;
  }

  ErrnoOrVoid CopyIn(Task& task) {
    uint64_t from = data;
    size_t size = 0;
    if (request == kSetRegs) size = sizeof(user_regs_struct);
    if (request == kSetFpRegs) size = sizeof(user_fpregs_struct);
    if (request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) {
      vector = TRY(task.CopyIn(UserPtr<const iovec>(data)));
      if (addr != NT_PRSTATUS && addr != NT_PRFPREG && addr != NT_X86_XSTATE) return Errno::kInval;
      if (vector.iov_len % kWord != 0 && vector.iov_len < LargestOf(addr)) return Errno::kInval;
    }
    if (request == PTRACE_SETREGSET) {
      size = std::min(vector.iov_len, LargestOf(addr));
      from = reinterpret_cast<uint64_t>(vector.iov_base);
    }
    input.resize(size);
    return usermem::CopyInBytes(task.space(), from, input);
  }

  static size_t LargestOf(uint64_t set) {
    constexpr size_t kLargestXstate = 16384;  // more than any processor's
    if (set == NT_PRSTATUS) return sizeof(user_regs_struct);
    return set == NT_PRFPREG ? sizeof(user_fpregs_struct) : kLargestXstate;
  }

  Outcome Step(Task& task) {
    for (;;) {
      if (errand) {
        if (!errand->done()) return Errands::BlockOn(errand);
        const ErrnoOrVoid taken = TakeErrand(task);
        if (!taken.ok()) return Answer(taken.error());
      }
      Ref<Task> target;
      Ref<Errand> next;
      Answer answer;
      {
        absl::MutexLock lock(&Kernel::tree_mu());
        target = Ref<Task>(Ptrace::FindStoppedLocked(task, pid));
        if (!target) return Answer(Errno::kSrch);
        if (Ptrace::StateLocked(*target).busy) return Ptrace::BlockWhileBusyLocked(*target);
        answer = ActLocked(*target, &next);
      }
      Block block;
      if (!next) return answer.failed() ? answer : CopyOut(task);
      const ErrnoOrVoid sent = Errands::Send(*target, next, &block);
      if (!sent.ok() && sent.error() == Errno::kAgain) return block;
      if (!sent.ok()) return Answer(sent.error());
      errand = std::move(next);
    }
  }

  ErrnoOrVoid TakeErrand(Task& task) {
    const Ref<Errand> done = std::exchange(errand, nullptr);
    if (done->failed && done->error == Errno::kAgain) return {};
    if (done->failed) return done->error == Errno::kSrch ? Errno::kSrch : Errno::kIo;
    absl::MutexLock lock(&Kernel::tree_mu());
    Task* const target = Ptrace::FindStoppedLocked(task, pid);
    if (target == nullptr) return Errno::kSrch;
    Tracee& state = Ptrace::StateLocked(*target);
    if (done->kind == Errand::Kind::kLoadRegisters) {
      state.extra = ExtraRegisters{done->fs_base, done->gs_base, std::move(done->bytes)};
    } else if (state.extra && done->kind == Errand::Kind::kStoreBases) {
      state.extra->fs_base = done->fs_base;
      state.extra->gs_base = done->gs_base;
    } else if (state.extra) {
      state.extra->fp = std::move(done->bytes);
      fp_stored = true;
    }
    return {};
  }

  bool NeedsExtra() const {
    if (request != PTRACE_PEEKUSR && request != PTRACE_POKEUSR) return true;
    return addr == offsetof(user_regs_struct, fs_base) || addr == offsetof(user_regs_struct, gs_base);
  }

  // Does it, or says in *next what has to be done before.
  Answer ActLocked(Task& target, Ref<Errand>* next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    Tracee& state = Ptrace::StateLocked(target);
    if (NeedsExtra() && !state.extra) {
      Ref<mm::MemoryManager> mm = target.GetMm();
      if (!mm) return Errno::kSrch;
      *next = MakeRef<Errand>(Errand::Kind::kLoadRegisters, std::move(mm));
      return 0;
    }
    const ExtraRegisters extra = state.extra.value_or(ExtraRegisters());
    user_regs_struct regs = ShowRegisters(Ptrace::RegistersLocked(target), extra);
    const auto regs_bytes = std::as_writable_bytes(std::span(&regs, 1));
    switch (request) {
      case PTRACE_PEEKUSR:
        return PeekUser(regs_bytes, state);
      case PTRACE_POKEUSR:
        if (addr >= sizeof regs) return PokeDebugLocked(target);
        std::memcpy(regs_bytes.data() + addr, &data, kWord);
        return SetRegistersLocked(target, regs, next);
      case kGetRegs:
        output.assign(regs_bytes.begin(), regs_bytes.end());
        return 0;
      case kGetFpRegs:
        output = ShowFpRegisters(extra.fp);
        return 0;
      case kSetRegs:
        std::copy(input.begin(), input.end(), regs_bytes.begin());
        return SetRegistersLocked(target, regs, next);
      case kSetFpRegs:
        return SetFpLocked(target, NT_PRFPREG, next);
      case kArchPrctl:
        return ArchPrctlLocked(target, regs, next);
      case PTRACE_GETREGSET:
        output = addr == NT_PRFPREG      ? ShowFpRegisters(extra.fp)
                 : addr == NT_X86_XSTATE ? ShowXstate(extra.fp)
                                         : std::vector<std::byte>(regs_bytes.begin(), regs_bytes.end());
        return 0;
      default:  // PTRACE_SETREGSET
        if (addr != NT_PRSTATUS) return SetFpLocked(target, addr, next);
        std::copy(input.begin(), input.end(), regs_bytes.begin());
        return SetRegistersLocked(target, regs, next);
    }
  }

  Answer PeekUser(std::span<const std::byte> regs, const Tracee& state) {
    uint64_t word = 0;
    if (addr < regs.size()) {
      std::memcpy(&word, regs.data() + addr, kWord);
    } else if (addr >= kDebugRegisters && addr < sizeof(struct user)) {
      word = state.debug.Get(static_cast<int>((addr - kDebugRegisters) / kWord));
    }
    const auto bytes = std::as_bytes(std::span(&word, 1));
    output.assign(bytes.begin(), bytes.end());
    return 0;
  }

  Answer PokeDebugLocked(Task& target) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    if (addr < kDebugRegisters || addr >= sizeof(struct user)) return Errno::kIo;
    const int number = static_cast<int>((addr - kDebugRegisters) / kWord);
    return task::ToAnswer(Ptrace::SetDebugRegisterLocked(target, number, data));
  }

  Answer SetRegistersLocked(Task& target, const user_regs_struct& wanted, Ref<Errand>* next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    const Tracee& state = Ptrace::StateLocked(target);
    platform::Registers regs = Ptrace::RegistersLocked(target);
    const ExtraRegisters before = state.extra.value_or(ExtraRegisters());
    ExtraRegisters extra = before;
    const ErrnoOrVoid taken = TakeRegisters(wanted, &regs, &extra);
    if (!taken.ok()) return taken.error();
    if (extra.fs_base != before.fs_base || extra.gs_base != before.gs_base) {
      *next = MakeRef<Errand>(Errand::Kind::kStoreBases, target.GetMm());
      (*next)->fs_base = extra.fs_base;
      (*next)->gs_base = extra.gs_base;
      return 0;
    }
    Ptrace::RegistersLocked(target) = regs;
    return 0;
  }

  Answer SetFpLocked(Task& target, uint64_t set, Ref<Errand>* next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    if (fp_stored) return 0;
    std::vector<std::byte> fp = Ptrace::StateLocked(target).extra->fp;
    const ErrnoOrVoid taken = set == NT_PRFPREG ? TakeFpRegisters(input, &fp) : TakeXstate(input, &fp);
    if (!taken.ok()) return taken.error();
    *next = MakeRef<Errand>(Errand::Kind::kStoreFp, target.GetMm());
    (*next)->bytes = std::move(fp);
    return 0;
  }

  // arch_prctl(2) of the tracee: data is the code, addr the address.
  Answer ArchPrctlLocked(Task& target, user_regs_struct regs, Ref<Errand>* next)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
    const bool fs = data == ARCH_GET_FS || data == ARCH_SET_FS;
    if (data == ARCH_GET_FS || data == ARCH_GET_GS) {
      const auto bytes = std::as_bytes(std::span(fs ? &regs.fs_base : &regs.gs_base, 1));
      output.assign(bytes.begin(), bytes.end());
      return 0;
    }
    if (data != ARCH_SET_FS && data != ARCH_SET_GS) return Errno::kInval;
    (fs ? regs.fs_base : regs.gs_base) = addr;
    const Answer answer = SetRegistersLocked(target, regs, next);
    return answer.failed() ? Answer(Errno::kPerm) : answer;
  }

  Answer CopyOut(Task& task) const {
    uint64_t to = request == kArchPrctl ? addr : data;
    size_t size = output.size();
    if (request == PTRACE_GETREGSET || request == PTRACE_SETREGSET) {
      size = std::min(vector.iov_len, request == PTRACE_GETREGSET ? output.size() : input.size());
      to = reinterpret_cast<uint64_t>(vector.iov_base);
    }
    if (!output.empty()) {
      const auto bytes = std::span(output).first(std::min(size, output.size()));
      if (!usermem::CopyOutBytes(task.space(), to, bytes).ok()) return Errno::kFault;
    }
    if (vector.iov_base == nullptr && vector.iov_len == 0) return 0;
    const UserPtr<uint64_t> length(data + offsetof(iovec, iov_len));
    return task::ToAnswer(task.CopyOut(length, size));
  }
};

// PTRACE_ATTACH, PTRACE_SEIZE. Whoever traces is to see the code as it was written: the tracee takes the
// patches of its process back, and gets no new ones.
struct AttachCall {
  Ref<Task> target;
  Ref<Errand> unpatch;
  bool sent = false;

  static ErrnoOr<AttachCall> Begin(Task& task, const SyscallArgs& args) {
    const bool seize = args.Int(0) == PTRACE_SEIZE;
    AttachCall call;
    call.target = task.kernel().FindTask(args.Int(1));
    if (!call.target) return Errno::kSrch;
    const uint64_t options = seize ? args.Raw(3) : 0;
    if (seize) {
      if (args.Raw(2) != 0 || (options & ~uint64_t{PTRACE_O_MASK})) return Errno::kIo;
      TRY_VOID(Ptrace::CheckOptions(options));
    }
    TRY_VOID(Ptrace::Attach(task, *call.target, seize, static_cast<uint32_t>(options)));
    return call;
  }

  Outcome Step(Task&) {
    for (;;) {
      if (sent && !unpatch->done()) return Errands::BlockOn(unpatch);
      // Another thread has come to that memory meanwhile: again.
      const bool over = sent && (!unpatch->failed || unpatch->error != Errno::kAgain);
      Ref<mm::MemoryManager> mm = target->GetMm();
      if (over || !mm) return Answer(0);
      unpatch = MakeRef<Errand>(Errand::Kind::kUnpatchCalls, std::move(mm));
      Block block;
      const ErrnoOrVoid result = Errands::Send(*target, unpatch, &block);
      sent = result.ok();
      if (!sent && result.error() == Errno::kAgain) return block;
      if (!sent) return Answer(0);  // it ends
    }
  }
};

// PTRACE_CONT and its kin.
ErrnoOrVoid ResumeLocked(Task& tracee, int request, uint64_t signo)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  if (!IsSignal(signo)) return Errno::kIo;
  if (request == PTRACE_DETACH) {
    Ptrace::DetachLocked(tracee, static_cast<int>(signo));
    return {};
  }
  const TraceMode mode = request == PTRACE_SYSCALL                      ? TraceMode::kSyscall
                         : request == kSysemu || request == kSysemuStep ? TraceMode::kSysemu
                                                                        : TraceMode::kCont;
  const bool step = request == PTRACE_SINGLESTEP || request == kSysemuStep;
  Ptrace::ResumeLocked(tracee, mode, step, static_cast<int>(signo));
  return {};
}

ErrnoOr<int64_t> GetSyscallInfo(const Tracee& state, const platform::Registers& regs,
                                std::vector<std::byte>* output, uint64_t size) {
  ptrace_syscall_info info = {};
  info.op = PTRACE_SYSCALL_INFO_NONE;
  info.arch = AUDIT_ARCH_X86_64;
  info.instruction_pointer = regs.rip;
  info.stack_pointer = regs.rsp;
  size_t actual = offsetof(ptrace_syscall_info, entry);
  const bool at_call = state.stop.info && state.stop.info->si_code == (SIGTRAP | 0x80);
  if (at_call && state.stop.message == PTRACE_EVENTMSG_SYSCALL_ENTRY) {
    info.op = PTRACE_SYSCALL_INFO_ENTRY;
    info.entry.nr = regs.orig_rax;
    const uint64_t args[] = {regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9};
    std::copy(std::begin(args), std::end(args), info.entry.args);
    actual = offsetof(ptrace_syscall_info, entry.args) + sizeof info.entry.args;
  } else if (at_call && state.stop.message == PTRACE_EVENTMSG_SYSCALL_EXIT) {
    info.op = PTRACE_SYSCALL_INFO_EXIT;
    info.exit.rval = static_cast<int64_t>(regs.rax);
    info.exit.is_error = info.exit.rval < 0 && info.exit.rval >= -4095;
    actual = offsetof(ptrace_syscall_info, exit.is_error) + sizeof info.exit.is_error;
  }
  const auto bytes = std::as_bytes(std::span(&info, 1)).first(std::min<uint64_t>(actual, size));
  output->assign(bytes.begin(), bytes.end());
  return static_cast<int64_t>(actual);
}

// Queued signals, without taking them. Returns their number.
ErrnoOr<int64_t> PeekSignalsLocked(Task& tracee, const ptrace_peeksiginfo_args& args,
                                   std::vector<std::byte>* output)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  if ((args.flags & ~PTRACE_PEEKSIGINFO_SHARED) || args.nr < 0) return Errno::kInval;
  const auto& pending = Ptrace::PendingLocked(tracee, (args.flags & PTRACE_PEEKSIGINFO_SHARED) != 0);
  const std::vector<siginfo_t> infos = pending.Peek(args.off, static_cast<size_t>(args.nr));
  const auto bytes = std::as_bytes(std::span(infos));
  output->assign(bytes.begin(), bytes.end());
  return static_cast<int64_t>(infos.size());
}

// What is answered at once, of what lies in `input`. To be copied to data: *output.
ErrnoOr<int64_t> InStopLocked(Task& tracee, const SyscallArgs& args, std::span<const std::byte> input,
                              std::vector<std::byte>* output)
    ABSL_EXCLUSIVE_LOCKS_REQUIRED(Kernel::tree_mu()) {
  Tracee& state = Ptrace::StateLocked(tracee);
  const auto put = [output](const auto& value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    output->assign(bytes.begin(), bytes.end());
  };
  const auto get = [input](auto* value) {
    std::copy(input.begin(), input.end(), std::as_writable_bytes(std::span(value, 1)).begin());
  };
  switch (args.Int(0)) {
    case PTRACE_SETOPTIONS:
    case kOldSetOptions:
      TRY_VOID(Ptrace::CheckOptions(args.Raw(3)));
      state.options = args.Uint(3);
      return 0;
    case PTRACE_GETEVENTMSG:
      put(state.stop.message);
      return 0;
    case PTRACE_GETSIGINFO:
      if (!state.stop.info) return Errno::kInval;
      put(*state.stop.info);
      return 0;
    case PTRACE_SETSIGINFO:
      if (!state.stop.info) return Errno::kInval;
      get(&*state.stop.info);
      return 0;
    case PTRACE_GETSIGMASK:
      if (args.Raw(2) != kWord) return Errno::kInval;
      put(Ptrace::MaskLocked(tracee).bits());
      return 0;
    case PTRACE_SETSIGMASK: {
      if (args.Raw(2) != kWord) return Errno::kInval;
      uint64_t bits = 0;
      get(&bits);
      Ptrace::SetMaskLocked(tracee, signal::SignalSet(bits));
      return 0;
    }
    case PTRACE_PEEKSIGINFO: {
      ptrace_peeksiginfo_args wanted = {};
      get(&wanted);
      return PeekSignalsLocked(tracee, wanted, output);
    }
    case PTRACE_GET_SYSCALL_INFO:
      return GetSyscallInfo(state, Ptrace::RegistersLocked(tracee), output, args.Raw(2));
    case PTRACE_LISTEN:
      TRY_VOID(Ptrace::ListenLocked(tracee));
      return 0;
    default:
      return Errno::kIo;
  }
}

// Bytes that a request takes from the tracer, and where they lie.
std::pair<uint64_t, size_t> InputOf(const SyscallArgs& args) {
  switch (args.Int(0)) {
    case PTRACE_SETSIGINFO:
      return {args.Addr(3), sizeof(siginfo_t)};
    case PTRACE_SETSIGMASK:
      return {args.Addr(3), args.Raw(2) == kWord ? kWord : 0};
    case PTRACE_PEEKSIGINFO:
      return {args.Addr(2), sizeof(ptrace_peeksiginfo_args)};
    default:
      return {0, 0};
  }
}

// Requests to one tracee that need nobody's help.
ErrnoOr<int64_t> Control(Task& task, const SyscallArgs& args) {
  const int request = args.Int(0);
  std::vector<std::byte> output;
  int64_t result;
  const auto [from, size] = InputOf(args);
  std::vector<std::byte> input(size);
  const ErrnoOrVoid copied = usermem::CopyInBytes(task.space(), from, input);
  {
    absl::MutexLock lock(&Kernel::tree_mu());
    Task* const tracee = request == PTRACE_INTERRUPT || request == PTRACE_KILL
                             ? Ptrace::FindLocked(task, args.Int(1))
                             : Ptrace::FindStoppedLocked(task, args.Int(1));
    if (tracee == nullptr) return Errno::kSrch;
    TRY_VOID(copied);
    switch (request) {
      case PTRACE_KILL: {
        siginfo_t kill = {};
        kill.si_signo = SIGKILL;
        Task::SendToGroupLocked(tracee->group(), kill);
        return 0;
      }
      case PTRACE_INTERRUPT:
        TRY_VOID(Ptrace::InterruptLocked(*tracee));
        return 0;
      case PTRACE_CONT:
      case PTRACE_SYSCALL:
      case PTRACE_SINGLESTEP:
      case kSysemu:
      case kSysemuStep:
      case PTRACE_DETACH:
        TRY_VOID(ResumeLocked(*tracee, request, args.Raw(3)));
        return 0;
      default:
        result = TRY(InStopLocked(*tracee, args, input, &output));
    }
  }
  TRY_VOID(usermem::CopyOutBytes(task.space(), args.Addr(3), output));
  return result;
}

Outcome PtraceSyscall(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked) {
  switch (args.Int(0)) {
    case PTRACE_TRACEME:
      return task::ToAnswer(Ptrace::TraceMe(task));
    case PTRACE_ATTACH:
    case PTRACE_SEIZE:
      return task::StartCall<AttachCall>(task, args, parked);
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
      return task::StartCall<WordCall>(task, args, parked);
    case PTRACE_PEEKUSR:
    case PTRACE_POKEUSR:
    case kGetRegs:
    case kSetRegs:
    case kGetFpRegs:
    case kSetFpRegs:
    case kArchPrctl:
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
      return task::StartCall<RegisterCall>(task, args, parked);
    default:
      return task::ToAnswer(Control(task, args));
  }
}

constexpr Entry kEntries[] = {
    {SYS_ptrace, PtraceSyscall, Support::kPartial,
     "hardware breakpoints are kept by single steps, and not for reading; no PTRACE_SINGLEBLOCK, "
     "PTRACE_O_SUSPEND_SECCOMP or selectors but those of 64-bit code"},
};

}  // namespace

std::span<const Entry> PtraceSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
