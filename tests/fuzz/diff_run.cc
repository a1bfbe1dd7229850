// Runs programs of system calls natively, each in a process and a directory of its own, and prints what came
// of them. tools/fuzz diff runs it on the host and in a sandbox, and compares.
//
// usage: diff_run SEED COUNT      the programs of COUNT seeds from SEED on
//        diff_run FILE            one program
//        diff_run --print SEED    the text of one seed's program, without running it

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "runsc/program/evaluate.h"
#include "tests/fuzz/generator.h"
#include "tests/fuzz/program.h"

namespace cloister::fuzz {
namespace {

constexpr size_t kLogBytes = 1 << 20;
constexpr size_t kCallsEach = 24;

// What a program's process says; its parent reads it, even if the process was killed.
struct Log {
  size_t used;
  char text[kLogBytes - sizeof(size_t)];
};
Log* the_log = nullptr;

void Say(const char* format, auto... args) {
  const size_t room = sizeof(the_log->text) - the_log->used;
  const int size = snprintf(the_log->text + the_log->used, room, format, args...);
  if (size > 0 && static_cast<size_t>(size) < room) the_log->used += static_cast<size_t>(size);
}

uint64_t Hash(const void* data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  const auto* const words = static_cast<const uint64_t*>(data);
  for (size_t i = 0; i < size / sizeof(uint64_t); ++i) hash = (hash ^ words[i]) * 0x100000001b3;
  const auto* const bytes = static_cast<const uint8_t*>(data);
  for (size_t i = size / sizeof(uint64_t) * sizeof(uint64_t); i < size; ++i)
    hash = (hash ^ bytes[i]) * 0x100000001b3;
  return hash;
}

// Calls whose results are the same wherever they are made: about files, descriptors, pipes, sockets and
// signals; nothing of time, of numbers of processes, or of where memory lies.
const char* const kCalls[] = {"read",
                              "write",
                              "open",
                              "close",
                              "stat",
                              "fstat",
                              "lstat",
                              "lseek",
                              "pread64",
                              "pwrite64",
                              "readv",
                              "writev",
                              "access",
                              "pipe",
                              "dup",
                              "dup2",
                              "sendfile",
                              "socket",
                              "socketpair",
                              "shutdown",
                              "fcntl",
                              "flock",
                              "truncate",
                              "ftruncate",
                              "getcwd",
                              "chdir",
                              "fchdir",
                              "rename",
                              "mkdir",
                              "rmdir",
                              "creat",
                              "link",
                              "unlink",
                              "symlink",
                              "readlink",
                              "chmod",
                              "fchmod",
                              "chown",
                              "fchown",
                              "lchown",
                              "umask",
                              "mknod",
                              "openat",
                              "mkdirat",
                              "mknodat",
                              "fchownat",
                              "newfstatat",
                              "unlinkat",
                              "renameat",
                              "linkat",
                              "symlinkat",
                              "readlinkat",
                              "fchmodat",
                              "faccessat",
                              "dup3",
                              "pipe2",
                              "preadv",
                              "pwritev",
                              "renameat2",
                              "memfd_create",
                              "copy_file_range",
                              "statx",
                              "faccessat2",
                              "openat2",
                              "close_range",
                              "fallocate",
                              "eventfd2",
                              "epoll_create1",
                              "epoll_ctl",
                              "splice",
                              "tee",
                              "vmsplice",
                              "setxattr",
                              "getxattr",
                              "listxattr",
                              "removexattr",
                              "fsetxattr",
                              "fgetxattr",
                              "flistxattr",
                              "utimensat",
                              "poll",
                              "sendto",
                              "recvfrom",
                              "sendmsg",
                              "recvmsg",
                              "bind",
                              "connect",
                              "listen",
                              "accept4",
                              "getsockname",
                              "rt_sigprocmask",
                              "rt_sigaction",
                              "rt_sigpending",
                              "sigaltstack",
                              "getgroups",
                              "setgroups",
                              "getresuid",
                              "getresgid",
                              "getpriority",
                              "fsync",
                              "sync_file_range",
                              "readahead",
                              "fadvise64",
                              "preadv2",
                              "pwritev2",
                              "mincore",
                              "msync",
                              "timerfd_create",
                              "signalfd4",
                              "inotify_init1",
                              "inotify_add_watch",
                              "inotify_rm_watch",
                              "getrlimit",
                              "fchmodat2"};

Program ProgramOf(uint32_t seed) {
  Generator generator(seed);
  std::vector<const abi::Signature*> calls;
  for (const char* name : kCalls) calls.push_back(abi::FindSyscallSignature(name));
  generator.Restrict(std::move(calls));
  Program program = generator.MakeProgram(kCallsEach);
  for (Call& call : program.calls) call.task = 0;
  program.races = false;
  return program;
}

class Runner {
 public:
  Runner() { std::fill(registers_.begin(), registers_.end(), -1); }

  void Run(const Program& program) {
    for (size_t i = 0; i < program.calls.size(); ++i) Make(i, program.calls[i]);
  }

 private:
  // Times, device and inode numbers are of the machine; so are sizes and links of directories.
  static void Smooth(const abi::Arg& arg, uint64_t addr) {
    if (arg.way == abi::Arg::Way::kIn || arg.layout == nullptr) return;
    if (addr < kScratch || addr + arg.layout->size > kScratch + kScratchSize) return;
    if (arg.layout == &abi::kStat) {
      struct stat now = {};
      auto* const st = reinterpret_cast<struct stat*>(addr);
      memcpy(&now, st, sizeof(now));
      memset(st, 0, sizeof(*st));
      st->st_mode = now.st_mode;
      st->st_uid = now.st_uid;
      st->st_gid = now.st_gid;
      st->st_size = S_ISDIR(now.st_mode) ? 0 : now.st_size;
      st->st_nlink = S_ISDIR(now.st_mode) ? 0 : now.st_nlink;
    } else if (arg.layout == &abi::kStatx) {
      struct statx now = {};
      auto* const st = reinterpret_cast<struct statx*>(addr);
      memcpy(&now, st, sizeof(now));
      memset(st, 0, sizeof(*st));
      st->stx_mode = now.stx_mode;
      st->stx_uid = now.stx_uid;
      st->stx_size = S_ISDIR(now.stx_mode) ? 0 : now.stx_size;
    }
  }

  void Make(size_t index, const Call& call) {
    uint64_t args[6] = {};
    for (size_t i = 0; i < call.args.size() && i < 6; ++i)
      args[i] = program::Evaluate(call.args[i], registers_);
    Say("%zu %s", index, call.signature->name);
    const long returned =
        syscall(call.signature->number, args[0], args[1], args[2], args[3], args[4], args[5]);
    const int64_t result = returned == -1 ? -errno : returned;
    if (call.into >= 0) registers_[static_cast<size_t>(call.into)] = result;
    if (result >= 0) {
      for (int i = 0; i < call.signature->arity(); ++i) Smooth(call.signature->args[i], args[i]);
    }
    Say(" = %ld %016lx\n", static_cast<long>(result),
        static_cast<unsigned long>(Hash(reinterpret_cast<void*>(kScratch), kScratchSize)));
  }

  program::Registers registers_;
};

[[noreturn]] void RunChild(const Program& program) {
  void* const scratch = mmap(reinterpret_cast<void*>(kScratch), kScratchSize, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (scratch == MAP_FAILED) _exit(99);
  const rlimit files = {64, 64}, size = {1 << 20, 1 << 20}, memory = {1 << 28, 1 << 28};
  setrlimit(RLIMIT_NOFILE, &files);
  setrlimit(RLIMIT_FSIZE, &size);
  setrlimit(RLIMIT_AS, &memory);
  signal(SIGXFSZ, SIG_IGN);
  close_range(0, ~0u, 0);
  for (int i = 0; i < 3; ++i) open("/dev/null", O_RDWR);
  if (chroot(".") != 0) _exit(95);
  Runner().Run(program);
  _exit(0);
}

void DescribeTree(const std::filesystem::path& top, std::ostream& out) {
  std::error_code error;
  std::vector<std::string> lines;
  for (auto it = std::filesystem::recursive_directory_iterator(top, error);
       it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    struct stat st = {};
    if (error || lstat(it->path().c_str(), &st) != 0) break;
    std::ostringstream line;
    line << it->path().lexically_relative(top).string() << std::oct << " " << st.st_mode << std::dec << " "
         << st.st_uid << ":" << st.st_gid;
    if (!S_ISDIR(st.st_mode)) line << " " << st.st_size << " " << st.st_nlink;
    if (S_ISLNK(st.st_mode)) line << " -> " << std::filesystem::read_symlink(it->path(), error).string();
    if (S_ISREG(st.st_mode)) {
      std::ifstream file(it->path(), std::ios::binary);
      const std::string data{std::istreambuf_iterator<char>(file), {}};
      line << " " << std::hex << Hash(data.data(), data.size());
    }
    lines.push_back(line.str());
  }
  std::sort(lines.begin(), lines.end());
  for (const std::string& line : lines) out << "  " << line << "\n";
}

void MakeTree() {
  mkdir("d", 0755);
  std::ofstream("a") << "0123456789";
  std::ofstream("d/a") << "#!/bin/test x\n";
  if (symlink("d/a", "s") != 0 || mkfifo("f", 0666) != 0) _exit(98);
}

void RunProgram(const Program& program, const std::string& title) {
  constexpr timespec kPatience = {0, 300'000'000};
  const std::filesystem::path own = "program";
  std::error_code error;
  std::filesystem::remove_all(own, error);
  if (mkdir(own.c_str(), 0755) != 0 || chdir(own.c_str()) != 0) _exit(97);
  MakeTree();
  the_log->used = 0;
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  const pid_t child = fork();
  if (child == 0) {
    sigprocmask(SIG_UNBLOCK, &child_ended, nullptr);
    RunChild(program);
  }
  int status = 0;
  bool hangs = false;
  // A signal may be of an earlier child.
  while (!hangs && waitpid(child, &status, WNOHANG) == 0) {
    hangs = sigtimedwait(&child_ended, nullptr, &kPatience) < 0;
  }
  if (hangs) {
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
  }
  std::ostringstream tree;
  if (chdir("..") != 0) _exit(96);
  DescribeTree(own, tree);
  printf("program %s\n%.*s%s %d\n%s", title.c_str(), static_cast<int>(the_log->used), the_log->text,
         hangs ? "\nwaits" : "ends with", hangs ? 0 : status, tree.str().c_str());
  std::filesystem::remove_all(own, error);
}

}  // namespace
}  // namespace cloister::fuzz

int main(int argc, char** argv) {
  using namespace cloister::fuzz;
  if (argc == 3 && strcmp(argv[1], "--print") == 0) {
    fputs(Print(ProgramOf(static_cast<uint32_t>(strtoul(argv[2], nullptr, 0)))).c_str(), stdout);
    return 0;
  }
  if (argc != 2 && argc != 3) return 2;
  the_log =
      static_cast<Log*>(mmap(nullptr, kLogBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (the_log == MAP_FAILED) return 2;
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  if (argc == 2) {
    std::ifstream file(argv[1]);
    RunProgram(Parse(std::string{std::istreambuf_iterator<char>(file), {}}), argv[1]);
    return 0;
  }
  const auto first = static_cast<uint32_t>(strtoul(argv[1], nullptr, 0));
  const auto count = static_cast<uint32_t>(strtoul(argv[2], nullptr, 0));
  for (uint32_t seed = first; seed < first + count; ++seed) RunProgram(ProgramOf(seed), std::to_string(seed));
  return 0;
}
