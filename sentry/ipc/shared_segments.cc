#include "sentry/ipc/shared_segments.h"

#include "absl/strings/str_format.h"

namespace cloister::ipc {
namespace {

constexpr uint64_t kPageSize = 4096;
constexpr uint64_t kBlock = 512;  // of stat(2)

constexpr uint64_t PagesOf(uint64_t bytes) { return bytes / kPageSize + (bytes % kPageSize != 0 ? 1 : 0); }

// What shmat(2) maps: a segment as one call attached it. Linux: the file of do_shmat.
class Attachment final : public vfs::FileDescription, public mm::Mappable {
 public:
  Attachment(Ref<SharedSegments> table, Ref<SharedSegment> segment)
      : FileDescription(segment->file->flags(), segment->file->path(), segment->file->cred()),
        table_(std::move(table)),
        segment_(std::move(segment)) {}

  Ref<vfs::Inode> inode() const override { return segment_->file->inode(); }
  ErrnoOrVoid Sync(bool) override { return {}; }
  mm::Mappable* AsMappable() override { return this; }

  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t length, bool shared, bool writable) override {
    return memory().BackingFor(offset, length, shared, writable);
  }
  Identity identity() const override { return memory().identity(); }
  std::string MappedName() const override { return memory().MappedName(); }
  void OnAreaAdded(pid_t by) override { table_->OnAreaAdded(*segment_, by); }
  void OnAreaRemoved(pid_t by) override { table_->OnAreaRemoved(*segment_, by); }
  uint64_t attached_bytes() const override { return PagesOf(segment_->size) * kPageSize; }

 private:
  mm::Mappable& memory() const { return *segment_->file->AsMappable(); }

  const Ref<SharedSegments> table_;
  const Ref<SharedSegment> segment_;
};

shmid64_ds StatusOf(const SharedSegment& segment) {
  shmid64_ds status = {};
  status.shm_perm = segment.Describe();
  status.shm_segsz = segment.size;
  status.shm_atime = segment.attach_time;
  status.shm_dtime = segment.detach_time;
  status.shm_ctime = segment.change_time;
  status.shm_cpid = segment.creator_pid;
  status.shm_lpid = segment.last_pid;
  status.shm_nattch = segment.attached;
  return status;
}

uint64_t ResidentBytes(const SharedSegment& segment) {
  const ErrnoOr<struct statx> attr = segment.file->inode()->GetAttr();
  return attr.ok() ? attr->stx_blocks * kBlock : 0;
}

// Huge pages are asked for by a size that there is, and then there are none.
ErrnoOrVoid CheckHuge(int flags) {
  if ((flags & SHM_HUGETLB) == 0) return {};
  const int shift = flags >> SHM_HUGE_SHIFT & SHM_HUGE_MASK;
  if (shift != 0 && shift != 21 && shift != 30) return Errno::kInval;
  return Errno::kNoMem;
}

}  // namespace

mm::MappedFile SharedSegments::Hold::MakeAttachment() const {
  Ref<Attachment> attachment = MakeRef<Attachment>(table_, segment_);
  mm::Mappable* const mappable = attachment.get();
  return {Ref<RefCounted>(std::move(attachment)), mappable};
}

SharedSegments::Limits SharedSegments::limits() const {
  absl::MutexLock lock(&mu_);
  return limits_;
}

void SharedSegments::SetLimits(const Limits& limits) {
  std::vector<Ref<SharedSegment>> gone;
  absl::MutexLock lock(&mu_);
  limits_ = limits;
  if (!limits.remove_forced) return;
  std::vector<SharedSegment*> orphans;
  table_.Visit([&](SharedSegment& segment) {
    if (segment.creator == nullptr) orphans.push_back(&segment);
  });
  for (SharedSegment* const segment : orphans) gone.push_back(TakeIfUnusedLocked(*segment));
}

ErrnoOr<int> SharedSegments::Get(const GetRequest& request, const auth::Credentials& cred, MakeFile make) {
  absl::MutexLock lock(&mu_);
  const auto check = [&](const SharedSegment& segment) {
    return segment.size < request.size ? ErrnoOrVoid(Errno::kInval) : Ok();
  };
  return GetOrMake(table_, request.key, request.flags, cred, check, [&] {
    mu_.AssertHeld();
    return MakeLocked(request, cred, make);
  });
}

// Linux: newseg.
ErrnoOr<int> SharedSegments::MakeLocked(const GetRequest& request, const auth::Credentials& cred,
                                        MakeFile make) {
  if (request.size < SHMMIN || request.size > limits_.max_bytes) return Errno::kInval;
  const uint64_t pages = PagesOf(request.size);
  if (pages * kPageSize < request.size) return Errno::kNoSpc;
  if (pages_ + pages < pages_ || pages_ + pages > limits_.all_pages) return Errno::kNoSpc;
  TRY_VOID(CheckHuge(request.flags));
  if (table_.in_use() >= limits_.count) return Errno::kNoSpc;
  Ref<SharedSegment> segment = MakeRef<SharedSegment>(request.key, request.flags, cred);
  segment->file =
      TRY(make(absl::StrFormat("SYSV%08x", static_cast<uint32_t>(request.key)), pages * kPageSize));
  segment->size = request.size;
  segment->creator_pid = request.pid;
  segment->creator = request.creator;
  segment->change_time = NowSeconds();
  const int id = TRY(table_.Add(std::move(segment), limits_.count));
  pages_ += pages;
  if (request.creator != nullptr) created_.fetch_add(1, std::memory_order_relaxed);
  return id;
}

ErrnoOr<SharedSegments::Hold> SharedSegments::HoldForAttach(int id, int access,
                                                            const auth::Credentials& cred) {
  absl::MutexLock lock(&mu_);
  SharedSegment* const segment = table_.Find(id);
  if (segment == nullptr) return Errno::kInval;
  TRY_VOID(segment->CheckAccess(cred, access));
  ++segment->attached;
  return Hold(Ref<SharedSegments>(this), Ref<SharedSegment>(segment));
}

void SharedSegments::LetGo(SharedSegment& segment) {
  Ref<SharedSegment> gone;
  absl::MutexLock lock(&mu_);
  --segment.attached;
  gone = TakeIfUnusedLocked(segment);
}

void SharedSegments::OnAreaAdded(SharedSegment& segment, pid_t by) {
  absl::MutexLock lock(&mu_);
  ++segment.attached;
  segment.attach_time = NowSeconds();
  segment.last_pid = by;
}

void SharedSegments::OnAreaRemoved(SharedSegment& segment, pid_t by) {
  Ref<SharedSegment> gone;
  absl::MutexLock lock(&mu_);
  --segment.attached;
  segment.detach_time = NowSeconds();
  segment.last_pid = by;
  gone = TakeIfUnusedLocked(segment);
}

Ref<SharedSegment> SharedSegments::TakeIfUnusedLocked(SharedSegment& segment) {
  const bool dying = (segment.mode & kShmDest) != 0 || limits_.remove_forced;
  return segment.attached == 0 && dying && !segment.removed ? TakeLocked(segment) : nullptr;
}

// Linux: shm_destroy.
Ref<SharedSegment> SharedSegments::TakeLocked(SharedSegment& segment) {
  UnlockMemoryLocked(segment);
  pages_ -= PagesOf(segment.size);
  if (std::exchange(segment.creator, nullptr) != nullptr) created_.fetch_sub(1, std::memory_order_relaxed);
  return table_.Remove(segment);
}

ErrnoOr<Described<shmid64_ds>> SharedSegments::Describe(int id, Lookup how,
                                                        const auth::Credentials& cred) const {
  absl::MutexLock lock(&mu_);
  const SharedSegment* const segment = TRY(table_.Inspect(id, how, cred));
  return Described<shmid64_ds>{segment->id, StatusOf(*segment)};
}

ErrnoOrVoid SharedSegments::Change(int id, const shmid64_ds& wanted, const auth::Credentials& cred) {
  absl::MutexLock lock(&mu_);
  SharedSegment* const segment = TRY(table_.FindToControl(id, cred));
  TRY_VOID(segment->SetOwner(wanted.shm_perm));
  segment->change_time = NowSeconds();
  return {};
}

// Linux: do_shm_rmid. What is attached still lives on without a key, and goes with the last detach.
ErrnoOrVoid SharedSegments::Remove(int id, const auth::Credentials& cred) {
  Ref<SharedSegment> gone;
  absl::MutexLock lock(&mu_);
  SharedSegment* const segment = TRY(table_.FindToControl(id, cred));
  if (segment->attached == 0) {
    gone = TakeLocked(*segment);
  } else {
    segment->mode |= kShmDest;
    table_.ForgetKey(*segment);
  }
  return {};
}

ErrnoOrVoid SharedSegments::Lock(int id, const auth::Credentials& cred, uint64_t limit) {
  absl::MutexLock lock(&mu_);
  SharedSegment* const segment = table_.Find(id);
  if (segment == nullptr) return Errno::kInval;
  const bool capable = cred.Has(CAP_IPC_LOCK);
  if (!capable && ((cred.euid != segment->uid && cred.euid != segment->cuid) || limit == 0))
    return Errno::kPerm;
  if ((segment->mode & kShmLocked) != 0) return {};
  const uint64_t bytes = PagesOf(segment->size) * kPageSize;
  const auto found = locked_bytes_.find(cred.uid);
  const uint64_t locked = found != locked_bytes_.end() ? found->second : 0;
  if (!capable && (locked > limit || bytes > limit - locked)) return Errno::kNoMem;
  locked_bytes_[cred.uid] = locked + bytes;
  segment->locked_by = cred.uid;
  segment->mode |= kShmLocked;
  return {};
}

ErrnoOrVoid SharedSegments::Unlock(int id, const auth::Credentials& cred) {
  absl::MutexLock lock(&mu_);
  SharedSegment* const segment = table_.Find(id);
  if (segment == nullptr) return Errno::kInval;
  if (!cred.Has(CAP_IPC_LOCK) && cred.euid != segment->uid && cred.euid != segment->cuid) return Errno::kPerm;
  UnlockMemoryLocked(*segment);
  return {};
}

void SharedSegments::UnlockMemoryLocked(SharedSegment& segment) {
  if ((segment.mode & kShmLocked) == 0) return;
  segment.mode &= ~kShmLocked;
  const auto found = locked_bytes_.find(segment.locked_by);
  found->second -= PagesOf(segment.size) * kPageSize;
  if (found->second == 0) locked_bytes_.erase(found);
}

int SharedSegments::Info(shminfo64* info) const {
  absl::MutexLock lock(&mu_);
  info->shmmax = limits_.max_bytes;
  info->shmmin = SHMMIN;
  info->shmmni = static_cast<uint64_t>(limits_.count);
  info->shmseg = info->shmmni;
  info->shmall = limits_.all_pages;
  return table_.highest_index();
}

int SharedSegments::Usage(shm_info* info) const {
  uint64_t resident = 0;
  for (const Listed& listed : List()) resident += listed.resident;
  absl::MutexLock lock(&mu_);
  info->used_ids = table_.in_use();
  info->shm_tot = pages_;
  info->shm_rss = resident / kPageSize;
  return table_.highest_index();
}

std::vector<SharedSegments::Listed> SharedSegments::List() const {
  std::vector<Ref<SharedSegment>> segments;
  std::vector<Listed> listed;
  {
    absl::MutexLock lock(&mu_);
    table_.Visit([&](SharedSegment& segment) {
      segments.emplace_back(&segment);
      listed.push_back({{segment.id, StatusOf(segment)}});
    });
  }
  for (size_t i = 0; i < segments.size(); ++i) listed[i].resident = ResidentBytes(*segments[i]);
  return listed;
}

void SharedSegments::OnExit(const void* creator) {
  if (created_.load(std::memory_order_relaxed) == 0) return;
  std::vector<Ref<SharedSegment>> gone;
  absl::MutexLock lock(&mu_);
  std::vector<SharedSegment*> orphans;
  table_.Visit([&](SharedSegment& segment) {
    if (segment.creator == creator) orphans.push_back(&segment);
  });
  for (SharedSegment* const segment : orphans) {
    segment->creator = nullptr;
    created_.fetch_sub(1, std::memory_order_relaxed);
    gone.push_back(TakeIfUnusedLocked(*segment));
  }
}

}  // namespace cloister::ipc
