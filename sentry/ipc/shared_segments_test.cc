#include "sentry/ipc/shared_segments.h"

#include <sys/mman.h>

#include <thread>

#include "gtest/gtest.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/ipc/ipc_sysctl.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/vfs/anon/anon_inode.h"

namespace cloister::ipc {
namespace {

const auth::Credentials& Root() { return *auth::Credentials::Root(); }

// Memory of no host file: each mapping of it would be another piece.
class FakeMemory final : public vfs::FileDescription, public mm::Mappable {
 public:
  FakeMemory() : FileDescription(O_RDWR, vfs::Path(), auth::Credentials::Root()) {}
  Ref<vfs::Inode> inode() const override { return vfs::SharedAnonInode(); }
  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t, bool, bool) override { return Backing{0, offset}; }
  Identity identity() const override { return {1, 2}; }
  std::string MappedName() const override { return "memory"; }
};

class SharedSegmentsTest : public ::testing::Test {
 protected:
  ErrnoOr<int> Get(key_t key, uint64_t size, int flags = IPC_CREAT | 0600) {
    return segments_->Get({key, size, flags, 5, this}, Root(), [](std::string_view, uint64_t) {
      return ErrnoOr<Ref<vfs::FileDescription>>(MakeRef<FakeMemory>());
    });
  }
  uint64_t Attached(int id) {
    const auto found = segments_->Describe(id, Lookup::kById, Root());
    return found.ok() ? found->status.shm_nattch : ~uint64_t{0};
  }
  bool Exists(int id) { return segments_->Describe(id, Lookup::kById, Root()).ok(); }
  uint64_t Attach(mm::MemoryManager& memory, int id) {
    const auto hold = segments_->HoldForAttach(id, 0666, Root());
    EXPECT_TRUE(hold.ok());
    mm::MemoryManager::MapRequest request;
    request.length = hold->size();
    request.prot = PROT_READ | PROT_WRITE;
    request.flags = MAP_SHARED;
    request.file = hold->MakeAttachment();
    return memory.Map(request, {}).value().result;
  }
  Ref<mm::MemoryManager> MakeMemory() {
    Ref<mm::MemoryManager> memory = MakeRef<mm::MemoryManager>(nullptr, uint64_t{1} << 40);
    memory->SetOwner(9);
    return memory;
  }

  const Ref<SharedSegments> segments_ = MakeRef<SharedSegments>();
};

TEST_F(SharedSegmentsTest, AreasAreCounted) {
  const int id = Get(IPC_PRIVATE, 5 * 4096).value();
  Ref<mm::MemoryManager> memory = MakeMemory();
  const uint64_t at = Attach(*memory, id);
  EXPECT_EQ(Attached(id), 1u);
  ASSERT_TRUE(memory->Protect(at + 4096, 4096, PROT_READ).ok());
  EXPECT_EQ(Attached(id), 3u);
  std::vector<platform::HostOp> extra;
  Ref<mm::MemoryManager> child = memory->Fork(nullptr, &extra);
  EXPECT_EQ(Attached(id), 6u);
  EXPECT_EQ(memory->Detach(at).value().ops.size(), 3u);
  EXPECT_EQ(Attached(id), 3u);
  EXPECT_EQ(memory->Detach(at).error(), Errno::kInval);
  EXPECT_TRUE(segments_->Remove(id, Root()).ok());
  EXPECT_TRUE(Exists(id));
  child.reset();
  EXPECT_FALSE(Exists(id));
}

TEST_F(SharedSegmentsTest, FailedPlansAreCountedBack) {
  const int id = Get(IPC_PRIVATE, 4096).value();
  Ref<mm::MemoryManager> memory = MakeMemory();
  const uint64_t at = Attach(*memory, id);
  {
    const mm::Plan plan = memory->Detach(at).value();
    EXPECT_EQ(Attached(id), 0u);
    memory->Failed(plan);
  }
  EXPECT_EQ(Attached(id), 1u);
  memory.reset();
  EXPECT_EQ(Attached(id), 0u);
}

TEST_F(SharedSegmentsTest, LimitsHold) {
  segments_->SetLimits({.max_bytes = 3 * 4096, .all_pages = 4, .count = 2});
  EXPECT_EQ(Get(IPC_PRIVATE, 3 * 4096 + 1).error(), Errno::kInval);
  EXPECT_TRUE(Get(IPC_PRIVATE, 3 * 4096).ok());
  EXPECT_EQ(Get(IPC_PRIVATE, 2 * 4096).error(), Errno::kNoSpc);
  EXPECT_TRUE(Get(7, 1).ok());
  EXPECT_EQ(Get(IPC_PRIVATE, 1).error(), Errno::kNoSpc);
  EXPECT_EQ(Get(7, 1, IPC_CREAT | IPC_EXCL).error(), Errno::kExist);
}

TEST_F(SharedSegmentsTest, ForcedRemoval) {
  const int orphan = Get(IPC_PRIVATE, 4096).value();
  segments_->OnExit(this);
  const int owned = Get(IPC_PRIVATE, 4096).value();
  segments_->SetLimits({.remove_forced = true});
  EXPECT_FALSE(Exists(orphan));
  EXPECT_TRUE(Exists(owned));
  segments_->OnExit(this);
  EXPECT_FALSE(Exists(owned));
}

TEST_F(SharedSegmentsTest, NumbersAreNotSoonReused) {
  const int first = Get(IPC_PRIVATE, 1).value();
  EXPECT_TRUE(segments_->Remove(first, Root()).ok());
  for (int i = 0; i < 200; ++i) {
    const int id = Get(IPC_PRIVATE, 1).value();
    EXPECT_NE(id, first);
    EXPECT_TRUE(segments_->Remove(id, Root()).ok());
  }
  EXPECT_EQ(segments_->Describe(first, Lookup::kById, Root()).error(), Errno::kInval);
}

TEST_F(SharedSegmentsTest, TwoThreads) {
  const auto work = [&] {
    Ref<mm::MemoryManager> memory = MakeMemory();
    for (int i = 0; i < 500; ++i) {
      const auto id = Get(3, 4096);
      if (!id.ok()) continue;
      const auto hold = segments_->HoldForAttach(*id, 0666, Root());
      if (!hold.ok()) continue;  // the other has removed it
      mm::MemoryManager::MapRequest request;
      request.length = hold->size();
      request.flags = MAP_SHARED;
      request.file = hold->MakeAttachment();
      const uint64_t at = memory->Map(request, {}).value().result;
      static_cast<void>(segments_->Remove(*id, Root()));
      EXPECT_TRUE(memory->Detach(at).ok());
    }
  };
  std::thread a(work), b(work);
  a.join();
  b.join();
  shm_info usage = {};
  segments_->Usage(&usage);
  EXPECT_EQ(usage.used_ids, 0);
  EXPECT_EQ(usage.shm_tot, 0u);
}

TEST(IpcSysctl, ValuesAreReadAndWritten) {
  const Ref<IpcNamespace> ipc = MakeRef<IpcNamespace>();
  const auto round = [&](std::string_view name, std::string_view value) {
    const IpcSysctl* const found = FindIpcSysctl(name);
    return found != nullptr && found->write(*ipc, value).ok() ? found->read(*ipc) : "refused";
  };
  EXPECT_EQ(round("kernel.shmmax", "12345\n"), "12345");
  EXPECT_EQ(round("kernel.shmmni", "32769"), "refused");
  EXPECT_EQ(round("kernel.shm_rmid_forced", "2"), "refused");
  EXPECT_EQ(round("kernel.sem", "10 20\t30"), "10\t20\t30\t32000");
  EXPECT_EQ(round("kernel.msgmax", "-1"), "refused");
  EXPECT_EQ(round("fs.mqueue.msg_max", "0"), "refused");
  EXPECT_EQ(round("fs.mqueue.msg_max", "100"), "100");
  EXPECT_EQ(FindIpcSysctl("kernel.msg_max"), nullptr);
}

}  // namespace
}  // namespace cloister::ipc
