// Random operations against a page map of the host, which carries out what the plans say.

#include <sys/mman.h>

#include <map>
#include <random>
#include <thread>
#include <tuple>
#include <vector>

#include "gtest/gtest.h"
#include "sentry/mm/memory_manager.h"

namespace cloister::mm {
namespace {

constexpr uint64_t kTaskSize = 16 << 20;
constexpr int kFileFd = 7;

class FakeFile final : public RefCounted, public Mappable {
 public:
  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t, bool, bool) override {
    return Backing{kFileFd, offset};
  }
  Identity identity() const override { return {1, 2}; }
  std::string MappedName() const override { return "/file"; }
};

struct Page {
  int prot = 0;
  bool shared = false;
  bool file = false;
  uint64_t offset = 0;
  bool operator==(const Page&) const = default;
};

using Pages = std::map<uint64_t, Page>;

class Host {
 public:
  void Run(const HostOp& op) {
    const uint64_t start = op.args[0], end = start + op.args[1];
    EXPECT_LE(end, kTaskSize);
    switch (op.kind) {
      case HostOp::Kind::kMmap: {
        EXPECT_TRUE(op.args[3] & MAP_FIXED);
        const bool file = op.fd >= 0;
        for (uint64_t at = start; at < end; at += kPageSize) {
          pages_[at] = {static_cast<int>(op.args[2]), (op.args[3] & MAP_SHARED) != 0, file,
                        file ? op.args[5] + (at - start) : 0};
        }
        break;
      }
      case HostOp::Kind::kMunmap:
        Erase(start, end);
        break;
      case HostOp::Kind::kMprotect:
        for (uint64_t at = start; at < end; at += kPageSize)
          pages_.at(at).prot = static_cast<int>(op.args[2]);
        break;
      case HostOp::Kind::kMremap:
        Remap(op);
        break;
      default:
        break;
    }
  }
  const Pages& pages() const { return pages_; }

 private:
  void Erase(uint64_t start, uint64_t end) {
    pages_.erase(pages_.lower_bound(start), pages_.lower_bound(end));
  }
  void Remap(const HostOp& op) {
    const uint64_t old = op.args[0], old_len = op.args[1], new_len = op.args[2];
    const bool moves = (op.args[3] & MREMAP_FIXED) != 0;
    const uint64_t target = moves ? op.args[4] : old;
    EXPECT_LE(target + new_len, kTaskSize);
    const Page first = pages_.at(old);
    Pages moved;
    for (uint64_t at = 0; at < new_len; at += kPageSize) {
      EXPECT_TRUE(at >= old_len || pages_.contains(old + at));
      Page page = at < old_len ? pages_.at(old + at) : first;
      page.offset = first.file ? first.offset + at : 0;
      moved[target + at] = page;
    }
    if (moves && (op.args[3] & 4) == 0) Erase(old, old + old_len);
    if (moves) Erase(target, target + new_len);
    for (const auto& [at, page] : moved) pages_[at] = page;
  }
  Pages pages_;
};

Pages PagesOf(const MemoryManager& memory) {
  Pages pages;
  uint64_t last_end = 0;
  for (const Area& area : memory.Areas()) {
    EXPECT_GE(area.start, last_end);
    EXPECT_LT(area.start, area.end);
    last_end = area.end;
    for (uint64_t at = area.start; at < area.end; at += kPageSize) {
      const bool file = static_cast<bool>(area.file);
      pages[at] = {area.prot, area.shared(), file, file ? area.offset + (at - area.start) : 0};
    }
  }
  return pages;
}

// The highest free place of that many bytes below the end of the highest place ever given.
std::optional<uint64_t> HighestFree(const Pages& pages, uint64_t length, uint64_t high) {
  for (uint64_t at = high - length; at >= MemoryManager::kMinAddress; at -= kPageSize) {
    const auto it = pages.lower_bound(at);
    if (it == pages.end() || it->first >= at + length) return at;
  }
  return std::nullopt;
}

class Model {
 public:
  explicit Model(uint32_t seed) : random_(seed), memory_(MakeRef<MemoryManager>(nullptr, kTaskSize)) {
    MemoryManager::MapRequest request;
    request.length = kPageSize;
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS;
    mmap_base_ = memory_->Map(request, {})->result + kPageSize;
    (void)memory_->Unmap(mmap_base_ - kPageSize, kPageSize);
    memory_->SetBrkBase(1 << 20);
  }

  void Step() {
    ErrnoOr<Plan> plan = Choose();
    if (plan.ok() && Below(8) == 0 && !plan->ops.empty()) {
      memory_->Failed(*plan);
    } else if (plan.ok()) {
      for (const HostOp& op : plan->ops) host_.Run(op);
    }
    ASSERT_EQ(PagesOf(*memory_), host_.pages());
    ASSERT_EQ(memory_->TotalBytes(), host_.pages().size() * kPageSize);
  }

 private:
  uint64_t Below(uint64_t bound) { return random_() % bound; }
  uint64_t Address() { return Below(kTaskSize / kPageSize) * kPageSize; }
  uint64_t Length() { return (1 + Below(Below(10) == 0 ? 1024 : 16)) * kPageSize - Below(2); }
  int Prot() { return static_cast<int>(Below(4)); }

  ErrnoOr<Plan> Choose() {
    switch (Below(6)) {
      case 0:
      case 1:
        return Map();
      case 2:
        return memory_->Unmap(Address(), Length());
      case 3:
        return memory_->Protect(Address(), Length(), Prot());
      case 4:
        return Remap();
      default:
        return memory_->Brk((1 << 20) + Below(1 << 20), {});
    }
  }

  ErrnoOr<Plan> Map() {
    static constexpr int kPlaces[] = {0, MAP_FIXED, MAP_FIXED_NOREPLACE};
    MemoryManager::MapRequest request;
    const int place = kPlaces[Below(3)];
    request.addr = place != 0 || Below(4) == 0 ? Address() : 0;
    request.length = Length();
    request.prot = Prot();
    request.flags = place | (Below(2) != 0 ? MAP_SHARED : MAP_PRIVATE);
    if (Below(2) != 0) {
      request.flags |= MAP_ANONYMOUS;
    } else {
      request.file = {file_, file_.get()};
      request.offset = Below(16) * kPageSize;
    }
    const uint64_t size = (request.length + kPageSize - 1) & ~(kPageSize - 1);
    const auto highest = HighestFree(host_.pages(), size, mmap_base_);
    ErrnoOr<Plan> plan = memory_->Map(request, {});
    if (request.addr == 0 && highest) {
      EXPECT_TRUE(plan.ok());
      EXPECT_EQ(plan->result, *highest);
    }
    return plan;
  }

  ErrnoOr<Plan> Remap() {
    static constexpr int kFlags[] = {0, MREMAP_MAYMOVE, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
                                     MREMAP_MAYMOVE | 4};
    uint64_t old = Address(), length = Length();
    if (!host_.pages().empty() && Below(4) != 0) {
      auto it = host_.pages().lower_bound(old);
      if (it == host_.pages().end()) it = host_.pages().begin();
      const Area area = *memory_->AreaAt(it->first);
      old = it->first;
      length = Below(2) != 0 ? area.end - old : (1 + Below((area.end - old) / kPageSize)) * kPageSize;
    }
    const int flags = kFlags[Below(5)];
    return memory_->Remap(old, length, (flags & 4) != 0 ? length : Length(), flags, Address(), {});
  }

  std::mt19937 random_;
  Ref<FakeFile> file_ = MakeRef<FakeFile>();
  Ref<MemoryManager> memory_;
  uint64_t mmap_base_ = 0;
  Host host_;
};

TEST(MemoryManagerModel, HostAndListAgreeAfterRandomOperations) {
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    Model model(seed);
    for (int step = 0; step < 400 && !::testing::Test::HasFailure(); ++step) model.Step();
  }
}

TEST(MemoryManagerModel, TwoThreadsKeepTheListWhole) {
  auto memory = MakeRef<MemoryManager>(nullptr, kTaskSize);
  auto work = [&memory](uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::pair<uint64_t, uint64_t>> mine;
    for (int i = 0; i < 3000; ++i) {
      if (mine.size() < 20 || random() % 2 == 0) {
        MemoryManager::MapRequest request;
        request.length = (1 + random() % 4) * kPageSize;
        request.prot = PROT_READ | PROT_WRITE;
        request.flags = MAP_PRIVATE | MAP_ANONYMOUS;
        const ErrnoOr<Plan> plan = memory->Map(request, {});
        if (plan.ok()) mine.emplace_back(plan->result, request.length);
      } else {
        const auto [addr, length] = mine.back();
        mine.pop_back();
        EXPECT_TRUE(memory->IsMapped(addr, length));
        EXPECT_TRUE(memory->Protect(addr, length, PROT_READ).ok());
        EXPECT_TRUE(memory->Unmap(addr, length).ok());
      }
    }
    for (const auto& [addr, length] : mine) EXPECT_TRUE(memory->Unmap(addr, length).ok());
  };
  std::thread other(work, 1);
  work(2);
  other.join();
  EXPECT_EQ(memory->TotalBytes(), 0u);
  EXPECT_TRUE(memory->Areas().empty());
}

}  // namespace
}  // namespace cloister::mm
