// Asynchronous I/O, io_setup(2) and its kin. As Linux does for files that are not opened with O_DIRECT, a
// request is carried out while it is submitted; its event can then be taken.

#include <linux/aio_abi.h>
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "sentry/fs/event/anon_file.h"
#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"
#include "sentry/syscalls/time_arguments.h"
#include "sentry/syscalls/transfer.h"

namespace cloister::syscalls {
namespace {

using task::Block;
using usermem::UserBuffer;
using usermem::UserPtr;
using vfs::FileDescription;

// /proc/sys/fs/aio-max-nr: events of all contexts together.
constexpr uint32_t kMaxEvents = 65536;
std::atomic<uint32_t> reserved_events{0};

// A context. Linux: struct kioctx. It lives as long as the page whose address is its name: libaio looks into
// that page for events, and finds by its lack of a magic number that it has to ask.
class AioContext final : public event::AnonFile, public mm::Mappable {
 public:
  AioContext(auth::CredRef cred, uint32_t capacity)
      : AnonFile(O_RDWR, std::move(cred), "[aio]"), capacity_(capacity) {
    absl::MutexLock lock(&AllMu());
    All().insert(this);
  }
  ~AioContext() override {
    {
      absl::MutexLock lock(&AllMu());
      All().erase(this);
    }
    reserved_events.fetch_sub(capacity_, std::memory_order_relaxed);
  }

  // The context by this name; kInval where there is none.
  static ErrnoOr<Ref<AioContext>> Find(Task& task, uint64_t id) {
    const std::optional<mm::Area> area = task.mm().AreaAt(id);
    if (!area || area->start != id || !area->file) return Errno::kInval;
    absl::MutexLock lock(&AllMu());
    auto* const context = static_cast<FileDescription*>(area->file.keep.get());
    if (!All().contains(context)) return Errno::kInval;
    return Ref<AioContext>(static_cast<AioContext*>(context));
  }

  // Room for one more event, given back by Complete. False: none.
  bool Reserve() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (destroyed_ || events_.size() + under_way_ >= capacity_) return false;
    ++under_way_;
    return true;
  }
  void Release() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    --under_way_;
  }
  void Complete(const io_event& event) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      --under_way_;
      events_.push_back(event);
    }
    queue_.Notify(wait::Poll::kIn);
  }
  std::vector<io_event> Take(size_t most) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    const size_t count = std::min(most, events_.size());
    std::vector<io_event> taken(events_.begin(), events_.begin() + static_cast<ptrdiff_t>(count));
    events_.erase(events_.begin(), events_.begin() + static_cast<ptrdiff_t>(count));
    return taken;
  }
  // The events could not be told: they stay, in their order.
  void PutBack(const std::vector<io_event>& events) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    events_.insert(events_.begin(), events.begin(), events.end());
  }
  // False where it was destroyed already.
  bool Destroy() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      absl::MutexLock lock(&mu_);
      if (std::exchange(destroyed_, true)) return false;
    }
    queue_.Notify(wait::Poll::kIn);
    return true;
  }
  bool destroyed() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    return destroyed_;
  }
  wait::WaitQueue& queue() { return queue_; }

  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t, uint64_t, bool, bool) override { return Backing{}; }
  Identity identity() const override { return {}; }
  std::string MappedName() const override { return "/[aio] (deleted)"; }

 private:
  static absl::Mutex& AllMu() {
    static absl::Mutex* const mutex = new absl::Mutex;
    return *mutex;
  }
  static absl::flat_hash_set<const FileDescription*>& All() {
    static auto* const all = new absl::flat_hash_set<const FileDescription*>;
    return *all;
  }

  const uint32_t capacity_;
  wait::WaitQueue queue_;
  absl::Mutex mu_;  // leaf
  std::deque<io_event> events_ ABSL_GUARDED_BY(mu_);
  size_t under_way_ ABSL_GUARDED_BY(mu_) = 0;
  bool destroyed_ ABSL_GUARDED_BY(mu_) = false;
};

// Room for the event of a request under way; given back with the object, unless the request was completed.
class Room {
 public:
  Room() = default;
  explicit Room(Ref<AioContext> context) : context_(std::move(context)) {}
  Room(Room&&) = default;
  Room& operator=(Room&& other) {
    std::swap(context_, other.context_);
    return *this;
  }
  ~Room() {
    if (context_) context_->Release();
  }
  void Spend() { context_.reset(); }

 private:
  Ref<AioContext> context_;
};

// io_setup(2). The page is private memory of the guest, not inherited by fork(2).
struct IoSetupCall {
  Ref<AioContext> context;
  uint64_t told_at = 0;

  static ErrnoOr<IoSetupCall> Begin(Task& task, const SyscallArgs& args) {
    const uint32_t wanted = args.Uint(0);
    if (TRY(task.CopyIn(args.Ptr<const uint64_t>(1))) != 0 || wanted == 0) return Errno::kInval;
    if (wanted > kMaxEvents) return Errno::kAgain;
    if (reserved_events.fetch_add(wanted, std::memory_order_relaxed) + wanted > kMaxEvents) {
      reserved_events.fetch_sub(wanted, std::memory_order_relaxed);
      return Errno::kAgain;
    }
    return IoSetupCall{MakeRef<AioContext>(task.cred(), wanted), args.Addr(1)};
  }

  Outcome Step(Task& task) {
    if (!task.TakeMemoryOp()) return task.MemoryOpBlock();
    mm::MemoryManager::MapRequest request;
    request.length = mm::kPageSize;
    request.prot = PROT_READ | PROT_WRITE;
    request.flags = MAP_PRIVATE;
    request.file = mm::MappedFile{Ref<RefCounted>(context), context.get()};
    ErrnoOr<mm::Plan> plan = task.mm().Map(request, {});
    if (!plan.ok()) return Answer(plan.error());
    if (!task.CopyOut(UserPtr<uint64_t>(told_at), plan->result).ok()) {
      task.mm().Failed(*plan);
      return Answer(Errno::kFault);
    }
    static_cast<void>(task.mm().Advise(plan->result, mm::kPageSize, MADV_DONTFORK));
    plan->result = 0;
    return task::RunPlan{*std::move(plan)};
  }
};

// io_destroy(2). Nothing is under way that could be waited for.
struct IoDestroyCall {
  uint64_t id = 0;

  static ErrnoOr<IoDestroyCall> Begin(Task& task, const SyscallArgs& args) {
    const Ref<AioContext> context = TRY(AioContext::Find(task, args.Addr(0)));
    if (!context->Destroy()) return Errno::kInval;
    return IoDestroyCall{args.Addr(0)};
  }

  Outcome Step(Task& task) {
    if (!task.TakeMemoryOp()) return task.MemoryOpBlock();
    ErrnoOr<mm::Plan> plan = task.mm().Unmap(id, mm::kPageSize);
    if (!plan.ok()) return Answer(plan.error());
    return task::RunPlan{*std::move(plan)};
  }
};

// io_submit(2).
struct IoSubmitCall {
  Ref<AioContext> context;
  uint64_t list = 0;
  int64_t count = 0;
  int64_t done = 0;
  // The request under way.
  Room room;
  std::optional<Transfer> transfer;
  iocb request = {};
  uint64_t request_addr = 0;
  Ref<FileDescription> notified;  // IOCB_FLAG_RESFD

  static ErrnoOr<IoSubmitCall> Begin(Task& task, const SyscallArgs& args) {
    IoSubmitCall call;
    call.count = args.Long(1);
    call.list = args.Addr(2);
    if (call.count < 0) return Errno::kInval;
    call.context = TRY(AioContext::Find(task, args.Addr(0)));
    return call;
  }

  Outcome Step(Task& task) {
    while (done < count) {
      if (!transfer) {
        const ErrnoOr<std::optional<int64_t>> begun = BeginNext(task);
        if (!begun.ok()) return done > 0 ? Answer(done) : Answer(begun.error());
        if (*begun) {
          Finish(**begun);
          continue;
        }
      }
      Outcome outcome = transfer->Step(task);
      if (Block* const block = std::get_if<Block>(&outcome)) {
        if (done > 0) block->at_signal = done;
        return outcome;
      }
      transfer.reset();
      Finish(std::get<Answer>(outcome).rax());
    }
    return Answer(done);
  }

  // Takes in one request: the result where it has one at once, else `transfer` is set.
  ErrnoOr<std::optional<int64_t>> BeginNext(Task& task) {
    request_addr = TRY(task.CopyIn(UserPtr<const uint64_t>(list + static_cast<uint64_t>(done) * 8)));
    request = TRY(task.CopyIn(UserPtr<const iocb>(request_addr)));
    if (request.aio_reserved2 != 0) return Errno::kInval;
    if (static_cast<int64_t>(request.aio_nbytes) < 0) return Errno::kInval;
    const Ref<FileDescription> file = TRY(task.GetFile(static_cast<int>(request.aio_fildes)));
    notified = nullptr;
    if (request.aio_flags & IOCB_FLAG_RESFD) {
      notified = TRY(task.GetFile(static_cast<int>(request.aio_resfd)));
      if (notified->Name() != "anon_inode:[eventfd]") return Errno::kInval;
    }
    if (!context->Reserve()) return Errno::kAgain;
    Room reserved(context);
    ErrnoOr<std::optional<int64_t>> begun = Start(task, *file);
    if (begun.ok()) {  // the word that io_cancel(2) looks at
      const ErrnoOrVoid told =
          task.CopyOut(UserPtr<uint32_t>(request_addr + offsetof(iocb, aio_key)), uint32_t{0});
      if (!told.ok()) begun = told.error();
    }
    if (begun.ok()) {
      room = std::move(reserved);
    } else {
      transfer.reset();
    }
    return begun;
  }

  ErrnoOr<std::optional<int64_t>> Start(Task& task, FileDescription& file) {
    const int fd = static_cast<int>(request.aio_fildes);
    const bool vector =
        request.aio_lio_opcode == IOCB_CMD_PREADV || request.aio_lio_opcode == IOCB_CMD_PWRITEV;
    switch (request.aio_lio_opcode) {
      case IOCB_CMD_PREAD:
      case IOCB_CMD_PWRITE:
      case IOCB_CMD_PREADV:
      case IOCB_CMD_PWRITEV: {
        const bool write =
            request.aio_lio_opcode == IOCB_CMD_PWRITE || request.aio_lio_opcode == IOCB_CMD_PWRITEV;
        transfer = TRY(Transfer::On(task, fd, write,
                                    vector ? task.BufferOfIovec(request.aio_buf, request.aio_nbytes)
                                           : task.Buffer(request.aio_buf, request.aio_nbytes)));
        if (file.wait_queue() == nullptr) TRY_VOID(transfer->SetOffset(request.aio_offset));
        TRY_VOID(transfer->SetFlags(request.aio_rw_flags));
        return std::optional<int64_t>();
      }
      case IOCB_CMD_FSYNC:
      case IOCB_CMD_FDSYNC: {
        if (request.aio_buf != 0 || request.aio_offset != 0 || request.aio_nbytes != 0) return Errno::kInval;
        if (file.AsMappable() == nullptr) return Errno::kInval;
        return std::optional<int64_t>(
            task::ToAnswer(file.Sync(request.aio_lio_opcode == IOCB_CMD_FDSYNC)).rax());
      }
      default:
        return Errno::kInval;
    }
  }

  void Finish(int64_t result) {
    io_event event = {};
    event.data = request.aio_data;
    event.obj = request_addr;
    event.res = result;
    room.Spend();
    context->Complete(event);
    ++done;
    if (!notified) return;
    const uint64_t one = 1;
    UserBuffer bytes = UserBuffer::KernelConst(std::as_bytes(std::span(&one, 1)));
    static_cast<void>(notified->Write(bytes));
    notified = nullptr;
  }
};

// io_getevents(2).
struct IoGeteventsCall {
  Ref<AioContext> context;
  int64_t least = 0, most = 0, got = 0;
  uint64_t events = 0;
  wait::MonotonicNs until = wait::kNever;

  static ErrnoOr<IoGeteventsCall> Begin(Task& task, const SyscallArgs& args) {
    IoGeteventsCall call;
    call.least = args.Long(1);
    call.most = args.Long(2);
    call.events = args.Addr(3);
    if (args.Addr(4) != 0) call.until = DeadlineAfter(TRY(CopyInDuration(task, args.Addr(4))));
    call.context = TRY(AioContext::Find(task, args.Addr(0)));
    if (call.least < 0 || call.most < call.least) return Errno::kInval;
    return call;
  }

  Outcome Step(Task& task) {
    while (got < most) {
      constexpr int64_t kBatch = 64;
      const std::vector<io_event> taken = context->Take(static_cast<size_t>(std::min(most - got, kBatch)));
      if (taken.empty()) break;
      const uint64_t at = events + static_cast<uint64_t>(got) * sizeof(io_event);
      if (!usermem::CopyOutArray(task.space(), UserPtr<io_event>(at), std::span<const io_event>(taken))
               .ok()) {
        context->PutBack(taken);
        return got > 0 ? Answer(got) : Answer(Errno::kFault);
      }
      got += static_cast<int64_t>(taken.size());
    }
    if (got >= least || context->destroyed()) return Answer(got);
    Block block;
    block.on.push_back({Ref<RefCounted>(context), &context->queue(), wait::Poll::kIn});
    block.until = until;
    block.at_deadline = got;
    block.at_signal = got > 0 ? Answer(got) : Answer(Errno::kIntr);
    return block;
  }
};

// io_cancel(2): what was submitted is done already.
ErrnoOr<int> IoCancel(Task& task, const SyscallArgs& args) {
  const uint64_t key_at = args.Addr(1) + offsetof(iocb, aio_key);
  if (TRY(task.CopyIn(UserPtr<const uint32_t>(key_at))) != 0) return Errno::kInval;
  TRY(AioContext::Find(task, args.Addr(0)));
  return Errno::kInval;
}

constexpr Entry kEntries[] = {
    {SYS_io_setup, Blocking<IoSetupCall>},
    {SYS_io_destroy, Blocking<IoDestroyCall>},
    {SYS_io_submit, Blocking<IoSubmitCall>, Support::kPartial, "carried out at once; no IOCB_CMD_POLL"},
    {SYS_io_getevents, Blocking<IoGeteventsCall>},
    {SYS_io_cancel, Plain<IoCancel>},
};

}  // namespace

std::span<const Entry> AioSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
