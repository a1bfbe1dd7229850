#include "sentry/task/container_table.h"

#include <signal.h>

#include <atomic>
#include <memory>
#include <thread>

#include "platform/inproc/inproc.h"
#include "sentry/fs/tmp/vfs_fixture.h"
#include "sentry/loader/test_elf.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"
#include "sentry/wait/poller.h"

namespace cloister::task {
namespace {

using tmp::Succeeds;

// A kernel with a process of each of the containers "a" and "b".
class ContainerTableTest : public tmp::VfsTest {
 protected:
  ContainerTableTest() {
    static const bool started = wait::Poller::Get().Start().ok();
    EXPECT_TRUE(started);
    auto platform = std::make_unique<inproc::Inproc>();
    platform_ = platform.get();
    kernel_ = std::make_unique<Kernel>(std::move(platform), Machine(), nullptr);
    Put("/program", loader::GoodElf(ET_EXEC, 0x400000).Bytes());
    EXPECT_THAT(vfs::ChangeMode(root, At("/program"), 0755), Succeeds());
    a_ = Create("a");
    b_ = Create("b");
  }
  ~ContainerTableTest() override {
    for (const char* id : {"a", "b", "c"}) table_.Forget(id);
    kernel_->KillAll(SIGKILL);
    platform_->Pump();
  }

  Ref<ThreadGroup> Create(const char* container) {
    Kernel::NewProcess process;
    process.exec.file = Open(root, "/program", O_RDONLY).value();
    process.exec.path = "/program";
    process.exec.argv = {"program"};
    process.cred = root.cred;
    process.fs = MakeRef<FsContext>(mounts, root.root, root.cwd, 022);
    process.files = MakeRef<vfs::FdTable>();
    process.is_init = true;
    process.container_id = container;
    Ref<ThreadGroup> group = kernel_->CreateProcess(std::move(process)).value();
    EXPECT_THAT(kernel_->Release(*group), Succeeds());
    platform_->Pump();
    return group;
  }

  ContainerTable& table_ = ContainerTable::Get();
  inproc::Inproc* platform_ = nullptr;
  std::unique_ptr<Kernel> kernel_;
  Ref<ThreadGroup> a_, b_;
};

TEST_F(ContainerTableTest, ATaskFindsTheProcessesOfItsOwnContainer) {
  const Ref<Task> caller = kernel_->FindTask(a_->pid());
  EXPECT_EQ(kernel_->Groups().size(), 2u);
  const CurrentTask current(*caller);
  EXPECT_EQ(kernel_->FindGroup(a_->pid()), a_);
  EXPECT_FALSE(kernel_->FindGroup(b_->pid()));
  EXPECT_FALSE(kernel_->FindTask(b_->pid()));
  EXPECT_EQ(kernel_->Groups().size(), 1u);
}

TEST_F(ContainerTableTest, ContainersThatSharePidsFindEachOthers) {
  table_.SharePids("b", "a");
  table_.SharePids("c", "b");
  const Ref<ThreadGroup> c = Create("c");
  const Ref<Task> caller = kernel_->FindTask(c->pid());
  const CurrentTask current(*caller);
  EXPECT_EQ(kernel_->Groups().size(), 3u);
  EXPECT_EQ(kernel_->FindGroup(a_->pid()), a_);
  table_.Forget("c");
  EXPECT_FALSE(kernel_->FindGroup(a_->pid()));
}

TEST_F(ContainerTableTest, PlacesWhatBeginsAProgram) {
  int placed = 0;
  table_.SetPlacer("c", [&placed](pid_t) { ++placed; });
  Create("a");
  EXPECT_EQ(placed, 0);
  Create("c");
  EXPECT_EQ(placed, 1);
}

TEST_F(ContainerTableTest, AFrozenContainerLeavesTheOthers) {
  table_.SetFrozen("a", true);
  EXPECT_TRUE(table_.AnyFrozen());
  EXPECT_TRUE(table_.IsFrozen("a"));
  EXPECT_FALSE(table_.IsFrozen("b"));
  table_.SetFrozen("a", false);
  EXPECT_FALSE(table_.AnyFrozen());
}

TEST_F(ContainerTableTest, MayBeChangedWhileTasksAsk) {
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (int i = 0; i < 1000; ++i) {
      table_.SharePids("b", "a");
      table_.SetFrozen("b", i % 2 == 0);
      table_.SetPlacer("b", [](pid_t) {});
      table_.Forget("b");
    }
    done = true;
  });
  const Ref<Task> caller = kernel_->FindTask(a_->pid());
  const CurrentTask current(*caller);
  while (!done) {
    EXPECT_TRUE(table_.CallerSees(*a_));
    static_cast<void>(table_.CallerSees(*b_));
    static_cast<void>(table_.IsFrozen("b"));
    table_.Place("b", 1);
  }
  changer.join();
  EXPECT_FALSE(table_.CallerSees(*b_));
}

}  // namespace
}  // namespace cloister::task
