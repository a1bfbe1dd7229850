#include "runsc/sandbox/host_facts.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/random.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/host/unique_fd.h"

namespace cloister::sandbox {
namespace {

constexpr size_t kBootIdBytes = 16;

uint32_t ToNumber(absl::string_view text) {
  uint32_t number;
  return absl::SimpleAtoi(text, &number) ? number : 0;
}

void TakeField(absl::string_view name, absl::string_view value, control::BootConfig* config) {
  if (name == "vendor_id") config->set_cpu_vendor(std::string(value));
  if (name == "cpu family") config->set_cpu_family(ToNumber(value));
  if (name == "model") config->set_cpu_model_number(ToNumber(value));
  if (name == "model name") config->set_cpu_model(std::string(value));
  if (name == "stepping") config->set_cpu_stepping(ToNumber(value));
  if (name == "flags") config->set_cpu_flags(std::string(value));
  if (name == "cache size") config->set_cpu_cache_kb(ToNumber(absl::StripSuffix(value, " KB")));
  double mhz;
  if (name == "cpu MHz" && absl::SimpleAtod(value, &mhz)) config->set_cpu_mhz(mhz);
}

// The first CPU's block. One read: the kernel makes only as many CPUs' text as fit.
void ReadCpuInfo(control::BootConfig* config) {
  const UniqueFd file(open("/proc/cpuinfo", O_RDONLY | O_CLOEXEC));
  char text[4096];
  const ssize_t got = file.ok() ? read(file.get(), text, sizeof text) : -1;
  if (got <= 0) return;
  for (absl::string_view line : absl::StrSplit(absl::string_view(text, static_cast<size_t>(got)), '\n')) {
    if (line.empty()) return;
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(line, absl::MaxSplits(':', 1));
    TakeField(absl::StripAsciiWhitespace(field.first), absl::StripAsciiWhitespace(field.second), config);
  }
}

}  // namespace

void FillHostFacts(control::BootConfig* config) {
  struct sysinfo info;
  if (sysinfo(&info) == 0) config->set_total_memory(uint64_t{info.totalram} * info.mem_unit);
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0)
    config->set_host_cpus(static_cast<uint32_t>(CPU_COUNT(&cpus)));
  ReadCpuInfo(config);
  std::string boot_id(kBootIdBytes, '\0');
  if (getrandom(boot_id.data(), boot_id.size(), 0) == static_cast<ssize_t>(boot_id.size())) {
    config->set_boot_id(boot_id);
  }
}

}  // namespace cloister::sandbox
