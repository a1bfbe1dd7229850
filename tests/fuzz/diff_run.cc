// Runs programs of system calls natively, each in a process and a directory of its own, and prints what came
// of them. tools/fuzz diff runs it on the host and in a sandbox, and compares.
//
// usage: diff_run PATIENCE SEED COUNT   the programs of COUNT seeds from SEED on
//        diff_run PATIENCE FILE         one program
//        diff_run --print SEED          the text of one seed's program, without running it
//
// A program that has slept in one call for PATIENCE milliseconds is taken to wait for ever.

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
  std::atomic<uint32_t> calls;  // begun
  char text[kLogBytes - 2 * sizeof(size_t)];
};
Log* the_log = nullptr;

void Say(const char* format, auto... args) {
  const size_t room = sizeof(the_log->text) - the_log->used;
  const int size = snprintf(the_log->text + the_log->used, room, format, args...);
  if (size > 0 && static_cast<size_t>(size) < room) the_log->used += static_cast<size_t>(size);
}

// Four chains of FNV-1a over words, so that the processor works at all of them at once.
uint64_t Hash(const void* data, size_t size) {
  constexpr uint64_t kPrime = 0x100000001b3;
  uint64_t chains[4] = {0xcbf29ce484222325, 1, 2, 3};
  const auto* const words = static_cast<const uint64_t*>(data);
  const size_t whole = size / sizeof(chains) * 4;
  for (size_t i = 0; i < whole; i += 4) {
    for (size_t chain = 0; chain < 4; ++chain) chains[chain] = (chains[chain] ^ words[i + chain]) * kPrime;
  }
  uint64_t hash = ((chains[0] * 31 + chains[1]) * 31 + chains[2]) * 31 + chains[3];
  const auto* const bytes = static_cast<const uint8_t*>(data);
  for (size_t i = whole * sizeof(uint64_t); i < size; ++i) hash = (hash ^ bytes[i]) * kPrime;
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
  static const auto* const calls = [] {
    auto* const found = new std::vector<const abi::Signature*>;
    for (const char* name : kCalls) found->push_back(abi::FindSyscallSignature(name));
    return found;
  }();
  Generator generator(seed);
  generator.Restrict(*calls);
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
    the_log->calls.fetch_add(1, std::memory_order_relaxed);
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
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
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

struct Tree {
  std::vector<std::string> lines;
  std::vector<std::pair<std::string, bool>>
      names;  // and whether it is a directory; each before what is in it
};

std::string DescribeFile(int dir, const char* name, const struct stat& st) {
  std::ostringstream line;
  line << std::oct << " " << st.st_mode << std::dec << " " << st.st_uid << ":" << st.st_gid;
  if (!S_ISDIR(st.st_mode)) line << " " << st.st_size << " " << st.st_nlink;
  if (S_ISLNK(st.st_mode)) {
    char target[PATH_MAX];
    const ssize_t size = readlinkat(dir, name, target, sizeof(target));
    line << " -> " << std::string(target, static_cast<size_t>(std::max<ssize_t>(size, 0)));
  }
  if (S_ISREG(st.st_mode) && st.st_size > 0) {
    std::string data(static_cast<size_t>(st.st_size), '\0');
    const int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    const ssize_t size = read(fd, data.data(), data.size());
    close(fd);
    line << " " << std::hex << size << " " << Hash(data.data(), data.size());
  }
  return line.str();
}

// Describes what is in a directory, a line each.
void DescribeTree(int dir, const std::string& above, Tree* tree) {
  std::vector<std::string> names;
  DIR* const stream = fdopendir(dir);
  while (const dirent* const entry = readdir(stream)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) names.push_back(entry->d_name);
  }
  for (const std::string& name : names) {
    struct stat st = {};
    if (fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) continue;
    tree->lines.push_back("  " + above + name + DescribeFile(dir, name.c_str(), st));
    tree->names.push_back({above + name, S_ISDIR(st.st_mode)});
    if (S_ISDIR(st.st_mode))
      DescribeTree(openat(dir, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), above + name + "/", tree);
  }
  closedir(stream);
}

bool PutFile(const char* name, std::string_view text) {
  const int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  return write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && close(fd) == 0;
}

void MakeTree() {
  if (mkdir("d", 0755) != 0 || !PutFile("a", "0123456789") || !PutFile("d/a", "#!/bin/test x\n")) _exit(98);
  if (symlink("d/a", "s") != 0 || mkfifo("f", 0666) != 0) _exit(98);
}

// Whether a process sleeps, by proc(5).
bool Sleeps(pid_t pid) {
  char text[128] = {};
  const int fd = open(("/proc/" + std::to_string(pid) + "/stat").c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t size = read(fd, text, sizeof(text) - 1);
  close(fd);
  const char* const name_end = size > 0 ? strrchr(text, ')') : nullptr;
  return name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'S';
}

// Waits for a program's end; false if it waits for ever, as it seems: if it was found asleep in the same call
// each time for as long as the patience lasts.
bool WaitFor(pid_t child, int patience_ms, int* status) {
  constexpr int kLook = 4;
  constexpr timespec kUntilNextLook = {0, kLook * 1'000'000};
  constexpr int kMost = 2000;  // asleep or not
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  uint32_t calls = 0;
  int asleep = 0, in_all = 0;
  while (waitpid(child, status, WNOHANG) == 0) {
    // A signal may be of an earlier child.
    if (sigtimedwait(&child_ended, nullptr, &kUntilNextLook) >= 0) continue;
    const uint32_t now = the_log->calls.load(std::memory_order_relaxed);
    asleep = now == calls && Sleeps(child) ? asleep + kLook : 0;
    in_all += kLook;
    calls = now;
    if (asleep < patience_ms && in_all < kMost) continue;
    kill(child, SIGKILL);
    waitpid(child, status, 0);
    return false;
  }
  return true;
}

void RunProgram(const Program& program, const std::string& title, int patience_ms) {
  constexpr const char* kOwn = "program";
  if (mkdir(kOwn, 0755) != 0 || chdir(kOwn) != 0) _exit(97);
  MakeTree();
  the_log->used = 0;
  the_log->calls = 0;
  const pid_t child = fork();
  if (child == 0) RunChild(program);
  int status = 0;
  const bool ended = WaitFor(child, patience_ms, &status);
  Tree tree;
  DescribeTree(open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "", &tree);
  std::sort(tree.lines.begin(), tree.lines.end());
  printf("program %s\n%.*s%s %d\n", title.c_str(), static_cast<int>(the_log->used), the_log->text,
         ended ? "ends with" : "\nwaits", ended ? status : 0);
  for (const std::string& line : tree.lines) printf("%s\n", line.c_str());
  for (auto name = tree.names.rbegin(); name != tree.names.rend(); ++name) {
    unlinkat(AT_FDCWD, name->first.c_str(), name->second ? AT_REMOVEDIR : 0);
  }
  if (chdir("..") != 0 || rmdir(kOwn) != 0) _exit(96);
}

}  // namespace
}  // namespace cloister::fuzz

int main(int argc, char** argv) {
  using namespace cloister::fuzz;
  const auto number = [&](int at) { return static_cast<uint32_t>(strtoul(argv[at], nullptr, 0)); };
  if (argc == 3 && strcmp(argv[1], "--print") == 0) {
    fputs(Print(ProgramOf(number(2))).c_str(), stdout);
    return 0;
  }
  if (argc != 3 && argc != 4) return 2;
  the_log =
      static_cast<Log*>(mmap(nullptr, kLogBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  if (the_log == MAP_FAILED) return 2;
  sigset_t child_ended;
  sigemptyset(&child_ended);
  sigaddset(&child_ended, SIGCHLD);
  sigprocmask(SIG_BLOCK, &child_ended, nullptr);
  const auto patience_ms = static_cast<int>(number(1));
  if (argc == 3) {
    std::ifstream file(argv[2]);
    RunProgram(Parse(std::string{std::istreambuf_iterator<char>(file), {}}), argv[2], patience_ms);
    return 0;
  }
  for (uint32_t seed = number(2), end = seed + number(3); seed != end; ++seed) {
    RunProgram(ProgramOf(seed), std::to_string(seed), patience_ms);
  }
  return 0;
}
