#include <asm/prctl.h>
#include <elf.h>
#include <fcntl.h>
#include <immintrin.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cfenv>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/signals.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// execve(2), execveat(2), and what a new image keeps of the old one. The program runs itself: with
// "--report WHAT" as first arguments it prints about itself and ends.
namespace cloister::tests {
namespace {

constexpr char kSelf[] = "/proc/self/exe";

int Report(int argc, char** argv) {
  const std::string what = argv[2];
  if (what == "args") {
    for (int i = 3; i < argc; ++i) printf("%s|", argv[i]);
    for (char** entry = environ; *entry != nullptr; ++entry) printf("%s;", *entry);
  } else if (what == "name") {
    printf("%s", argv[0]);
  } else if (what == "fd") {
    printf("%d", fcntl(atoi(argv[3]), F_GETFD));
  } else if (what == "signals") {
    struct sigaction handled, ignored;
    sigset_t blocked, pending;
    sigaction(SIGUSR1, nullptr, &handled);
    sigaction(SIGUSR2, nullptr, &ignored);
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    sigpending(&pending);
    printf("%d%d%d%d", handled.sa_handler == SIG_DFL, ignored.sa_handler == SIG_IGN,
           sigismember(&blocked, SIGTERM), sigismember(&pending, SIGTERM));
  } else if (what == "ids") {
    printf("%d %d %d %zu", getpid(), static_cast<int>(syscall(SYS_gettid)), getppid(),
           List("/proc/self/task").size());
  } else if (what == "auxv") {
    printf("%d%d%d%d%d", getauxval(AT_PAGESZ) == 4096, getauxval(AT_UID) == getuid(),
           getauxval(AT_SECURE) == 0,
           getauxval(AT_PHDR) != 0 && getauxval(AT_PHENT) == sizeof(Elf64_Phdr) && getauxval(AT_ENTRY) != 0,
           getauxval(AT_RANDOM) != 0 && getauxval(AT_CLKTCK) == 100);
    printf(" %s", reinterpret_cast<const char*>(getauxval(AT_EXECFN)));
  } else if (what == "comm") {
    char name[16] = {};
    prctl(PR_GET_NAME, name);
    printf("%s", name);
  } else if (what == "umask") {
    printf("%o %s", umask(0), ReadFile("/proc/self/cmdline").c_str());
  } else if (what == "float") {
    uint16_t control;
    asm volatile("fnstcw %0" : "=m"(control));
    printf("%x %x", _mm_getcsr(), control);
  } else if (what == "mapped") {
    unsigned char there;
    const auto addr = strtoul(argv[3], nullptr, 16);
    printf("%d", mincore(reinterpret_cast<void*>(addr), kPage, &there) == 0);
  } else if (what == "again") {
    const int left = atoi(argv[3]);
    if (left > 0) {
      execl(kSelf, "x", "--report", "again", std::to_string(left - 1).c_str(), nullptr);
      return 1;
    }
    printf("%d", getpid());
  } else if (what == "gs") {
    uint64_t gs = 1;
    syscall(SYS_arch_prctl, ARCH_GET_GS, &gs);
    printf("%lx", gs);
  } else if (what == "hex") {
    printf("%s", argc > 3 ? std::to_string(strlen(argv[3])).c_str() : "none");
  }
  fflush(stdout);
  return 0;
}

// What a child printed that ran `body`, which is to end in an exec.
template <typename Body>
std::string Output(Body&& body) {
  Pipe pipe(O_CLOEXEC);
  Child child([&] {
    dup2(pipe.write.get(), STDOUT_FILENO);
    body();
    CHILD_CHECK(false);
  });
  pipe.write.reset();
  const std::string text = ReadAll(pipe.read.get());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  return text;
}

int Exec(const char* path, std::vector<const char*> args, std::vector<const char*> env = {}) {
  args.push_back(nullptr);
  env.push_back(nullptr);
  return execve(path, const_cast<char**>(args.data()), const_cast<char**>(env.data()));
}

class ExecTest : public ::testing::Test {
 protected:
  const TempDir dir_;
  std::string Script(const std::string& text, mode_t mode = 0755) const {
    return dir_.WithFile("script", text, mode);
  }
};

TEST_F(ExecTest, ArgumentsAndEnvironment) {
  EXPECT_EQ(Output([] { Exec(kSelf, {"any name", "--report", "args", "a b", "", "c"}, {"X=1", "EMPTY="}); }),
            "a b||c|X=1;EMPTY=;");
  EXPECT_EQ(Output([] { Exec(kSelf, {"any name", "--report", "name"}); }), "any name");
}

TEST_F(ExecTest, LongArguments) {
  const std::string large(100000, 'l');
  EXPECT_EQ(Output([&] { Exec(kSelf, {"x", "--report", "hex", large.c_str()}); }), "100000");
  EXPECT_THAT(InChild([] {
                const std::string too_large(131072, 'l');  // MAX_ARG_STRLEN
                CHILD_CHECK(Exec(kSelf, {"x", too_large.c_str()}) == -1 && errno == E2BIG);
              }),
              ExitedWith(0));
}

TEST_F(ExecTest, Errors) {
  const std::string plain = dir_.WithFile("plain", "not a program", 0644);
  const std::string nonsense = dir_.WithFile("nonsense", "nonsense", 0755);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(Exec(dir_.File("none").c_str(), {"x"}) == -1 && errno == ENOENT);
                CHILD_CHECK(Exec(plain.c_str(), {"x"}) == -1 && errno == EACCES);
                CHILD_CHECK(Exec(nonsense.c_str(), {"x"}) == -1 && errno == ENOEXEC);
                CHILD_CHECK(Exec(dir_.path().c_str(), {"x"}) == -1 && errno == EACCES);
                CHILD_CHECK(Exec((plain + "/x").c_str(), {"x"}) == -1 && errno == ENOTDIR);
                CHILD_CHECK(execve(BadPointer<char>(), environ, environ) == -1 && errno == EFAULT);
                CHILD_CHECK(execve(kSelf, BadPointer<char*>(), environ) == -1 && errno == EFAULT);
                const char* bad[] = {"x", BadPointer<char>(), nullptr};
                CHILD_CHECK(execve(kSelf, const_cast<char**>(bad), environ) == -1 && errno == EFAULT);
              }),
              ExitedWith(0));
}

TEST_F(ExecTest, DamagedPrograms) {
  std::string self = ReadFile(kSelf);
  auto* header = reinterpret_cast<Elf64_Ehdr*>(self.data());
  const Elf64_Ehdr good = *header;
  const auto refused = [&](const char* name, size_t size) {
    const std::string path = dir_.WithFile(name, self.substr(0, size), 0755);
    const int status = InChild([&] {
      Exec(path.c_str(), {"x"});
      _exit(errno == ENOEXEC || errno == EINVAL || errno == EIO ? 7 : 8);
    });
    // Some damage is only found after the old image is gone: then the process is killed.
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 7) << name << " " << DescribeStatus(status);
    *header = good;
  };
  refused("truncated", 20);
  refused("no headers", 64);
  header->e_machine = EM_ARM;
  refused("machine", 4096);
  header->e_type = ET_REL;
  refused("type", 4096);
  header->e_phentsize = 7;
  refused("entry size", 4096);
  header->e_phoff = ~0ull - 10;
  refused("offset", 4096);
  header->e_ident[0] = 0;
  refused("magic", 4096);
}

TEST_F(ExecTest, InterpreterLine) {
  const std::string path = Script("#!/bin/sh\necho \"$0 $1\"\n");
  EXPECT_EQ(Output([&] { Exec(path.c_str(), {"ignored", "one"}); }), path + " one\n");
}

TEST_F(ExecTest, InterpreterLineWithOneArgument) {
  char self[256] = {};
  ASSERT_THAT(readlink(kSelf, self, sizeof self - 1), SyscallSucceeds());
  // All behind the interpreter is one argument, blanks at the ends taken off.
  const std::string path = Script("#!/bin/echo  -a b  c \n");
  EXPECT_EQ(Output([&] { Exec(path.c_str(), {"x", "last"}); }), "-a b  c " + path + " last\n");
}

TEST_F(ExecTest, InterpreterProblems) {
  const std::string missing = dir_.WithFile("missing", "#!/none/such\n", 0755);
  const std::string empty = dir_.WithFile("empty", "#!\n", 0755);
  const std::string loop = dir_.WithFile("loop", "#!" + dir_.File("loop") + "\n", 0755);
  EXPECT_THAT(InChild([&] {
                CHILD_CHECK(Exec(missing.c_str(), {"x"}) == -1 && errno == ENOENT);
                CHILD_CHECK(Exec(empty.c_str(), {"x"}) == -1 && errno == ENOEXEC);
                CHILD_CHECK(Exec(loop.c_str(), {"x"}) == -1 && errno == ELOOP);
              }),
              ExitedWith(0));
}

TEST_F(ExecTest, DescriptorsAndCloexec) {
  EXPECT_EQ(Output([] {
              dup2(0, 50);
              Exec(kSelf, {"x", "--report", "fd", "50"});
            }),
            "0");
  EXPECT_EQ(Output([] {
              dup3(0, 50, O_CLOEXEC);
              Exec(kSelf, {"x", "--report", "fd", "50"});
            }),
            "-1");
}

TEST_F(ExecTest, SignalsThatStay) {
  EXPECT_EQ(Output([] {
              signal(SIGUSR1, [](int) {});
              signal(SIGUSR2, SIG_IGN);
              const sigset_t term = SignalSet({SIGTERM});
              sigprocmask(SIG_BLOCK, &term, nullptr);
              raise(SIGTERM);
              Exec(kSelf, {"x", "--report", "signals"});
            }),
            "1111");
}

TEST_F(ExecTest, ProcessStays) {
  pid_t pid = 0;
  const Mapping shared = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  const std::string said = Output([&] {
    *reinterpret_cast<pid_t*>(shared.data()) = getpid();
    Exec(kSelf, {"x", "--report", "ids"});
  });
  pid = *reinterpret_cast<pid_t*>(shared.data());
  const std::string number = std::to_string(pid);
  EXPECT_EQ(said, number + " " + number + " " + std::to_string(getpid()) + " 1");
}

TEST_F(ExecTest, OtherThreadsEnd) {
  EXPECT_EQ(Split(Output([] {
                    for (int i = 0; i < 5; ++i) std::thread([] { pause(); }).detach();
                    Exec(kSelf, {"x", "--report", "ids"});
                  }),
                  ' ')[3],
            "1");
}

TEST_F(ExecTest, AThreadThatExecsBecomesTheLeader) {
  const auto parts = Split(Output([] {
                             std::thread([] { Exec(kSelf, {"x", "--report", "ids"}); }).detach();
                             for (;;) pause();
                           }),
                           ' ');
  EXPECT_EQ(parts[0], parts[1]);
}

TEST_F(ExecTest, FloatingPointStartsAnew) {
  EXPECT_EQ(Output([] {
              fesetround(FE_UPWARD);
              feraiseexcept(FE_ALL_EXCEPT);
              Exec(kSelf, {"x", "--report", "float"});
            }),
            "1f80 37f");
}

TEST_F(ExecTest, SegmentsStartAnew) {
  static uint64_t word = 1;
  EXPECT_EQ(Output([] {
              syscall(SYS_arch_prctl, ARCH_SET_GS, &word);
              Exec(kSelf, {"x", "--report", "gs"});
            }),
            "0");
}

TEST_F(ExecTest, MemoryOfBeforeIsGone) {
  const Mapping shared = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  EXPECT_EQ(Output([&] {
              void* const at = reinterpret_cast<void*>(0x123450000);
              CHILD_CHECK(mmap(at, kPage, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == at);
              Exec(kSelf, {"x", "--report", "mapped", "123450000"});
            }),
            "0");
}

TEST_F(ExecTest, OneAfterTheOther) {
  const Mapping shared = MapAnonymous(kPage, PROT_READ | PROT_WRITE, MAP_SHARED);
  const std::string said = Output([&] {
    *reinterpret_cast<pid_t*>(shared.data()) = getpid();
    Exec(kSelf, {"x", "--report", "again", "40"});
  });
  EXPECT_EQ(said, std::to_string(*reinterpret_cast<pid_t*>(shared.data())));
}

TEST_F(ExecTest, AfterThreadsThatHaveEnded) {
  EXPECT_EQ(Split(Output([] {
                    for (int i = 0; i < 5; ++i) std::thread([] {}).join();
                    Exec(kSelf, {"x", "--report", "ids"});
                  }),
                  ' ')[3],
            "1");
}

// Processor time is the process', whatever it runs.
TEST_F(ExecTest, ProcessorTimeStays) {
  rusage used = {};
  const pid_t pid = fork();
  if (pid == 0) {
    timespec now;
    do {
      clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    } while (now.tv_sec == 0 && now.tv_nsec < 100'000'000);
    const int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    Exec(kSelf, {"x", "--report", "float"});
    _exit(1);
  }
  int status = -1;
  ASSERT_EQ(wait4(pid, &status, 0, &used), pid);
  EXPECT_EQ(status, 0);
  const int64_t spent = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1'000'000 + used.ru_utime.tv_usec +
                        used.ru_stime.tv_usec;
  EXPECT_GE(spent, 90'000);
  EXPECT_LT(spent, 1'000'000);
}

TEST_F(ExecTest, AuxiliaryVector) {
  char self[256] = {};
  ASSERT_THAT(readlink(kSelf, self, sizeof self - 1), SyscallSucceeds());
  EXPECT_EQ(Output([&] { Exec(self, {"x", "--report", "auxv"}); }), std::string("11111 ") + self);
}

TEST_F(ExecTest, NameOfTheTask) {
  const std::string link = dir_.File("a-quite-long-program-name");
  char self[256] = {};
  ASSERT_THAT(readlink(kSelf, self, sizeof self - 1), SyscallSucceeds());
  ASSERT_THAT(symlink(self, link.c_str()), SyscallSucceeds());
  EXPECT_EQ(Output([&] { Exec(link.c_str(), {"x", "--report", "comm"}); }), "a-quite-long-pr");
}

TEST_F(ExecTest, UmaskAndCommandLine) {
  EXPECT_EQ(Output([] {
              umask(0123);
              Exec(kSelf, {"x", "--report", "umask"});
            }),
            "123 x");
}

TEST_F(ExecTest, Execveat) {
  char* const args[] = {const_cast<char*>("x"), const_cast<char*>("--report"), const_cast<char*>("name"),
                        nullptr};
  EXPECT_EQ(Output([&] {
              const int fd = open(kSelf, O_PATH);
              syscall(SYS_execveat, fd, "", args, nullptr, AT_EMPTY_PATH);
            }),
            "x");
  EXPECT_EQ(Output([&] { fexecve(open(kSelf, O_RDONLY | O_CLOEXEC), args, environ); }), "x");
  ASSERT_THAT(symlink("/bin/true", dir_.File("link").c_str()), SyscallSucceeds());
  EXPECT_THAT(
      InChild([&] {
        const int at = open(dir_.path().c_str(), O_RDONLY);
        CHILD_CHECK(syscall(SYS_execveat, at, "link", args, nullptr, AT_SYMLINK_NOFOLLOW) == -1 &&
                    errno == ELOOP);
        CHILD_CHECK(syscall(SYS_execveat, at, "none", args, nullptr, 0) == -1 && errno == ENOENT);
        CHILD_CHECK(syscall(SYS_execveat, -1, "x", args, nullptr, 0) == -1 && errno == EBADF);
        CHILD_CHECK(syscall(SYS_execveat, at, "link", args, nullptr, 0x8000) == -1 && errno == EINVAL);
        syscall(SYS_execveat, at, "link", args, nullptr, 0);
      }),
      ExitedWith(0));
}

TEST_F(ExecTest, SetuidPrograms) {
  const std::string path = dir_.WithFile("id", ReadFile(kSelf), 04755);
  ASSERT_THAT(chown(path.c_str(), 1234, 0), SyscallSucceeds());
  ASSERT_THAT(chmod(path.c_str(), 04755), SyscallSucceeds());
  EXPECT_EQ(Output([&] {
              BecomeUser(4321, 4321);
              Exec(path.c_str(), {"x", "--report", "auxv"});
            })[2],
            '0');  // AT_SECURE
  EXPECT_EQ(Output([&] {
              BecomeUser(4321, 4321);
              prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
              Exec(path.c_str(), {"x", "--report", "auxv"});
            })[2],
            '1');
}

TEST_F(ExecTest, UnreadableProgramsRun) {
  const std::string path = dir_.WithFile("x-only", ReadFile(kSelf), 0711);
  EXPECT_EQ(Output([&] {
              BecomeUser(4321, 4321);
              Exec(path.c_str(), {"x", "--report", "name"});
            }),
            "x");
}

TEST_F(ExecTest, RunningProgramsCannotBeWritten) {
  char self[256] = {};
  ASSERT_THAT(readlink(kSelf, self, sizeof self - 1), SyscallSucceeds());
  const std::string path = dir_.WithFile("busy", ReadFile(kSelf), 0755);
  const TestFd writer = Open(path, O_WRONLY);
  EXPECT_THAT(InChild([&] { CHILD_CHECK(Exec(path.c_str(), {"x"}) == -1 && errno == ETXTBSY); }),
              ExitedWith(0));
}

}  // namespace
}  // namespace cloister::tests

int main(int argc, char** argv) {
  if (argc > 2 && strcmp(argv[1], "--report") == 0) return cloister::tests::Report(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
