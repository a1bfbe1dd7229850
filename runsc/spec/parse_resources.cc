#include "runsc/spec/parse_resources.h"

#include "absl/strings/match.h"
#include "base/error/status.h"

namespace cloister::spec {
namespace {

template <typename T>
absl::Status ReadOptional(const JsonField& field, std::optional<T>* out) {
  return field.present() ? field.Read(&out->emplace()) : absl::OkStatus();
}

absl::Status ParseMemory(const JsonField& field, Resources* resources) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("limit").Read(&resources->memory_limit));
  RETURN_IF_ERROR(field.Member("reservation").Read(&resources->memory_reservation));
  RETURN_IF_ERROR(field.Member("swap").Read(&resources->memory_swap));
  RETURN_IF_ERROR(ReadOptional(field.Member("swappiness"), &resources->memory_swappiness));
  return field.Member("disableOOMKiller").Read(&resources->disable_oom_killer);
}

absl::Status ParseCpu(const JsonField& field, Resources* resources) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("shares").Read(&resources->cpu_shares));
  RETURN_IF_ERROR(field.Member("quota").Read(&resources->cpu_quota));
  RETURN_IF_ERROR(field.Member("period").Read(&resources->cpu_period));
  RETURN_IF_ERROR(ReadOptional(field.Member("burst"), &resources->cpu_burst));
  RETURN_IF_ERROR(ReadOptional(field.Member("idle"), &resources->cpu_idle));
  RETURN_IF_ERROR(field.Member("realtimeRuntime").Read(&resources->realtime_runtime));
  RETURN_IF_ERROR(field.Member("realtimePeriod").Read(&resources->realtime_period));
  RETURN_IF_ERROR(field.Member("cpus").Read(&resources->cpus));
  return field.Member("mems").Read(&resources->mems);
}

absl::Status ParseRates(const JsonField& field, const char* value, std::vector<DeviceRate>* rates) {
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    DeviceRate& rate = rates->emplace_back();
    RETURN_IF_ERROR(entry.Member("major").Read(&rate.major));
    RETURN_IF_ERROR(entry.Member("minor").Read(&rate.minor));
    RETURN_IF_ERROR(entry.Member(value).Read(&rate.value));
  }
  return absl::OkStatus();
}

absl::Status ParseBlockIo(const JsonField& field, Resources* resources) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(field.Member("weight").Read(&resources->io_weight));
  RETURN_IF_ERROR(ParseRates(field.Member("weightDevice"), "weight", &resources->io_weight_devices));
  RETURN_IF_ERROR(ParseRates(field.Member("throttleReadBpsDevice"), "rate", &resources->read_bps));
  RETURN_IF_ERROR(ParseRates(field.Member("throttleWriteBpsDevice"), "rate", &resources->write_bps));
  RETURN_IF_ERROR(ParseRates(field.Member("throttleReadIOPSDevice"), "rate", &resources->read_iops));
  return ParseRates(field.Member("throttleWriteIOPSDevice"), "rate", &resources->write_iops);
}

absl::Status ParseHugepages(const JsonField& field, Resources* resources) {
  for (const JsonField& entry : TRY_STATUS(field.Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    HugepageLimit& limit = resources->hugepages.emplace_back();
    RETURN_IF_ERROR(entry.Member("pageSize").Read(&limit.page_size));
    RETURN_IF_ERROR(entry.Member("limit").Read(&limit.limit));
    if (limit.page_size.empty() || absl::StrContains(limit.page_size, "/")) {
      return entry.Member("pageSize").Error("must be a size like 2MB");
    }
  }
  return absl::OkStatus();
}

absl::Status ParseNetwork(const JsonField& field, Resources* resources) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(ReadOptional(field.Member("classID"), &resources->network_class));
  for (const JsonField& entry : TRY_STATUS(field.Member("priorities").Elements())) {
    RETURN_IF_ERROR(entry.CheckObject());
    std::string name;
    RETURN_IF_ERROR(entry.Member("name").Read(&name));
    RETURN_IF_ERROR(entry.Member("priority").Read(&resources->network_priorities[name]));
  }
  return absl::OkStatus();
}

absl::Status ParseUnified(const JsonField& field, Resources* resources) {
  RETURN_IF_ERROR(field.Read(&resources->unified));
  for (const auto& [file, value] : resources->unified) {
    if (absl::StrContains(file, "/") || !absl::StrContains(file, ".") || file[0] == '.') {
      return field.Member(file).Error("is not the name of a control group's file");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseResources(const JsonField& field, Resources* resources) {
  RETURN_IF_ERROR(field.CheckObject());
  RETURN_IF_ERROR(ParseMemory(field.Member("memory"), resources));
  RETURN_IF_ERROR(ParseCpu(field.Member("cpu"), resources));
  const JsonField pids = field.Member("pids");
  RETURN_IF_ERROR(pids.CheckObject());
  RETURN_IF_ERROR(pids.Member("limit").Read(&resources->pids_limit));
  RETURN_IF_ERROR(ParseBlockIo(field.Member("blockIO"), resources));
  RETURN_IF_ERROR(ParseHugepages(field.Member("hugepageLimits"), resources));
  RETURN_IF_ERROR(ParseNetwork(field.Member("network"), resources));
  return ParseUnified(field.Member("unified"), resources);
}

absl::StatusOr<Resources> ParseResourcesText(std::string_view text) {
  const JsonDocument document = TRY_STATUS(JsonDocument::Parse(text));
  Resources resources;
  RETURN_IF_ERROR(ParseResources(document.root(), &resources));
  return resources;
}

}  // namespace cloister::spec
