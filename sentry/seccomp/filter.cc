#include "sentry/seccomp/filter.h"

#include <linux/audit.h>
#include <sys/syscall.h>

#include <utility>

namespace cloister::seccomp {
namespace {

// Linux: MAX_INSNS_PER_PATH, and what each further filter costs.
constexpr size_t kMaxTotalLength = 32768;
constexpr size_t kPenalty = 4;

}  // namespace

ErrnoOr<Ref<const Filter>> Filter::Make(BpfProgram program, uint64_t flags, Ref<const Filter> previous,
                                        Ref<Listener> listener) {
  const size_t before = previous ? previous->total_length_ + kPenalty : 0;
  if (before + program.counted_length() > kMaxTotalLength) return Errno::kNoMem;
  Ref<Filter> filter = Ref<Filter>::Adopt(new Filter);
  filter->total_length_ = before + program.counted_length();
  filter->program_ = std::move(program);
  filter->logs_ = (flags & SECCOMP_FILTER_FLAG_LOG) != 0;
  filter->count_ = previous ? previous->count_ + 1 : 1;
  filter->listener_ = std::move(listener);
  filter->previous_ = std::move(previous);
  if (filter->previous_) filter->previous_->AddUser();
  filter->FillAlwaysAllowed();
  return Ref<const Filter>(std::move(filter));
}

Ref<const Filter> Filter::Strict() {
  static const Filter* const strict = [] {
    auto* filter = new Filter;
    for (const size_t number : {SYS_read, SYS_write, SYS_exit, SYS_rt_sigreturn})
      filter->always_allowed_.set(number);
    return filter;
  }();
  return Ref<const Filter>(strict);
}

// Linux: seccomp_cache_prepare.
void Filter::FillAlwaysAllowed() {
  for (size_t number = 0; number < kNumbers; ++number) {
    if (previous_ && !previous_->always_allowed_[number]) continue;
    const std::optional<uint32_t> verdict =
        program_->RunOnNumber(AUDIT_ARCH_X86_64, static_cast<int>(number));
    // Linux: with data an allowance is the same, and is not kept so.
    always_allowed_[number] = verdict == SECCOMP_RET_ALLOW;
  }
}

// Chains are long: no recursion.
Filter::~Filter() {
  if (previous_ && !retired_.load(std::memory_order_acquire)) previous_->DropUser();
  Ref<const Filter> next = std::move(previous_);
  while (next && next->ref_count() == 1) next = Ref<const Filter>(std::move(next->previous_));
}

void Filter::DropUser() const {
  const Filter* filter = this;
  while (filter != nullptr && filter->users_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    filter->retired_.store(true, std::memory_order_release);
    if (filter->listener_) filter->listener_->OnUnused();
    filter = filter->previous_.get();
  }
}

// Linux: seccomp_run_filters.
Filter::Verdict Filter::Run(const seccomp_data& data) const {
  Verdict strictest;
  for (const Filter* filter = this; filter != nullptr; filter = filter->previous_.get()) {
    const uint32_t said = filter->program_->Run(data);
    const uint32_t action = said & SECCOMP_RET_ACTION_FULL;
    if (static_cast<int32_t>(action) >= static_cast<int32_t>(strictest.action)) continue;
    strictest = {action, said & SECCOMP_RET_DATA, filter};
  }
  return strictest;
}

bool Filter::HasListener() const {
  for (const Filter* filter = this; filter != nullptr; filter = filter->previous_.get()) {
    if (filter->listener_ && filter->listener_->is_open()) return true;
  }
  return false;
}

bool Filter::IsIn(const Filter* newest) const {
  for (; newest != nullptr; newest = newest->previous_.get()) {
    if (newest == this) return true;
  }
  return false;
}

int FilterSlot::mode() const {
  const Filter* const filter = get();
  if (filter == nullptr) return SECCOMP_MODE_DISABLED;
  return filter->is_strict() ? SECCOMP_MODE_STRICT : SECCOMP_MODE_FILTER;
}

void FilterSlot::Set(Ref<const Filter> filter) {
  if (filter) filter->AddUser();
  now_.store(filter.get(), std::memory_order_seq_cst);
  std::swap(kept_, filter);
  if (filter) filter->DropUser();
}

void FilterSlot::Clear() { Set(nullptr); }

}  // namespace cloister::seccomp
