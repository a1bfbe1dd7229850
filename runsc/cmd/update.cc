#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"
#include "runsc/spec/spec.h"

namespace cloister::cmd {
namespace {

// What stands on the command line; empty: not given.
struct UpdateFlags {
  std::string resources, memory, memory_reservation, memory_swap, cpu_shares, cpu_quota, cpu_period,
      cpu_burst, cpu_idle, realtime_period, realtime_runtime, cpus, mems, pids_limit, io_weight, ignored;
};

void Declare(Flags* flags, UpdateFlags* raw) {
  flags->String("resources,r", &raw->resources, "file with linux.resources as JSON, - for standard input");
  flags->String("memory", &raw->memory, "bytes, or with a suffix as in 64m; -1: no limit");
  flags->String("memory-reservation", &raw->memory_reservation, "likewise");
  flags->String("memory-swap", &raw->memory_swap, "likewise, memory and swap together");
  flags->String("cpu-share", &raw->cpu_shares, "relative weight");
  flags->String("cpu-quota", &raw->cpu_quota, "microseconds in each period");
  flags->String("cpu-period", &raw->cpu_period, "microseconds");
  flags->String("cpu-burst", &raw->cpu_burst, "microseconds");
  flags->String("cpu-idle", &raw->cpu_idle, "0 or 1");
  flags->String("cpu-rt-period", &raw->realtime_period, "microseconds");
  flags->String("cpu-rt-runtime", &raw->realtime_runtime, "microseconds");
  flags->String("cpuset-cpus", &raw->cpus, "CPUs to run on");
  flags->String("cpuset-mems", &raw->mems, "memory nodes to use");
  flags->String("pids-limit", &raw->pids_limit, "processes and threads");
  flags->String("blkio-weight", &raw->io_weight, "10 to 1000");
  flags->String("kernel-memory", &raw->ignored, "accepted");
  flags->String("kernel-memory-tcp", &raw->ignored, "accepted");
  flags->String("l3-cache-schema", &raw->ignored, "accepted");
  flags->String("mem-bw-schema", &raw->ignored, "accepted");
}

template <typename T>
absl::Status ReadNumber(const char* flag, const std::string& text, T* out) {
  if (text.empty() || absl::SimpleAtoi(text, out)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--", flag, ": \"", text, "\" is not a number"));
}

template <typename T>
absl::Status ReadNumber(const char* flag, const std::string& text, std::optional<T>* out) {
  return text.empty() ? absl::OkStatus() : ReadNumber(flag, text, &out->emplace());
}

// "64m", "64MiB", "67108864", "-1".
absl::Status ReadSize(const char* flag, const std::string& text, int64_t* out) {
  if (text.empty()) return absl::OkStatus();
  const std::string lower = absl::AsciiStrToLower(text);
  absl::string_view number = lower;
  if (absl::ConsumeSuffix(&number, "ib") || absl::ConsumeSuffix(&number, "b")) {
  }
  int shift = 0;
  for (const auto& [suffix, bits] : {std::pair("k", 10), {"m", 20}, {"g", 30}, {"t", 40}, {"p", 50}}) {
    if (absl::ConsumeSuffix(&number, suffix)) shift = bits;
  }
  int64_t value = 0;
  if (!absl::SimpleAtoi(number, &value) || value < -1 || value > (INT64_MAX >> shift) ||
      (value < 0 && shift != 0)) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, ": \"", text, "\" is not a size"));
  }
  *out = value < 0 ? value : value << shift;
  return absl::OkStatus();
}

absl::StatusOr<spec::Resources> Read(const UpdateFlags& raw) {
  if (!raw.resources.empty()) {
    const std::string path = raw.resources == "-" ? "/dev/stdin" : raw.resources;
    return spec::ParseResourcesText(TRY_STATUS(spec::ReadTextFile(path)));
  }
  spec::Resources resources;
  RETURN_IF_ERROR(ReadSize("memory", raw.memory, &resources.memory_limit));
  RETURN_IF_ERROR(ReadSize("memory-reservation", raw.memory_reservation, &resources.memory_reservation));
  RETURN_IF_ERROR(ReadSize("memory-swap", raw.memory_swap, &resources.memory_swap));
  RETURN_IF_ERROR(ReadNumber("cpu-share", raw.cpu_shares, &resources.cpu_shares));
  RETURN_IF_ERROR(ReadNumber("cpu-quota", raw.cpu_quota, &resources.cpu_quota));
  RETURN_IF_ERROR(ReadNumber("cpu-period", raw.cpu_period, &resources.cpu_period));
  RETURN_IF_ERROR(ReadNumber("cpu-burst", raw.cpu_burst, &resources.cpu_burst));
  RETURN_IF_ERROR(ReadNumber("cpu-idle", raw.cpu_idle, &resources.cpu_idle));
  RETURN_IF_ERROR(ReadNumber("cpu-rt-period", raw.realtime_period, &resources.realtime_period));
  RETURN_IF_ERROR(ReadNumber("cpu-rt-runtime", raw.realtime_runtime, &resources.realtime_runtime));
  RETURN_IF_ERROR(ReadNumber("pids-limit", raw.pids_limit, &resources.pids_limit));
  RETURN_IF_ERROR(ReadNumber("blkio-weight", raw.io_weight, &resources.io_weight));
  resources.cpus = raw.cpus;
  resources.mems = raw.mems;
  return resources;
}

}  // namespace

absl::StatusOr<int> RunUpdate(const Globals& globals, const Args& args) {
  UpdateFlags raw;
  Flags flags("runsc update", "[options] ID",
              "Changes a container's limits; what is not given stays as it is.");
  Declare(&flags, &raw);
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "update", 1, 1));
  container::Container container =
      TRY_STATUS(container::Container::Open(globals.runtime.root, flags.positionals()[0]));
  RETURN_IF_ERROR(container.Update(TRY_STATUS(Read(raw))));
  return 0;
}

}  // namespace cloister::cmd
