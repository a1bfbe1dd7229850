#ifndef CLOISTER_SENTRY_SECCOMP_FILTER_H_
#define CLOISTER_SENTRY_SECCOMP_FILTER_H_

#include <linux/seccomp.h>

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>

#include "base/error/errno_or.h"
#include "base/own/ref.h"
#include "sentry/seccomp/bpf_program.h"

namespace cloister::seccomp {

// Who is asked of a call that a filter answers with SECCOMP_RET_USER_NOTIF.
class Listener : public RefCounted {
 public:
  // No task is left that could ask.
  virtual void OnUnused() = 0;
  // False: it has gone, and nobody is asked.
  virtual bool is_open() const = 0;
};

// A program that a task has installed, and behind it those that were there before. Linux: struct
// seccomp_filter. Immutable; shared by the tasks that have it and by the filters installed on top of it.
class Filter final : public RefCounted {
 public:
  // flags: SECCOMP_FILTER_FLAG_LOG counts. listener, previous: may be null. kNoMem where the chain would be
  // longer than Linux allows.
  static ErrnoOr<Ref<const Filter>> Make(BpfProgram program, uint64_t flags, Ref<const Filter> previous,
                                         Ref<Listener> listener = nullptr);
  // SECCOMP_MODE_STRICT: read, write, exit and rt_sigreturn alone. It has no program.
  static Ref<const Filter> Strict();

  // What the program with the strictest action says (the newest of those that say the same).
  struct Verdict {
    uint32_t action = SECCOMP_RET_ALLOW;  // SECCOMP_RET_…
    uint32_t data = 0;                    // SECCOMP_RET_DATA
    const Filter* by = nullptr;           // null: all allow
  };
  Verdict Run(const seccomp_data& data) const;

  // Whether all programs allow the call of this number whatever its arguments are: nobody needs to ask.
  bool AlwaysAllows(uint64_t number) const { return number < kNumbers && always_allowed_[number]; }

  bool is_strict() const { return !program_.has_value(); }
  bool logs() const { return logs_; }
  uint32_t count() const { return count_; }  // of programs
  Listener* listener() const { return listener_.get(); }
  // Whether one of the chain has a listener that is open: there can be no second one.
  bool HasListener() const;
  // Whether `newest`, which may be null, has this one in its chain.
  bool IsIn(const Filter* newest) const;

 private:
  friend class FilterSlot;
  static constexpr size_t kNumbers = 512;

  Filter() = default;
  ~Filter() override;
  void AddUser() const { users_.fetch_add(1, std::memory_order_relaxed); }
  void DropUser() const;
  void FillAlwaysAllowed();

  std::optional<BpfProgram> program_;
  std::bitset<kNumbers> always_allowed_;
  bool logs_ = false;
  uint32_t count_ = 0;
  size_t total_length_ = 0;  // of the chain, as Linux counts
  Ref<Listener> listener_;
  mutable Ref<const Filter> previous_;  // let go of in the destructor
  // Tasks that have it, and filters on top of it that have users or may still get some.
  mutable std::atomic<uint32_t> users_{0};
  mutable std::atomic<bool> retired_{false};  // it has had users
};

// The filters of one task. They are replaced by a chain that has them in it, and by nothing else while the
// task lives: so its owner reads them without a lock, and they stay.
class FilterSlot {
 public:
  FilterSlot() = default;
  ~FilterSlot() { Clear(); }
  FilterSlot(const FilterSlot&) = delete;
  FilterSlot& operator=(const FilterSlot&) = delete;

  const Filter* get() const { return now_.load(std::memory_order_seq_cst); }
  int mode() const;  // SECCOMP_MODE_…
  // The rest is for holders of one lock.
  Ref<const Filter> ref() const { return kept_; }
  void Set(Ref<const Filter> filter);
  // The task ends.
  void Clear();

 private:
  std::atomic<const Filter*> now_{nullptr};
  Ref<const Filter> kept_;
};

}  // namespace cloister::seccomp

#endif  // CLOISTER_SENTRY_SECCOMP_FILTER_H_
