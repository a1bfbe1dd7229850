#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "tests/util/child.h"
#include "tests/util/files.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/test_fd.h"
#include "tests/util/thread.h"

// proc(5): the files that ps, top, shells and libc read.
namespace cloister::tests {
namespace {

std::string Link(const std::string& path) {
  std::string target(4096, 0);
  const ssize_t got = readlink(path.c_str(), target.data(), target.size());
  EXPECT_THAT(got, SyscallSucceeds()) << path;
  target.resize(got < 0 ? 0 : static_cast<size_t>(got));
  return target;
}

// The "Name:  value" lines of a file, values without blanks in front.
std::map<std::string, std::string> Fields(const std::string& path) {
  std::map<std::string, std::string> fields;
  for (const std::string& line : Split(ReadFile(path), '\n')) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const size_t value = line.find_first_not_of(" \t", colon + 1);
    std::string name = line.substr(0, colon);
    name.erase(name.find_last_not_of(" \t") + 1);
    fields.emplace(name, value == std::string::npos ? "" : line.substr(value));
  }
  return fields;
}

struct Area {
  uintptr_t start, end;
  std::string permissions, name;
};

std::vector<Area> Maps() {
  std::vector<Area> areas;
  for (const std::string& line : Split(ReadFile("/proc/self/maps"), '\n')) {
    Area area;
    char permissions[8] = {};
    int consumed = 0;
    EXPECT_EQ(sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*x:%*x %*u %n", &area.start, &area.end,
                     permissions, &consumed),
              3)
        << line;
    area.permissions = permissions;
    area.name = line.substr(static_cast<size_t>(consumed));
    areas.push_back(area);
  }
  return areas;
}

const Area* Find(const std::vector<Area>& areas, const void* address) {
  const auto at = reinterpret_cast<uintptr_t>(address);
  for (const Area& area : areas) {
    if (area.start <= at && at < area.end) return &area;
  }
  return nullptr;
}

TEST(ProcSelf, IsThisProcess) {
  EXPECT_EQ(Link("/proc/self"), std::to_string(getpid()));
  EXPECT_EQ(Link("/proc/thread-self"), std::to_string(getpid()) + "/task/" + std::to_string(getpid()));
  EXPECT_THAT(InChild([] { CHILD_CHECK(Link("/proc/self") == std::to_string(getpid())); }), ExitedWith(0));
}

TEST(ProcSelf, ExeCwdRoot) {
  struct stat through, direct;
  const std::string exe = Link("/proc/self/exe");
  EXPECT_EQ(exe[0], '/');
  ASSERT_THAT(stat("/proc/self/exe", &through), SyscallSucceeds());
  ASSERT_THAT(stat(exe.c_str(), &direct), SyscallSucceeds());
  EXPECT_EQ(through.st_ino, direct.st_ino);
  char cwd[4096];
  ASSERT_NE(getcwd(cwd, sizeof cwd), nullptr);
  EXPECT_EQ(Link("/proc/self/cwd"), cwd);
  EXPECT_EQ(Link("/proc/self/root"), "/");
}

TEST(ProcSelf, Descriptors) {
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("f", "abc"), O_RDWR | O_APPEND);
  const Pipe pipe;
  EXPECT_EQ(Link("/proc/self/fd/" + std::to_string(file.get())), dir.File("f"));
  struct stat info;
  ASSERT_THAT(fstat(pipe.read.get(), &info), SyscallSucceeds());
  EXPECT_EQ(Link("/proc/self/fd/" + std::to_string(pipe.read.get())),
            "pipe:[" + std::to_string(info.st_ino) + "]");
  EXPECT_EQ(ReadFile("/dev/fd/" + std::to_string(file.get())), "abc");
  const auto names = List("/proc/self/fd");
  EXPECT_NE(std::find(names.begin(), names.end(), std::to_string(file.get())), names.end());
  ASSERT_THAT(lseek(file.get(), 2, SEEK_SET), SyscallSucceeds());
  const auto fields = Fields("/proc/self/fdinfo/" + std::to_string(file.get()));
  EXPECT_EQ(fields.at("pos"), "2");
  EXPECT_EQ(std::stoul(fields.at("flags"), nullptr, 8) & (O_ACCMODE | O_APPEND), unsigned{O_RDWR | O_APPEND});
  EXPECT_THAT(open("/proc/self/fd/77777", O_RDONLY), SyscallFailsWithErrno(ENOENT));
}

TEST(ProcSelf, ReopenedDescriptorsAreNewFiles) {
  const TempDir dir;
  const TestFd reader = Open(dir.WithFile("f", "abc"), O_RDONLY);
  const TestFd writer = Open("/proc/self/fd/" + std::to_string(reader.get()), O_RDWR);
  EXPECT_THAT(pwrite(writer.get(), "X", 1, 0), SyscallSucceedsWithValue(1));
  EXPECT_EQ(ReadFile(dir.File("f")), "Xbc");
  const Pipe pipe;
  const TestFd second = Open("/proc/self/fd/" + std::to_string(pipe.write.get()), O_WRONLY);
  EXPECT_THAT(write(second.get(), "p", 1), SyscallSucceedsWithValue(1));
  char byte;
  EXPECT_THAT(read(pipe.read.get(), &byte, 1), SyscallSucceedsWithValue(1));
}

TEST(ProcSelf, Maps) {
  static int variable = 1;
  const Mapping map = MapAnonymous(3 * kPage, PROT_READ);
  const TempDir dir;
  const TestFd file = Open(dir.WithFile("mapped", std::string(kPage, 'x')), O_RDONLY);
  const Mapping shared(mmap(nullptr, kPage, PROT_READ, MAP_SHARED, file.get(), 0), kPage);
  const auto areas = Maps();
  for (size_t i = 1; i < areas.size(); ++i) EXPECT_LE(areas[i - 1].end, areas[i].start);
  ASSERT_NE(Find(areas, map.data()), nullptr);
  EXPECT_EQ(Find(areas, map.data())->permissions, "r--p");
  ASSERT_NE(Find(areas, shared.data()), nullptr);
  EXPECT_EQ(Find(areas, shared.data())->permissions, "r--s");
  EXPECT_EQ(Find(areas, shared.data())->name, dir.File("mapped"));
  EXPECT_EQ(Find(areas, &areas)->name, "[stack]");
  EXPECT_EQ(Find(areas, &variable)->permissions, "rw-p");
  const auto code = Find(areas, reinterpret_cast<void*>(&Fields));
  ASSERT_NE(code, nullptr);
  EXPECT_EQ(code->permissions, "r-xp");
  EXPECT_EQ(code->name, Link("/proc/self/exe"));
}

TEST(ProcSelf, CoredumpFilter) {
  const auto store = [](const std::string& text) {
    const TestFd file = Open("/proc/self/coredump_filter", O_WRONLY);
    return write(file.get(), text.data(), text.size());
  };
  const std::string before = ReadFile("/proc/self/coredump_filter");
  EXPECT_EQ(before.size(), 9u);
  EXPECT_THAT(store("0x7f\n"), SyscallSucceeds());
  EXPECT_EQ(ReadFile("/proc/self/coredump_filter"), "0000007f\n");
  EXPECT_THAT(InChild([] { CHILD_CHECK(ReadFile("/proc/self/coredump_filter") == "0000007f\n"); }),
              ExitedWith(0));
  EXPECT_THAT(store("010"), SyscallSucceeds());
  EXPECT_EQ(ReadFile("/proc/self/coredump_filter"), "00000008\n");
  EXPECT_THAT(store("0xfffff"), SyscallSucceeds());
  EXPECT_EQ(ReadFile("/proc/self/coredump_filter"), "000001ff\n");
  EXPECT_THAT(store("x"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(store(""), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(store("0x100000000"), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(store("0x" + before), SyscallSucceeds());
}

TEST(ProcSelf, StatusAgreesWithTheCalls) {
  const auto fields = Fields("/proc/self/status");
  EXPECT_EQ(fields.at("Pid"), std::to_string(getpid()));
  EXPECT_EQ(fields.at("Tgid"), std::to_string(getpid()));
  EXPECT_EQ(fields.at("PPid"), std::to_string(getppid()));
  EXPECT_EQ(fields.at("Threads"), "1");
  EXPECT_EQ(fields.at("State"), "R (running)");
  EXPECT_EQ(fields.at("Uid"), "0\t0\t0\t0");
  EXPECT_EQ(fields.at("TracerPid"), "0");
  EXPECT_EQ(fields.at("NoNewPrivs"), std::to_string(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)));
  EXPECT_EQ(fields.at("CapEff").size(), 16u);
  char name[17] = {};
  prctl(PR_GET_NAME, name);
  EXPECT_EQ(fields.at("Name"), name);
  for (const char* wanted :
       {"VmSize", "VmRSS", "SigCgt", "SigBlk", "Cpus_allowed", "Seccomp", "Umask", "Groups"}) {
    EXPECT_TRUE(fields.contains(wanted)) << wanted;
  }
}

TEST(ProcSelf, StatHasItsFields) {
  const std::string text = ReadFile("/proc/self/stat");
  const size_t close = text.rfind(')');
  ASSERT_NE(close, std::string::npos);
  EXPECT_EQ(text.substr(0, text.find(' ')), std::to_string(getpid()));
  const auto rest = Split(text.substr(close + 2), ' ');
  EXPECT_EQ(rest.size(), 50u);
  EXPECT_EQ(rest[0], "R");
  EXPECT_EQ(rest[1], std::to_string(getppid()));
  EXPECT_EQ(rest[2], std::to_string(getpgrp()));
  EXPECT_EQ(rest[3], std::to_string(getsid(0)));
  EXPECT_GT(std::stoull(rest[20]), 0u);  // vsize
  EXPECT_EQ(Split(ReadFile("/proc/self/statm"), ' ').size(), 7u);
}

TEST(ProcSelf, CommandLineEnvironmentComm) {
  EXPECT_NE(ReadFile("/proc/self/cmdline").find('\0'), std::string::npos);
  EXPECT_NE(ReadFile("/proc/self/environ").find("PATH="), std::string::npos);
  ASSERT_TRUE(WriteFile("/proc/self/comm", "renamed"));
  EXPECT_EQ(ReadFile("/proc/self/comm"), "renamed\n");
  char name[17] = {};
  prctl(PR_GET_NAME, name);
  EXPECT_STREQ(name, "renamed");
}

TEST(ProcSelf, Mounts) {
  const auto lines = Split(ReadFile("/proc/self/mounts"), '\n');
  EXPECT_TRUE(std::any_of(lines.begin(), lines.end(),
                          [](const auto& line) { return line.find(" /proc proc ") != std::string::npos; }));
  bool root = false;
  for (const std::string& line : Split(ReadFile("/proc/self/mountinfo"), '\n')) {
    const auto words = Split(line, ' ');
    ASSERT_GE(words.size(), 10u);
    EXPECT_NE(std::find(words.begin(), words.end(), "-"), words.end());
    root |= words[4] == "/";
  }
  EXPECT_TRUE(root);
  EXPECT_EQ(ReadFile("/proc/mounts"), ReadFile("/proc/self/mounts"));
}

TEST(ProcSelf, OtherFiles) {
  for (const char* name : {"cgroup", "limits", "oom_score_adj", "auxv", "loginuid"}) {
    struct stat info;
    if (std::string(name) == "loginuid" && !Exists("/proc/self/loginuid")) continue;
    EXPECT_THAT(stat((std::string("/proc/self/") + name).c_str(), &info), SyscallSucceeds()) << name;
  }
  EXPECT_NE(ReadFile("/proc/self/limits").find("Max open files"), std::string::npos);
  EXPECT_EQ(ReadFile("/proc/self/auxv").size() % 16, 0u);
}

TEST(ProcTask, ListsThreads) {
  const Pipe hold;
  ScopedThread thread([&] {
    char byte;
    read(hold.read.get(), &byte, 1);
  });
  const std::string tid = std::to_string(thread.tid());
  const auto tasks = List("/proc/self/task");
  EXPECT_EQ(tasks.size(), 2u);
  EXPECT_EQ(Fields("/proc/self/task/" + tid + "/status").at("Pid"), tid);
  EXPECT_EQ(Fields("/proc/self/status").at("Threads"), "2");
  ASSERT_THAT(write(hold.write.get(), "x", 1), SyscallSucceeds());
}

TEST(ProcPid, OthersAndTheDead) {
  Child child([] {
    for (;;) pause();
  });
  const std::string folder = "/proc/" + std::to_string(child.pid());
  EXPECT_EQ(Fields(folder + "/status").at("PPid"), std::to_string(getpid()));
  const auto names = List("/proc");
  EXPECT_NE(std::find(names.begin(), names.end(), std::to_string(child.pid())), names.end());
  const TestFd held = Open(folder, O_RDONLY);
  kill(child.pid(), SIGKILL);
  EXPECT_TRUE(YieldUntil([&] { return ProcessState(child.pid()) == 'Z'; }));
  EXPECT_EQ(ReadFile(folder + "/cmdline"), "");
  EXPECT_THAT(child.Wait(), KilledBy(SIGKILL));
  EXPECT_FALSE(Exists(folder));
  const int gone = openat(held.get(), "status", O_RDONLY);
  EXPECT_TRUE(gone == -1 && (errno == ESRCH || errno == ENOENT));
}

TEST(ProcPid, StrangersAreLimited) {
  const std::string folder = "/proc/" + std::to_string(getpid());
  EXPECT_THAT(InChild([&] {
                BecomeUser(1234, 1234);
                CHILD_CHECK(open((folder + "/environ").c_str(), O_RDONLY) == -1 && errno == EACCES);
                CHILD_CHECK(open((folder + "/status").c_str(), O_RDONLY) >= 0);
                char text[64];
                CHILD_CHECK(readlink((folder + "/cwd").c_str(), text, sizeof text) == -1 && errno == EACCES);
              }),
              ExitedWith(0));
}

TEST(ProcSystem, Meminfo) {
  const auto fields = Fields("/proc/meminfo");
  for (const char* name :
       {"MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached", "SwapTotal", "SwapFree"}) {
    ASSERT_TRUE(fields.contains(name)) << name;
    EXPECT_NE(fields.at(name).find(" kB"), std::string::npos);
  }
  EXPECT_GT(std::stoll(fields.at("MemTotal")), std::stoll(fields.at("MemFree")));
}

TEST(ProcSystem, ProcessorsAgree) {
  const auto count = [](const std::string& path, const std::string& prefix) {
    const auto lines = Split(ReadFile(path), '\n');
    return std::count_if(lines.begin(), lines.end(),
                         [&](const auto& line) { return line.starts_with(prefix); });
  };
  const auto processors = count("/proc/cpuinfo", "processor");
  EXPECT_GE(processors, 1);
  EXPECT_EQ(count("/proc/stat", "cpu"), processors + 1);
  EXPECT_EQ(count("/proc/stat", "btime "), 1);
  EXPECT_GE(processors, sysconf(_SC_NPROCESSORS_ONLN));
  EXPECT_NE(ReadFile("/proc/cpuinfo").find("flags"), std::string::npos);
}

TEST(ProcSystem, UptimeLoadVersion) {
  double up = 0, idle = 0, one = 0, five = 0, fifteen = 0;
  int running = 0, all = 0, last = 0;
  EXPECT_EQ(sscanf(ReadFile("/proc/uptime").c_str(), "%lf %lf", &up, &idle), 2);
  EXPECT_GT(up, 0);
  EXPECT_EQ(sscanf(ReadFile("/proc/loadavg").c_str(), "%lf %lf %lf %d/%d %d", &one, &five, &fifteen, &running,
                   &all, &last),
            6);
  EXPECT_TRUE(ReadFile("/proc/version").starts_with("Linux version "));
  EXPECT_NE(ReadFile("/proc/filesystems").find("\tproc\n"), std::string::npos);
}

TEST(ProcSys, Values) {
  EXPECT_GT(std::stol(ReadFile("/proc/sys/kernel/pid_max")), 1000);
  EXPECT_EQ(ReadFile("/proc/sys/kernel/ostype"), "Linux\n");
  EXPECT_FALSE(ReadFile("/proc/sys/kernel/osrelease").empty());
  EXPECT_FALSE(ReadFile("/proc/sys/kernel/hostname").empty());
  EXPECT_EQ(ReadFile("/proc/sys/kernel/cap_last_cap").size(), 3u);
  EXPECT_EQ(ReadFile("/proc/sys/kernel/random/boot_id").size(), 37u);
  EXPECT_NE(ReadFile("/proc/sys/kernel/random/uuid"), ReadFile("/proc/sys/kernel/random/uuid"));
  EXPECT_GE(std::stol(ReadFile("/proc/sys/fs/pipe-max-size")), 65536);
  EXPECT_GE(std::stol(ReadFile("/proc/sys/vm/overcommit_memory")), 0);
  EXPECT_GE(std::stol(ReadFile("/proc/sys/net/core/somaxconn")), 1);
}

TEST(ProcFiles, CannotBeMadeOrRemoved) {
  EXPECT_THAT(open("/proc/new", O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(ENOENT));
  const int removed = unlink("/proc/self/status");
  EXPECT_TRUE(removed == -1 && errno == EPERM);
}

TEST(ProcFiles, ReadInPieces) {
  const TestFd fd = Open("/proc/self/limits", O_RDONLY);
  std::string all;
  char byte;
  while (read(fd.get(), &byte, 1) == 1) all += byte;
  EXPECT_EQ(all, ReadFile("/proc/self/limits"));
  EXPECT_THAT(lseek(fd.get(), 0, SEEK_SET), SyscallSucceedsWithValue(0));
  EXPECT_THAT(pread(fd.get(), &byte, 1, 6), SyscallSucceedsWithValue(1));
  EXPECT_EQ(byte, all[6]);
}

}  // namespace
}  // namespace cloister::tests
