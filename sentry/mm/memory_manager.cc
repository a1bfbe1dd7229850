#include "sentry/mm/memory_manager.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "sentry/mm/page.h"
#include "sentry/mm/random.h"

namespace cloister::mm {
namespace {

constexpr uint64_t kLinuxTaskSize = 0x7ffffffff000;  // what programs take for the end of their addresses
constexpr int kMapType = 0x0f;                       // MAP_TYPE
constexpr int kAllProt = PROT_READ | PROT_WRITE | PROT_EXEC;
// What MAP_SHARED_VALIDATE knows; MAP_SYNC is no ordinary file's.
constexpr int kKnownFlags = MAP_SHARED_VALIDATE | MAP_FIXED | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_DENYWRITE |
                            MAP_EXECUTABLE | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | MAP_NONBLOCK |
                            MAP_STACK | MAP_HUGETLB | MAP_32BIT | (0x3f << MAP_HUGE_SHIFT);
constexpr int kHostFlags = MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_POPULATE;

// Names every piece of shared anonymous memory of the sandbox.
uint64_t NewSharedId() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

// The errors that depend on the request's numbers alone; gives the page-aligned length.
ErrnoOr<uint64_t> CheckRequest(const MemoryManager::MapRequest& request, uint64_t task_size) {
  const int type = request.flags & kMapType;
  const bool anonymous = (request.flags & MAP_ANONYMOUS) != 0;
  if (request.length == 0 || !IsPageAligned(request.offset)) return Errno::kInval;
  const std::optional<uint64_t> length = PageUp(request.length);
  if (!length || *length > task_size) return Errno::kNoMem;
  if (!anonymous && !request.file) return Errno::kBadf;
  if (type == MAP_SHARED_VALIDATE && !anonymous) {
    if ((request.flags & ~kKnownFlags) != 0) return Errno::kOpNotSupp;
  } else if (type != MAP_SHARED && type != MAP_PRIVATE) {
    return Errno::kInval;
  }
  if (request.offset + *length < request.offset || request.offset + *length > INT64_MAX) {
    if (!anonymous) return Errno::kOverflow;
  }
  if ((request.flags & MAP_HUGETLB) != 0) {
    const int shift = request.flags >> MAP_HUGE_SHIFT & 0x3f;
    if (!anonymous || (shift != 0 && shift != 21 && shift != 30)) return Errno::kInval;
    return Errno::kNoMem;  // a host without huge pages
  }
  if ((request.flags & MAP_GROWSDOWN) != 0 && (type != MAP_PRIVATE || !anonymous)) return Errno::kInval;
  if ((request.prot & PROT_EXEC) != 0 && !request.may_exec) return Errno::kPerm;
  if (type != MAP_PRIVATE && (request.prot & PROT_WRITE) != 0 && !request.may_write) return Errno::kAcces;
  return *length;
}

Area AreaFor(const MemoryManager::MapRequest& request) {
  const bool shared = (request.flags & kMapType) != MAP_PRIVATE;
  Area area;
  area.prot = request.prot & kAllProt;
  area.flags = (shared ? MAP_SHARED : MAP_PRIVATE) |
               (request.flags & (MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_LOCKED));
  area.file = request.file;
  if (request.file) area.offset = request.offset;
  if (shared && !request.file) area.shared_id = NewSharedId();
  area.may_write = request.may_write;
  area.may_exec = request.may_exec;
  area.name = request.name;
  return area;
}

// Each shared mapping of /dev/zero is memory of its own. Linux: shmem_zero_setup.
void BecomeAnonymous(Area& area) {
  area.file = {};
  area.flags |= MAP_ANONYMOUS;
  area.offset = 0;
  area.shared_id = NewSharedId();
}

// The host call for a new area. The stack is one large mapping, which the host must not grow.
HostOp MmapOp(const Area& area, const Mappable::Backing& backing, int request_flags) {
  int flags = MAP_FIXED | (request_flags & kHostFlags) | (area.shared() ? MAP_SHARED : MAP_PRIVATE);
  if ((area.flags & MAP_LOCKED) != 0) flags |= MAP_POPULATE;
  if (!area.name.empty()) flags &= ~MAP_GROWSDOWN;
  if (backing.host_fd >= 0) {
    flags &= ~MAP_ANONYMOUS;
  } else {
    flags |= MAP_ANONYMOUS;
  }
  return HostOp::Mmap(area.start, area.size(), area.prot, flags, backing.host_fd, backing.offset);
}

}  // namespace

// Linux: mmap_base() and randomize_stack_top(), scaled down for a small address space.
MemoryManager::Bases MemoryManager::ChooseBases(uint64_t task_size) {
  constexpr uint64_t kLarge = uint64_t{1} << 42;
  const uint64_t stack_random = task_size >= kLarge ? uint64_t{1} << 34 : task_size / 64;
  const uint64_t mmap_random = task_size >= kLarge ? uint64_t{1} << 40 : task_size / 32;
  const uint64_t stack_room = std::min<uint64_t>(128 << 20, task_size / 4);
  Bases bases;
  bases.stack_top = (task_size - RandomBelow(stack_random)) & ~(kPageSize - 1);
  bases.mmap_base = (task_size - stack_random - stack_room - RandomBelow(mmap_random)) & ~(kPageSize - 1);
  return bases;
}

MemoryManager::MemoryManager(Ref<AddressSpace> space, uint64_t task_size)
    : MemoryManager(std::move(space), task_size, ChooseBases(task_size)) {}

MemoryManager::MemoryManager(Ref<AddressSpace> space, uint64_t task_size, Bases bases)
    : space_(std::move(space)),
      task_size_(task_size),
      stack_top_(bases.stack_top),
      mmap_base_(bases.mmap_base) {}

ErrnoOr<uint64_t> MemoryManager::FindFree(uint64_t length, bool low_2g) {
  constexpr uint64_t k1G = 0x40000000;
  std::optional<uint64_t> found;
  if (low_2g) {
    found = areas_.FindGap(length, std::min(k1G, task_size_ / 4), std::min(2 * k1G, task_size_));
  } else {
    found = areas_.FindGap(length, kMinAddress, mmap_base_);
    if (!found) found = areas_.FindGap(length, kMinAddress, task_size_);
  }
  if (!found) return Errno::kNoMem;
  return *found;
}

ErrnoOr<uint64_t> MemoryManager::ChooseAddress(uint64_t addr, uint64_t length, int flags) {
  const bool no_replace = (flags & MAP_FIXED_NOREPLACE) != 0;
  if ((flags & MAP_FIXED) != 0 || no_replace) {
    if (!IsPageAligned(addr)) return Errno::kInval;
    if (addr > task_size_ - length) return Errno::kNoMem;
    if (addr < kMinAddress) return Errno::kPerm;
    if (no_replace && areas_.Overlaps(addr, addr + length)) return Errno::kExist;
    return addr;
  }
  if (addr != 0) {
    const uint64_t hint = std::max(addr & ~(kPageSize - 1), kMinAddress);
    const bool fits = hint <= task_size_ - length;
    if (fits && areas_.IsFree(hint, hint + length)) return hint;
  }
  return FindFree(length, (flags & MAP_32BIT) != 0);
}

ErrnoOrVoid MemoryManager::CheckLimits(uint64_t more, uint64_t more_data, const Limits& limits) const {
  if (areas_.total_bytes() + more > limits.address_space) return Errno::kNoMem;
  if (more_data > 0 && areas_.data_bytes() + more_data > limits.data) return Errno::kNoMem;
  return {};
}

ErrnoOr<Plan> MemoryManager::Map(const MapRequest& request, const Limits& limits) {
  const uint64_t length = TRY(CheckRequest(request, task_size_));
  Plan plan;
  Area area = AreaFor(request);
  Mappable::Backing backing;
  if (request.file) {
    backing = TRY(request.file.mappable->BackingFor(area.offset, length, area.shared(),
                                                    area.shared() && area.may_write));
    plan.keep.push_back(request.file);
    if (backing.host_fd < 0 && area.shared()) BecomeAnonymous(area);
  }

  absl::MutexLock lock(&mu_);
  if (lock_future_) area.flags |= MAP_LOCKED;
  if ((area.flags & MAP_LOCKED) != 0) {
    if (limits.locked == 0) return Errno::kPerm;
    if (areas_.locked_bytes() + length > limits.locked) return Errno::kAgain;
  }
  if (areas_.size() + 2 > kMaxAreas) return Errno::kNoMem;
  const uint64_t start = TRY(ChooseAddress(request.addr, length, request.flags));
  const uint64_t more = length - areas_.BytesIn(start, start + length);
  TRY_VOID(CheckLimits(more, area.is_data() ? more : 0, limits));

  area.start = start;
  area.end = start + length;
  plan.result = plan.start = start;
  plan.end = area.end;
  plan.ops.push_back(MmapOp(area, backing, request.flags));
  plan.before = areas_.Remove(start, area.end);
  areas_.Insert(std::move(area));
  return plan;
}

ErrnoOr<Plan> MemoryManager::Unmap(uint64_t addr, uint64_t length) {
  std::optional<uint64_t> size = PageUp(length);
  if (!IsPageAligned(addr) || !size || *size == 0) return Errno::kInval;
  const uint64_t linux_size = std::max(task_size_, kLinuxTaskSize);
  if (addr > linux_size || *size > linux_size - addr) return Errno::kInval;
  // What Linux has and we have not is never mapped.
  if (addr >= task_size_) return Plan{.start = addr, .end = addr};
  *size = std::min(*size, task_size_ - addr);
  Plan plan;
  absl::MutexLock lock(&mu_);
  if (areas_.size() + 1 > kMaxAreas) return Errno::kNoMem;
  plan.start = addr;
  plan.end = addr + *size;
  // Also where the list knows nothing: a mapping that grows down may have grown.
  const uint64_t from = std::max(addr, kMinAddress);
  if (from < plan.end) plan.ops.push_back(HostOp::Munmap(from, plan.end - from));
  plan.before = areas_.Remove(plan.start, plan.end);
  return plan;
}

// Linux: ksys_shmdt. The pieces lie where they were attached, each at its offset.
ErrnoOr<Plan> MemoryManager::Detach(uint64_t addr) {
  if (!IsPageAligned(addr)) return Errno::kInval;
  Plan plan;
  absl::MutexLock lock(&mu_);
  const Mappable* attached = nullptr;
  uint64_t last = task_size_;
  areas_.Visit(addr, last, [&](const Area& area) {
    if (area.end > last) return false;
    const bool in_place = area.file && area.start >= addr && area.start - addr == area.offset &&
                          area.file.mappable->attached_bytes() != 0;
    if (!in_place || (attached != nullptr && area.file.mappable != attached)) return true;
    if (attached == nullptr) {
      attached = area.file.mappable;
      plan.start = area.start;
      last = std::min(task_size_, addr + attached->attached_bytes());
    }
    plan.end = area.end;
    plan.ops.push_back(HostOp::Munmap(area.start, area.size()));
    return true;
  });
  if (attached == nullptr) return Errno::kInval;
  plan.before = areas_.Copy(plan.start, plan.end);
  for (const HostOp& op : plan.ops) areas_.Remove(op.args[0], op.args[0] + op.args[1]);
  return plan;
}

void MemoryManager::SetOwner(pid_t pid) {
  absl::MutexLock lock(&mu_);
  areas_.set_owner(pid);
}

ErrnoOr<Plan> MemoryManager::Protect(uint64_t addr, uint64_t length, int prot, const Limits& limits) {
  constexpr int kProtSem = 0x8;
  const bool grows_down = (prot & PROT_GROWSDOWN) != 0;
  if ((prot & ~(kAllProt | kProtSem | PROT_GROWSDOWN)) != 0 || !IsPageAligned(addr)) return Errno::kInval;
  Plan plan;
  if (length == 0) return plan;
  const std::optional<uint64_t> size = PageUp(length);
  if (!size || addr > task_size_ || *size > task_size_ - addr) return Errno::kNoMem;
  const uint64_t end = addr + *size;

  absl::MutexLock lock(&mu_);
  if (grows_down) {
    const Area* const area = areas_.Find(addr);
    if (area == nullptr) return Errno::kNoMem;
    if ((area->flags & MAP_GROWSDOWN) == 0) return Errno::kInval;
    addr = area->start;
  }
  if (!areas_.Covers(addr, end) || areas_.size() + 2 > kMaxAreas) return Errno::kNoMem;
  uint64_t more_data = 0;
  bool allowed = true;
  areas_.Visit(addr, end, [&](const Area& area) {
    if ((prot & PROT_WRITE) != 0 && area.shared() && !area.may_write) allowed = false;
    if ((prot & PROT_EXEC) != 0 && !area.may_exec) allowed = false;
    Area changed = area;
    changed.prot = prot & kAllProt;
    if (changed.is_data() && !area.is_data())
      more_data += std::min(area.end, end) - std::max(area.start, addr);
    return allowed;
  });
  if (!allowed) return Errno::kAcces;
  TRY_VOID(CheckLimits(0, more_data, limits));
  plan.start = addr;
  plan.end = end;
  plan.before = areas_.Copy(addr, end);
  plan.ops.push_back(HostOp::Mprotect(addr, end - addr, prot & kAllProt));
  areas_.Change(addr, end, [&](Area& area) { area.prot = prot & kAllProt; });
  return plan;
}

Plan MemoryManager::Brk(uint64_t addr, const Limits& limits) {
  Plan plan;
  absl::MutexLock lock(&mu_);
  plan.result = brk_;
  if (addr < brk_base_ || addr > task_size_) return plan;
  if (addr - brk_base_ > limits.data) return plan;
  const uint64_t old_end = *PageUp(brk_);
  const uint64_t new_end = *PageUp(addr);
  if (new_end > old_end) {
    if (new_end > task_size_ || !areas_.IsFree(old_end, new_end + kPageSize)) return plan;
    if (areas_.size() + 1 > kMaxAreas) return plan;
    if (!CheckLimits(new_end - old_end, new_end - old_end, limits).ok()) return plan;
    Area heap;
    heap.start = plan.start = old_end;
    heap.end = plan.end = new_end;
    heap.prot = PROT_READ | PROT_WRITE;
    heap.flags = MAP_PRIVATE | MAP_ANONYMOUS | (lock_future_ ? MAP_LOCKED : 0);
    heap.name = "[heap]";
    plan.ops.push_back(MmapOp(heap, {}, 0));
    // What the program has changed of its heap (mprotect) stays apart from the new piece.
    areas_.Insert(std::move(heap));
  } else if (new_end < old_end) {
    plan.start = new_end;
    plan.end = old_end;
    plan.before = areas_.Remove(new_end, old_end);
    plan.ops.push_back(HostOp::Munmap(new_end, old_end - new_end));
  }
  plan.brk_before = plan.result_if_failed = brk_;
  plan.result = brk_ = addr;
  return plan;
}

void MemoryManager::Failed(const Plan& plan, uint32_t ops_run) {
  std::vector<Area> dropped, dropped_too;
  absl::MutexLock lock(&mu_);
  dropped = areas_.Remove(plan.start, plan.end);
  dropped_too = areas_.Remove(plan.moved_start, plan.moved_end);
  if (plan.brk_before) brk_ = *plan.brk_before;
  if (ops_run > 1) return;
  for (const Area& area : plan.before) {
    if (!areas_.Overlaps(area.start, area.end)) areas_.Insert(area);
  }
}

void MemoryManager::SetBrkBase(uint64_t base) {
  absl::MutexLock lock(&mu_);
  brk_base_ = brk_ = base;
}

}  // namespace cloister::mm
