#include "tests/fuzz/machine.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "sentry/fs/cgroup/cgroup_fs.h"
#include "sentry/fs/dev/memory_devices.h"
#include "sentry/fs/mqueue/mqueue_fs.h"
#include "sentry/fs/overlay/overlay_fs.h"
#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/fs/proc/proc_fs.h"
#include "sentry/fs/sys/sys_fs.h"
#include "sentry/fs/tmp/tmp_fs.h"
#include "sentry/fs/tty/devpts.h"
#include "sentry/loader/test_elf.h"
#include "sentry/net/inet/host_stack.h"
#include "sentry/net/socket/net_namespace.h"
#include "sentry/syscalls/table.h"
#include "sentry/vfs/file_system_types.h"
#include "sentry/wait/poller.h"

namespace cloister::fuzz {
namespace {

constexpr size_t kMostThreads = 12;
constexpr uint64_t kMemory = 64 << 20;
constexpr int kMostTurns = 100;
constexpr const char* kProgram = "/bin/test";

void Require(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

// What boot does once in a sentry. Sockets of the internet are the host's own, in a network namespace of
// this process' own that has nothing but a loopback device.
void StartOnce() {
  static const bool started = [] {
    // Of great use and slow: it remembers the order in which every lock was ever taken.
    if (getenv("CLOISTER_FUZZ_LOCKS") == nullptr)
      absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
    pipe::ServeFifos();
    dev::RegisterMemoryDevices();
    Ref<net::Stack> stack;
    if (unshare(CLONE_NEWNET) == 0) {
      absl::StatusOr<Ref<net::HostStack>> host = net::HostStack::Create();
      if (host.ok()) stack = *std::move(host);
    }
    Require(wait::Poller::Get().Start().ok(), "no poller");
    net::NetNamespace::Install(MakeRef<net::NetNamespace>(std::move(stack)));
    return true;
  }();
  static_cast<void>(started);
}

task::Machine Hardware() {
  task::Machine machine;
  machine.total_memory = kMemory;
  machine.cpus = 2;
  return machine;
}

bool Names(const Value& value, std::string_view path) {
  for (const Item& item : value.items) {
    if (item.width == 0 ? item.bytes.find(path) != std::string::npos : Names(item.value, path)) return true;
  }
  return false;
}

bool Names(const Program& program, std::string_view path) {
  for (const Call& call : program.calls) {
    for (const Value& value : call.args) {
      if (Names(value, path)) return true;
    }
  }
  return false;
}

Ref<vfs::Mount> MountOf(const kernfs::Mountable& made, std::string type) {
  return MakeRef<vfs::Mount>(made.fs, vfs::Dentry::MakeRoot(made.root), 0, std::move(type));
}

// Returns when the poller's thread has done what it was at.
void WaitForPoller() {
  absl::Notification done;
  wait::Poller::Get().Post([&done] { done.Notify(); });
  done.WaitForNotification();
}

bool MakesTask(const abi::Signature& call) {
  return call.number == SYS_clone || call.number == SYS_clone3 || call.number == SYS_fork ||
         call.number == SYS_vfork;
}

}  // namespace

Machine::Machine(const Program& program) : program_(program) {
  StartOnce();
  for (std::atomic<int64_t>& value : registers_) value = -1;
  auto platform = std::make_unique<inproc::Inproc>();
  platform_ = platform.get();
  kernel_ = std::make_unique<task::Kernel>(std::move(platform), Hardware(), &syscalls::Dispatch);
  MakeTree();
  MountWhatIsNamed();
  StartProcess();
}

Machine::~Machine() {
  kernel_->KillAll(SIGKILL);
  platform_->Pump();
  // The poller's thread may be at a task that a timer has woken.
  for (int i = 0; i < kMostTurns && (!platform_->Threads().empty() || kernel_->task_count() != 0); ++i) {
    WaitForPoller();
    platform_->Pump();
  }
  WaitForPoller();
  Require(platform_->Threads().empty() && kernel_->task_count() == 0,
          "a task did not end when it was killed");
}

void Machine::PutFile(std::string_view path, std::string_view bytes) {
  const auto file = vfs::Open(caller_, caller_.cwd, path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
  Require(file.ok(), "a file of the tree cannot be made");
  auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(bytes)));
  Require((*file)->Write(buffer).ok(), "a file of the tree cannot be written");
}

void Machine::MountAt(std::string_view path, Ref<vfs::Mount> mount) {
  static_cast<void>(vfs::MakeDirectory(caller_, caller_.root, path, 0755));
  const ErrnoOr<vfs::Path> at = vfs::Resolve(caller_, caller_.root, path, {});
  Require(at.ok() && mounts_->Attach(std::move(mount), *at).ok(), "a file system cannot be mounted");
}

void Machine::MakeTree() {
  static const std::string program = loader::GoodElf(ET_EXEC, 0x400000).Bytes();
  tmp::TmpOptions options = tmp::TmpOptions::DefaultsFor(kMemory);
  options.mode = 0755;
  mounts_ = MakeRef<vfs::MountNamespace>(tmp::MountTmp(options, 0));
  caller_.cred = auth::Credentials::Root();
  caller_.mounts = mounts_;
  caller_.root = caller_.cwd = mounts_->RootPath();
  for (const char* path : {"/bin", "/d"}) {
    Require(vfs::MakeDirectory(caller_, caller_.root, path, 0755).ok(), "no directory");
  }
  PutFile(kProgram, program);
  PutFile("/a", "0123456789");
  PutFile("/d/a", "#!/bin/test x\n");
  Require(vfs::MakeSymlink(caller_, "d/a", caller_.root, "/s").ok(), "no link");
  Require(vfs::MakeNode(caller_, caller_.root, "/f", S_IFIFO | 0666, 0).ok(), "no fifo");
}

void Machine::MountWhatIsNamed() {
  if (Names(program_, "/dev")) {
    for (const char* path : {"/dev", "/dev/shm"}) {
      Require(vfs::MakeDirectory(caller_, caller_.root, path, 0755).ok(), "no directory");
    }
    const std::pair<const char*, dev_t> kDevices[] = {
        {"/dev/null", makedev(1, 3)}, {"/dev/zero", makedev(1, 5)},    {"/dev/full", makedev(1, 7)},
        {"/dev/tty", makedev(5, 0)},  {"/dev/urandom", makedev(1, 9)}, {"/dev/ptmx", makedev(5, 2)}};
    for (const auto& [path, number] : kDevices) {
      Require(vfs::MakeNode(caller_, caller_.root, path, S_IFCHR | 0666, number).ok(), "no device");
    }
    const auto devpts = MakeRef<tty::DevPts>(*kernel_, tty::DevPts::Options());
    tty::RegisterTerminalDevices([devpts] { return devpts; });
    MountAt("/dev/pts", MountOf(devpts->Mount(), "devpts"));
  }
  if (Names(program_, "/proc")) MountAt("/proc", MountOf(proc::MakeProc(*kernel_), "proc"));
  if (Names(program_, "/sys")) {
    MountAt("/sys", MountOf(sys::MakeSys(*kernel_), "sysfs"));
    MountAt("/sys/fs/cgroup", MountOf(cgroup::MakeCgroup2(*kernel_), "cgroup2"));
  }
  if (Names(program_, "/mq")) MountAt("/mq", mqueue::MountMqueue(*kernel_->ipc(), 0, "mqueue"));
  if (Names(program_, "/o")) MountOverlay();
  vfs::FileSystemTypes::Get().Register("proc", [this](const vfs::NewMount&) -> ErrnoOr<Ref<vfs::Mount>> {
    return MountOf(proc::MakeProc(*kernel_), "proc");
  });
}

void Machine::MountOverlay() {
  const tmp::TmpOptions options = tmp::TmpOptions::DefaultsFor(kMemory);
  const Ref<vfs::Mount> upper = tmp::MountTmp(options, 0), lower = tmp::MountTmp(options, 0);
  for (const auto& [name, mode] : {std::pair("a", S_IFREG | 0666), std::pair("d", S_IFDIR | 0777)}) {
    vfs::NewNode node;
    node.mode = static_cast<mode_t>(mode);
    Require(lower->root()->inode()->AsDirectory()->Create(name, node).ok(), "no lower file");
  }
  const ErrnoOr<overlay::Layer> layer =
      overlay::Make({Ref<vfs::FileSystem>(&lower->fs()), lower->root()->inode()},
                    {Ref<vfs::FileSystem>(&upper->fs()), upper->root()->inode()});
  Require(layer.ok(), "no overlay");
  MountAt("/o", MakeRef<vfs::Mount>(layer->fs, vfs::Dentry::MakeRoot(layer->root), 0, "overlay"));
}

void Machine::StartProcess() {
  task::Kernel::NewProcess process;
  const auto file = vfs::Open(caller_, caller_.cwd, kProgram, O_RDONLY, 0);
  Require(file.ok(), "no program");
  process.exec.file = *file;
  process.exec.path = kProgram;
  process.exec.argv = {"test"};
  process.cred = caller_.cred;
  process.fs = MakeRef<task::FsContext>(mounts_, caller_.root, caller_.cwd, 022);
  process.files = MakeRef<vfs::FdTable>();
  process.limits = {{RLIMIT_AS, {kMemory, kMemory}}};
  process.is_init = true;
  const ErrnoOr<Ref<task::ThreadGroup>> group = kernel_->CreateProcess(std::move(process));
  Require(group.ok() && kernel_->Release(**group).ok(), "the first process does not start");
  platform_->Pump();
  Require(platform_->Threads().size() == 1, "the first process does not run");
}

Ref<inproc::Thread> Machine::Choose(int task, int half) {
  std::vector<Ref<inproc::Thread>> threads = platform_->Threads();
  std::erase_if(threads, [half](const Ref<inproc::Thread>& thread) {
    return (half >= 0 && thread->host_tid() % 2 != half) ||
           thread->state() != inproc::Thread::State::kRunning;
  });
  if (threads.empty()) return nullptr;
  return threads[static_cast<size_t>(task) % threads.size()];
}

uint64_t Machine::Evaluate(inproc::Thread& thread, const Value& value) {
  uint64_t loaded = 0;
  switch (value.kind) {
    case Value::Kind::kNumber:
      return value.number;
    case Value::Kind::kRegister:
      return static_cast<uint64_t>(registers_[value.number % kRegisters].load());
    case Value::Kind::kLoad4:
      thread.space().Read(kScratch + value.number, std::as_writable_bytes(std::span(&loaded, 1)).first(4));
      return static_cast<uint64_t>(int64_t{static_cast<int32_t>(loaded)});
    case Value::Kind::kLoad8:
      thread.space().Read(kScratch + value.number, std::as_writable_bytes(std::span(&loaded, 1)));
      return loaded;
    case Value::Kind::kPointer:
      break;
  }
  if (value.items.empty()) return kScratch + value.number;
  std::string bytes;
  for (const Item& item : value.items) {
    bytes += item.bytes;
    if (item.width == 0) continue;
    const uint64_t member = Evaluate(thread, item.value);
    bytes.append(reinterpret_cast<const char*>(&member), item.width);
  }
  thread.space().Write(kScratch + value.number, std::as_bytes(std::span(bytes)));
  return kScratch + value.number;
}

void Machine::Make(inproc::Thread& thread, const Call& call) {
  if (MakesTask(*call.signature) && platform_->Threads().size() >= kMostThreads) return;
  // A process that has executed a program, or given its memory away, gets it back.
  if (thread.space().ProtectionAt(kScratch) == -1) {
    thread.Syscall(SYS_mmap, {kScratch, kScratchSize, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, ~uint64_t{0}, 0});
    if (thread.state() != inproc::Thread::State::kRunning) return;
  }
  uint64_t args[6] = {};
  for (size_t i = 0; i < call.args.size() && i < 6; ++i) args[i] = Evaluate(thread, call.args[i]);
  calls_.fetch_add(1, std::memory_order_relaxed);
  const std::optional<int64_t> result =
      thread.Syscall(call.signature->number, {args[0], args[1], args[2], args[3], args[4], args[5]});
  if (call.into >= 0 && result.has_value()) registers_[static_cast<size_t>(call.into)] = *result;
}

void Machine::RunHalf(int half) {
  for (const Call& call : program_.calls) {
    if (half >= 0 && call.task % 2 != half) continue;
    Ref<inproc::Thread> thread = Choose(call.task, half);
    if (!thread) platform_->Pump();
    if (!thread) thread = Choose(call.task, half);
    if (thread) Make(*thread, call);
  }
}

size_t Machine::Run() {
  if (!program_.races) {
    RunHalf(-1);
    return calls_;
  }
  // Two processes' worth of threads, so that each half has one of either.
  const Ref<inproc::Thread> first = Choose(0, -1);
  constexpr uint64_t kThread = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
  for (const uint64_t flags : {kThread, uint64_t{SIGCHLD}, kThread}) {
    first->Syscall(SYS_clone, {flags, flags == kThread ? kScratch + kScratchSize : 0, 0, 0, 0, 0});
  }
  std::thread other([this] { RunHalf(1); });
  RunHalf(0);
  other.join();
  return calls_;
}

}  // namespace cloister::fuzz
