#include "sentry/fs/cgroup/cgroup_fs.h"

#include "absl/strings/str_cat.h"
#include "platform/inproc/inproc.h"
#include "sentry/fs/tmp/vfs_fixture.h"
#include "sentry/loader/test_elf.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/task/thread_group.h"
#include "sentry/wait/poller.h"

namespace cloister::cgroup {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;
using tmp::FailsWith;
using tmp::Succeeds;

// The group as root of the tree, in a kernel with a process of each of the containers "a" and "b".
class CgroupFsTest : public tmp::VfsTest {
 protected:
  CgroupFsTest() {
    static const bool started = wait::Poller::Get().Start().ok();
    EXPECT_TRUE(started);
    auto platform = std::make_unique<inproc::Inproc>();
    platform_ = platform.get();
    task::Machine machine;
    machine.cpus = 4;
    machine.total_memory = uint64_t{1} << 30;
    kernel_ = std::make_unique<task::Kernel>(std::move(platform), machine, nullptr);
    Put("/program", loader::GoodElf(ET_EXEC, 0x400000).Bytes());
    EXPECT_THAT(vfs::ChangeMode(root, At("/program"), 0755), Succeeds());
    a_ = Start("a");
    b_ = Start("b");
    Mount(MakeCgroup2(*kernel_));
  }
  ~CgroupFsTest() override {
    kernel_->KillAll(SIGKILL);
    platform_->Pump();
  }

  Ref<task::ThreadGroup> Start(const char* container) {
    task::Kernel::NewProcess process;
    process.exec.file = Open(root, "/program", O_RDONLY).value();
    process.exec.path = "/program";
    process.exec.argv = {"program"};
    process.cred = root.cred;
    process.fs = MakeRef<task::FsContext>(mounts, root.root, root.cwd, 022);
    process.files = MakeRef<vfs::FdTable>();
    process.is_init = true;
    process.container_id = container;
    Ref<task::ThreadGroup> group = kernel_->CreateProcess(std::move(process)).value();
    EXPECT_THAT(kernel_->Release(*group), Succeeds());
    platform_->Pump();
    return group;
  }
  void Mount(const kernfs::Mountable& made) {
    mounts = MakeRef<vfs::MountNamespace>(
        MakeRef<vfs::Mount>(made.fs, vfs::Dentry::MakeRoot(made.root), 0, std::string("cgroup")));
    root = CallerOf(auth::Credentials::Root());
  }
  ErrnoOr<size_t> WriteTo(const char* path, std::string_view text) {
    return Write(*Open(root, path, O_WRONLY).value(), text);
  }

  inproc::Inproc* platform_ = nullptr;
  std::unique_ptr<task::Kernel> kernel_;
  Ref<task::ThreadGroup> a_, b_;
};

TEST_F(CgroupFsTest, ListsTheReadersContainer) {
  EXPECT_EQ(Contents("/cgroup.procs"), absl::StrCat(a_->pid(), "\n", b_->pid(), "\n"));
  EXPECT_EQ(Contents("/pids.current"), "2\n");
  const Ref<task::Task> reader = kernel_->FindTask(b_->pid());
  ASSERT_TRUE(reader);
  const task::CurrentTask current(*reader);
  EXPECT_EQ(Contents("/cgroup.procs"), absl::StrCat(b_->pid(), "\n"));
  EXPECT_EQ(Contents("/cgroup.threads"), absl::StrCat(b_->pid(), "\n"));
  EXPECT_EQ(Contents("/pids.current"), "1\n");
}

TEST_F(CgroupFsTest, MembersMayStayWhereTheyAre) {
  const Ref<task::Task> writer = kernel_->FindTask(b_->pid());
  ASSERT_TRUE(writer);
  const task::CurrentTask current(*writer);
  EXPECT_THAT(WriteTo("/cgroup.procs", absl::StrCat(b_->pid(), "\n")), Succeeds());
  EXPECT_THAT(WriteTo("/cgroup.procs", "0"), Succeeds());
  EXPECT_THAT(WriteTo("/cgroup.procs", absl::StrCat(a_->pid())), FailsWith(Errno::kSrch));
  EXPECT_THAT(WriteTo("/cgroup.threads", "30000"), FailsWith(Errno::kSrch));
  EXPECT_THAT(WriteTo("/cgroup.procs", "me"), FailsWith(Errno::kInval));
  EXPECT_THAT(WriteTo("/cgroup.procs", "-1"), FailsWith(Errno::kInval));
}

TEST_F(CgroupFsTest, MemoryInUseIsMeasured) {
  const uint64_t one = a_->ResidentBytes(), other = b_->ResidentBytes();
  ASSERT_GT(one, 0u);
  EXPECT_EQ(Contents("/memory.current"), absl::StrCat(one + other, "\n"));
  EXPECT_THAT(Contents("/memory.stat"), StartsWith(absl::StrCat("anon ", one + other, "\nfile 0\n")));
  EXPECT_EQ(Contents("/memory.max"), "1073741824\n");
  EXPECT_THAT(Contents("/cpu.stat"), StartsWith("usage_usec "));
}

TEST_F(CgroupFsTest, LimitsAreShownAndStay) {
  EXPECT_EQ(Contents("/cpu.max"), "max 100000\n");
  EXPECT_EQ(Contents("/cpuset.cpus.effective"), "0-3\n");
  Mount(MakeCgroup2(*kernel_, {.memory = 5000, .cpu_quota = 150000, .tasks = 64}));
  EXPECT_EQ(Contents("/memory.max"), "4096\n");
  EXPECT_EQ(Contents("/cpu.max"), "150000 100000\n");
  EXPECT_EQ(Contents("/pids.max"), "64\n");
  EXPECT_THAT(WriteTo("/memory.max", "max"), FailsWith(Errno::kPerm));
  EXPECT_THAT(WriteTo("/cgroup.type", "threaded"), FailsWith(Errno::kPerm));
  EXPECT_THAT(WriteTo("/memory.current", "0"), FailsWith(Errno::kIo));
  Mount(MakeCgroup2(*kernel_, {}));
  EXPECT_EQ(Contents("/memory.max"), "max\n");
}

TEST_F(CgroupFsTest, HasNoChildren) {
  EXPECT_THAT(Mkdir(root, "/child"), FailsWith(Errno::kPerm));
  EXPECT_EQ(Contents("/cgroup.controllers"), "cpuset cpu io memory pids\n");
  EXPECT_EQ(Contents("/cgroup.subtree_control"), "");
  EXPECT_THAT(WriteTo("/cgroup.subtree_control", "+memory +pids"), FailsWith(Errno::kBusy));
  EXPECT_THAT(WriteTo("/cgroup.subtree_control", "-memory\n"), Succeeds());
  EXPECT_THAT(WriteTo("/cgroup.subtree_control", "+nothing"), FailsWith(Errno::kInval));
  EXPECT_THAT(WriteTo("/cgroup.subtree_control", "memory"), FailsWith(Errno::kInval));
  EXPECT_THAT(Contents("/cgroup.stat"), HasSubstr("nr_descendants 0\n"));
}

}  // namespace
}  // namespace cloister::cgroup
