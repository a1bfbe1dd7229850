#include "sentry/syscalls/table.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

constexpr uint64_t kNumbers = task::Kernel::kSyscallNumbers;

struct Table {
  std::vector<Entry> entries;  // by number
  std::array<const Entry*, kNumbers> by_number = {};

  Table() {
    std::array<bool, kNumbers> served = {};
    for (const auto& theme : Themes()) {
      for (const Entry& entry : theme) {
        if (std::exchange(served[entry.number], true)) continue;
        entries.push_back(entry);
      }
    }
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.number < b.number; });
    for (const Entry& entry : entries) by_number[entry.number] = &entry;
  }
};

const Table& TheTable() {
  static const Table* const table = new Table;
  return *table;
}

}  // namespace

const Entry* Find(uint64_t number) { return number < kNumbers ? TheTable().by_number[number] : nullptr; }

std::span<const Entry> All() { return TheTable().entries; }

Outcome Dispatch(Task& task, const SyscallArgs& args, std::unique_ptr<RunningCall>* parked) {
  const Entry* const entry = Find(args.number());
  if (entry == nullptr) {
    task.kernel().CountUnimplemented(args.number());
    return Answer(Errno::kNoSys);
  }
  if (entry->support == Support::kUnsupported) task.kernel().CountUnimplemented(args.number());
  return entry->handler(task, args, parked);
}

}  // namespace cloister::syscalls
