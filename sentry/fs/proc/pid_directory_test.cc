#include "sentry/fs/proc/pid_directory.h"

#include <linux/openat2.h>
#include <sys/syscall.h>

#include "sentry/fs/event/event_fd.h"
#include "sentry/fs/pipe/pipe_file.h"
#include "sentry/fs/proc/proc_fixture.h"

namespace cloister::proc {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using tmp::FailsWith;
using tmp::Succeeds;

class PidDirectoryTest : public ProcTest {};

TEST_F(PidDirectoryTest, StatHasItsFields) {
  const std::string text = Contents(PathOf(*one_, "stat"));
  EXPECT_THAT(text, StartsWith(std::to_string(one_->pid()) + " (program) R 0 "));
  const std::vector<std::string> fields = Words(text.substr(0, text.size() - 1));
  ASSERT_EQ(fields.size(), 52u);
  EXPECT_EQ(fields[4], std::to_string(one_->pid()));  // process group
  EXPECT_EQ(fields[5], std::to_string(one_->pid()));  // session
  EXPECT_EQ(fields[7], "-1");                         // no terminal
  EXPECT_EQ(fields[17], "20");
  EXPECT_EQ(fields[19], "1");  // threads
  EXPECT_NE(fields[22], "0");  // size
  EXPECT_NE(fields[47], "0");  // arg_start: the reader's own
  AskAs(*other_);
  EXPECT_EQ(Words(Contents(PathOf(*other_, "stat")))[19], "1");
  // Root's addresses are hidden from another process of a plain user.
  EXPECT_EQ(Words(Contents(PathOf(*one_, "stat")))[47], "0");
  EXPECT_EQ(Words(Contents(PathOf(*one_, "statm"))).size(), 7u);
}

TEST_F(PidDirectoryTest, StatusTellsOfOwnersAndSignals) {
  {
    absl::MutexLock lock(&kernel_->tree_mu());
    signal::Action ignore;
    ignore.handler = 1;
    one_->actions->Set(SIGPIPE, ignore);
  }
  EXPECT_THAT(Contents(PathOf(*one_, "status")),
              AllOf(StartsWith("Name:\tprogram\nUmask:\t0022\nState:\tR (running)\nTgid:\t"),
                    HasSubstr("\nUid:\t0\t0\t0\t0\n"), HasSubstr("\nThreads:\t1\n"),
                    HasSubstr("\nSigIgn:\t0000000000001000\n"), HasSubstr("\nCpus_allowed:\tf\n"),
                    HasSubstr("\nCpus_allowed_list:\t0-3\n"), HasSubstr("\nNoNewPrivs:\t0\n")));
  EXPECT_THAT(Contents(PathOf(*other_, "status")), AllOf(HasSubstr("\nUid:\t1000\t1000\t1000\t1000\n"),
                                                         HasSubstr("\nCapEff:\t0000000000000000\n")));
}

TEST_F(PidDirectoryTest, ArgumentsAndEnvironment) {
  EXPECT_EQ(Contents(PathOf(*one_, "cmdline")), std::string("program\0first argument\0", 23));
  EXPECT_EQ(Contents(PathOf(*one_, "environ")), std::string("NAME=value\0", 11));
  const std::string auxv = Contents(PathOf(*one_, "auxv"));
  EXPECT_EQ(auxv.size() % 16, 0u);
  EXPECT_EQ(auxv.substr(auxv.size() - 16), std::string(16, '\0'));
}

TEST_F(PidDirectoryTest, ACommandLineThatWasWrittenOver) {
  const Ref<mm::MemoryManager> memory = task_->GetMm();
  const mm::MemoryManager::Layout layout = memory->layout();
  const std::string title = "a title longer than that";
  ASSERT_GT(title.size(), layout.arg_end - layout.arg_start);
  ASSERT_EQ(
      memory->space().Write(layout.arg_start, std::as_bytes(std::span(title.c_str(), title.size() + 1))),
      title.size() + 1);
  EXPECT_EQ(Contents(PathOf(*one_, "cmdline")), title);
}

TEST_F(PidDirectoryTest, CommIsWrittenByTheProcessItself) {
  EXPECT_EQ(Contents(PathOf(*one_, "comm")), "program\n");
  EXPECT_THAT(WriteTo(root, PathOf(*one_, "comm"), "a name of twenty ch."), Succeeds());
  EXPECT_EQ(Contents(PathOf(*one_, "comm")), "a name of twent\n");
  EXPECT_THAT(WriteTo(root, PathOf(*other_, "comm"), "x"), FailsWith(Errno::kInval));
}

TEST_F(PidDirectoryTest, MapsShowTheProgram) {
  const std::string text = Contents(PathOf(*one_, "maps"));
  const std::vector<std::string> lines = Words(text, '\n');
  EXPECT_THAT(lines[0], AllOf(StartsWith("00400000-"), EndsWith(" /program")));
  EXPECT_EQ(lines[0].find('/'), 73u);
  EXPECT_THAT(lines, Contains(EndsWith("[stack]")));
  const std::string smaps = Contents(PathOf(*one_, "smaps"));
  EXPECT_THAT(smaps, AllOf(StartsWith(lines[0] + "\nSize:"), HasSubstr("\nVmFlags: rd")));
  EXPECT_THAT(Contents(PathOf(*one_, "smaps_rollup")), HasSubstr("[rollup]\nRss:"));
}

TEST_F(PidDirectoryTest, LinksLeadToTheVeryFile) {
  EXPECT_EQ(*LinkText(root, PathOf(*one_, "exe")), "/program");
  EXPECT_EQ(At(PathOf(*one_, "exe")).dentry(), At("/program").dentry());
  EXPECT_EQ(*LinkText(root, PathOf(*one_, "cwd")), "/");
  EXPECT_EQ(At(PathOf(*one_, "root/program")).dentry(), At("/program").dentry());
  const Ref<vfs::Dentry> program = At("/program").dentry();
  ASSERT_THAT(Remove(root, "/program"), Succeeds());
  EXPECT_EQ(*LinkText(root, PathOf(*one_, "exe")), "/program (deleted)");
  EXPECT_EQ(At(PathOf(*one_, "exe")).dentry(), program);
  EXPECT_THAT(Contents(PathOf(*one_, "maps")), HasSubstr("/program (deleted)\n"));
  EXPECT_THAT(Find(root, PathOf(*one_, "exe"), true, RESOLVE_NO_MAGICLINKS), FailsWith(Errno::kLoop));
}

TEST_F(PidDirectoryTest, DescriptorsAreLinks) {
  Put("/file", "abc");
  const int file = Install(Open(root, "/file", O_RDONLY).value());
  const auto [reader, writer] = pipe::MakePipe(0, root.cred);
  const int write_end = Install(writer);
  const int counter = Install(MakeRef<event::EventFd>(O_RDWR, root.cred, 0, event::EventFd::Mode::kCounter));
  EXPECT_THAT(List("/proc/self/fd"), ElementsAre(".", "..", "0", "1", "2"));
  const auto link = [&](int fd) { return PathOf(*one_, "fd/" + std::to_string(fd)); };
  EXPECT_EQ(*LinkText(root, link(file)), "/file");
  EXPECT_EQ(*LinkText(root, link(write_end)), writer->Name());
  EXPECT_EQ(*LinkText(root, link(counter)), "anon_inode:[eventfd]");
  EXPECT_EQ(Stat(link(file), false).stx_mode, S_IFLNK | 0500);
  EXPECT_EQ(Stat(link(write_end), false).stx_mode, S_IFLNK | 0300);

  EXPECT_EQ(Contents(link(file)), "abc");
  const auto second = Open(root, link(write_end), O_WRONLY);
  ASSERT_THAT(second, Succeeds());
  ASSERT_THAT(Write(**second, "p"), Succeeds());
  EXPECT_EQ(ReadAll(*reader), "p");
  EXPECT_THAT(Open(root, link(counter), O_RDWR), FailsWith(Errno::kNxIo));
  EXPECT_THAT(Find(root, PathOf(*one_, "fd/77")), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, PathOf(*one_, "fd/00")), FailsWith(Errno::kNoEnt));
  ASSERT_THAT(task_->GetFiles()->Remove(file), Succeeds());
  EXPECT_THAT(Find(root, link(file), false), FailsWith(Errno::kNoEnt));
}

TEST_F(PidDirectoryTest, DescriptorsHavePositionsAndFlags) {
  Put("/file", "abc");
  const auto open = Open(root, "/file", O_RDWR | O_APPEND).value();
  ASSERT_THAT(open->Seek(2, SEEK_SET), Succeeds());
  const int fd = Install(open, true);
  EXPECT_THAT(Contents(PathOf(*one_, "fdinfo/" + std::to_string(fd))),
              StartsWith("pos:\t2\nflags:\t02002002\nmnt_id:\t"));
  // A file of proc that tells of itself.
  const std::string path = PathOf(*one_, "fdinfo/1");
  Install(open);
  const auto info = Open(root, path, O_RDONLY).value();
  ASSERT_THAT(task_->GetFiles()->InstallAt(1, info, false, 100), Succeeds());
  EXPECT_THAT(ReadAll(*info), StartsWith("pos:\t0\n"));
}

TEST_F(PidDirectoryTest, StrangersAreLimited) {
  AskAs(*other_);
  for (const char* file : {"environ", "auxv", "maps", "smaps", "io", "fdinfo/0"}) {
    if (std::string(file) == "fdinfo/0") Install(Open(root, "/program", O_RDONLY).value());
    EXPECT_THAT(Open(user, PathOf(*one_, file), O_RDONLY), FailsWith(Errno::kAcces)) << file;
  }
  for (const char* link : {"exe", "cwd", "root", "ns/net"}) {
    EXPECT_THAT(LinkText(user, PathOf(*one_, link)), FailsWith(Errno::kAcces)) << link;
    EXPECT_THAT(Find(user, PathOf(*one_, link)), FailsWith(Errno::kAcces)) << link;
    EXPECT_THAT(LinkText(user, PathOf(*other_, link)), Succeeds()) << link;
  }
  EXPECT_THAT(Open(user, PathOf(*one_, "fd"), O_RDONLY), FailsWith(Errno::kAcces));
  EXPECT_THAT(Open(user, PathOf(*one_, "status"), O_RDONLY), Succeeds());
  EXPECT_EQ(Stat(PathOf(*other_, "environ")).stx_uid, 1000u);
}

TEST_F(PidDirectoryTest, WhatIsNotDumpableIsRoots) {
  kernel_->FindTask(other_->pid())->dumpable = false;
  EXPECT_EQ(Stat(PathOf(*other_, "status")).stx_uid, 0u);
  EXPECT_EQ(Stat(PathOf(*other_, "")).stx_uid, 1000u);
  EXPECT_THAT(Open(user, PathOf(*other_, "maps"), O_RDONLY), FailsWith(Errno::kAcces));
  AskAs(*other_);  // a process may always look at itself
  EXPECT_THAT(Open(user, PathOf(*other_, "maps"), O_RDONLY), Succeeds());
}

TEST_F(PidDirectoryTest, TheDeadAreGone) {
  const auto held = Open(root, PathOf(*other_, "status"), O_RDONLY).value();
  const vfs::Path directory = At(PathOf(*other_, ""));
  Kill(*other_);
  EXPECT_THAT(Find(root, PathOf(*other_, "")), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(vfs::Resolve(root, directory, "status", {}), FailsWith(Errno::kNoEnt));
  std::string text(10, '\0');
  auto buffer = usermem::UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
  EXPECT_THAT(held->Read(buffer), FailsWith(Errno::kSrch));
  EXPECT_THAT(List("/proc"), Not(Contains(std::to_string(other_->pid()))));
}

TEST_F(PidDirectoryTest, ThreadsAreFoundTwice) {
  const std::string tid = std::to_string(one_->pid());
  EXPECT_THAT(List("/proc/self/task"), ElementsAre(".", "..", tid));
  EXPECT_THAT(Contents("/proc/self/task/" + tid + "/stat"), StartsWith(tid + " (program) R "));
  EXPECT_EQ(Contents("/proc/self/task/" + tid + "/children"), "");
  EXPECT_THAT(Find(root, "/proc/self/children"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/proc/self/task/" + tid + "/task"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/proc/self/task/" + std::to_string(other_->pid())), FailsWith(Errno::kNoEnt));
}

TEST_F(PidDirectoryTest, MountsAsTheProcessSeesThem) {
  const std::string text = Contents("/proc/self/mounts");
  EXPECT_THAT(text, HasSubstr("proc /proc proc rw,nosuid,nodev,relatime 0 0\n"));
  EXPECT_THAT(Words(text, '\n')[0], HasSubstr(" / tmpfs rw,relatime"));
  for (const std::string& line : Words(Contents("/proc/self/mountinfo"), '\n')) {
    if (line.empty()) continue;
    EXPECT_EQ(Words(line)[3], "/") << line;
    EXPECT_EQ(Words(line)[6], "-") << line;
  }
}

TEST_F(PidDirectoryTest, MountPointsAreMangled) {
  ASSERT_THAT(Mkdir(root, "/a b\n"), Succeeds());
  ASSERT_THAT(mounts->Attach(tmp::MountTmp({.mode = 0755}, MS_RDONLY), At("/a b\n")), Succeeds());
  EXPECT_THAT(Contents("/proc/self/mounts"), HasSubstr(" /a\\040b\\012 tmpfs ro,relatime"));
}

TEST_F(PidDirectoryTest, OomScoreIsLoweredWithPrivilegeAlone) {
  EXPECT_EQ(Contents(PathOf(*other_, "oom_score_adj")), "0\n");
  EXPECT_THAT(WriteTo(user, PathOf(*other_, "oom_score_adj"), "500\n"), Succeeds());
  EXPECT_EQ(Contents(PathOf(*other_, "oom_score_adj")), "500\n");
  EXPECT_THAT(WriteTo(user, PathOf(*other_, "oom_score_adj"), "100"), FailsWith(Errno::kAcces));
  EXPECT_THAT(WriteTo(root, PathOf(*other_, "oom_score_adj"), "-1000"), Succeeds());
  EXPECT_EQ(Contents(PathOf(*other_, "oom_score")), "0\n");
  EXPECT_THAT(WriteTo(root, PathOf(*other_, "oom_score_adj"), "1001"), FailsWith(Errno::kInval));
  EXPECT_EQ(Contents(PathOf(*other_, "oom_adj")), "-17\n");
}

TEST_F(PidDirectoryTest, NamespacesAreComparedByNumber) {
  EXPECT_EQ(*LinkText(root, "/proc/self/ns/net"), "net:[4026531840]");
  EXPECT_EQ(Stat("/proc/self/ns/net").stx_ino, 4026531840u);
  EXPECT_EQ(*LinkText(root, "/proc/self/ns/mnt"), *LinkText(root, PathOf(*other_, "ns/mnt")));
  const auto open = Open(root, "/proc/self/ns/net", O_RDONLY).value();
  EXPECT_EQ(*LinkText(root, "/proc/self/fd/" + std::to_string(Install(open))), "net:[4026531840]");
}

TEST_F(PidDirectoryTest, LimitsHaveColumns) {
  one_->SetLimit(RLIMIT_NOFILE, {10, RLIM_INFINITY});
  EXPECT_THAT(
      Contents("/proc/self/limits"),
      AllOf(StartsWith("Limit                     Soft Limit           Hard Limit           Units     \n"),
            HasSubstr("\nMax open files            10                   unlimited            files     \n")));
}

TEST_F(PidDirectoryTest, EveryFileCanBeRead) {
  const std::string base = "/proc/self/";
  for (const std::string& name : List("/proc/self")) {
    if (name == "." || name == "..") continue;
    const vfs::Path path = At(base + name, false);
    ASSERT_TRUE(path) << name;
    if (path.dentry()->inode()->type() != S_IFREG) continue;
    const auto file = Open(root, base + name, O_RDONLY);
    ASSERT_THAT(file, Succeeds()) << name;
    EXPECT_EQ(ReadAll(**file) == "", name == "mem") << name;  // nothing is mapped at 0
  }
  for (const std::string& name : List("/proc/self/net")) {
    if (name == "." || name == "..") continue;
    EXPECT_THAT(Open(root, base + "net/" + name, O_RDONLY), Succeeds()) << name;
    EXPECT_THAT(Contents(base + "net/" + name), Not(StartsWith("E"))) << name;
  }
}

}  // namespace
}  // namespace cloister::proc
