#include "sentry/ipc/ipc_sysctl.h"

#include <climits>
#include <cstdint>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "sentry/ipc/ipc_object.h"
#include "sentry/ipc/message_queues.h"
#include "sentry/ipc/mqueue_limits.h"
#include "sentry/ipc/semaphore_sets.h"
#include "sentry/ipc/shared_segments.h"

namespace cloister::ipc {
namespace {

constexpr uint64_t kMostObjects = IdTable<SharedSegment>::kMostObjects;
constexpr uint64_t kMostInt = INT_MAX;
constexpr uint64_t kMostLong = std::numeric_limits<uint64_t>::max();

// Numbers with blanks around them.
ErrnoOr<std::vector<uint64_t>> ParseNumbers(std::string_view text) {
  std::vector<uint64_t> numbers;
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  for (const absl::string_view word : absl::StrSplit(absl::string_view(text.data(), text.size()),
                                                     absl::ByAnyChar(" \t\n"), absl::SkipEmpty())) {
    if (!absl::SimpleAtoi(word, &numbers.emplace_back())) return Errno::kInval;
  }
  return numbers;
}

template <auto Table, auto Field>
std::string Read(IpcNamespace& ipc) {
  auto& table = (ipc.*Table)();
  const auto limits = table.limits();
  return absl::StrCat(static_cast<uint64_t>(limits.*Field));
}

template <auto Table, auto Field, uint64_t Least, uint64_t Most>
ErrnoOrVoid Write(IpcNamespace& ipc, std::string_view text) {
  const std::vector<uint64_t> numbers = TRY(ParseNumbers(text));
  if (numbers.empty()) return {};
  if (numbers[0] < Least || numbers[0] > Most) return Errno::kInval;
  auto& table = (ipc.*Table)();
  auto limits = table.limits();
  limits.*Field = static_cast<std::remove_reference_t<decltype(limits.*Field)>>(numbers[0]);
  table.SetLimits(limits);
  return {};
}

constexpr int SemaphoreSets::Limits::* kSemFields[] = {
    &SemaphoreSets::Limits::per_set, &SemaphoreSets::Limits::all, &SemaphoreSets::Limits::ops,
    &SemaphoreSets::Limits::sets};

std::string ReadSem(IpcNamespace& ipc) {
  const SemaphoreSets::Limits limits = ipc.semaphores().limits();
  std::vector<int> values;
  for (const auto field : kSemFields) values.push_back(limits.*field);
  return absl::StrJoin(values, "\t");
}

ErrnoOrVoid WriteSem(IpcNamespace& ipc, std::string_view text) {
  const std::vector<uint64_t> numbers = TRY(ParseNumbers(text));
  SemaphoreSets::Limits limits = ipc.semaphores().limits();
  for (size_t i = 0; i < std::min(numbers.size(), std::size(kSemFields)); ++i) {
    if (numbers[i] > kMostInt) return Errno::kInval;
    limits.*kSemFields[i] = static_cast<int>(numbers[i]);
  }
  if (static_cast<uint64_t>(limits.sets) > kMostObjects) return Errno::kRange;
  ipc.semaphores().SetLimits(limits);
  return {};
}

template <auto Table, auto Field, uint64_t Least, uint64_t Most>
constexpr IpcSysctl Number(std::string_view folder, std::string_view name) {
  return {folder, name, Read<Table, Field>, Write<Table, Field, Least, Most>};
}

using Shm = SharedSegments::Limits;
using Msg = MessageQueues::Limits;
using Mq = MqueueLimits::Limits;
constexpr auto kShm = &IpcNamespace::segments;
constexpr auto kMsg = &IpcNamespace::messages;
constexpr auto kMq = &IpcNamespace::mqueue_limits;
constexpr uint64_t kMostMqMessages = 65536;          // HARD_MSGMAX
constexpr uint64_t kMostMqBytes = 16 * 1024 * 1024;  // HARD_MSGSIZEMAX

constexpr IpcSysctl kSysctls[] = {
    Number<kShm, &Shm::max_bytes, 0, kMostLong>("kernel", "shmmax"),
    Number<kShm, &Shm::all_pages, 0, kMostLong>("kernel", "shmall"),
    Number<kShm, &Shm::count, 0, kMostObjects>("kernel", "shmmni"),
    Number<kShm, &Shm::remove_forced, 0, 1>("kernel", "shm_rmid_forced"),
    Number<kMsg, &Msg::message_bytes, 0, kMostInt>("kernel", "msgmax"),
    Number<kMsg, &Msg::queues, 0, kMostObjects>("kernel", "msgmni"),
    Number<kMsg, &Msg::queue_bytes, 0, kMostInt>("kernel", "msgmnb"),
    {"kernel", "sem", ReadSem, WriteSem},
    Number<kMq, &Mq::queues, 0, kMostInt>("mqueue", "queues_max"),
    Number<kMq, &Mq::messages, 1, kMostMqMessages>("mqueue", "msg_max"),
    Number<kMq, &Mq::message_bytes, 128, kMostMqBytes>("mqueue", "msgsize_max"),
    Number<kMq, &Mq::default_messages, 1, kMostMqMessages>("mqueue", "msg_default"),
    Number<kMq, &Mq::default_message_bytes, 128, kMostMqBytes>("mqueue", "msgsize_default"),
};

}  // namespace

std::span<const IpcSysctl> IpcSysctls() { return kSysctls; }

const IpcSysctl* FindIpcSysctl(std::string_view name) {
  for (const IpcSysctl& each : kSysctls) {
    const std::string_view above = each.folder == "mqueue" ? "fs.mqueue." : "kernel.";
    if (name.starts_with(above) && name.substr(above.size()) == each.name) return &each;
  }
  return nullptr;
}

}  // namespace cloister::ipc
