#include "runsc/spec/to_control.h"

namespace cloister::spec {
namespace {

// CPUs that a bandwidth limit leaves, rounded up; 0 without one.
uint32_t CpuCount(const Resources& resources) {
  if (resources.cpu_quota <= 0 || resources.cpu_period == 0) return 0;
  const uint64_t quota = static_cast<uint64_t>(resources.cpu_quota);
  return static_cast<uint32_t>(quota / resources.cpu_period + (quota % resources.cpu_period != 0 ? 1 : 0));
}

void ToControl(const Mount& mount, control::Mount* out) {
  out->set_destination(mount.destination);
  out->set_type(mount.type);
  out->set_flags(mount.flags);
  for (const std::string& option : mount.options) out->add_options(option);
  out->set_gofer_mount(-1);
}

void ToControl(const Device& device, control::Device* out) {
  out->set_path(CleanPath(device.path));
  out->set_type(device.type);
  out->set_major(device.major);
  out->set_minor(device.minor);
  out->set_mode(device.mode);
  out->set_uid(device.uid);
  out->set_gid(device.gid);
}

}  // namespace

control::Process ToControl(const Process& process) {
  control::Process out;
  for (const std::string& arg : process.args) out.add_args(arg);
  for (const std::string& variable : process.env) out.add_env(variable);
  out.set_cwd(process.cwd);
  out.set_uid(process.user.uid);
  out.set_gid(process.user.gid);
  for (const uint32_t gid : process.user.additional_gids) out.add_additional_gids(gid);
  out.set_umask(process.user.umask.value_or(0));
  out.set_has_umask(process.user.umask.has_value());
  out.set_terminal(process.terminal);
  out.set_rows(process.rows);
  out.set_columns(process.columns);
  out.set_no_new_privileges(process.no_new_privileges);
  for (const Rlimit& limit : process.rlimits) {
    control::Process::Rlimit* added = out.add_rlimits();
    added->set_resource(limit.resource);
    added->set_soft(limit.soft);
    added->set_hard(limit.hard);
  }
  out.set_cap_bounding(process.capabilities.bounding);
  out.set_cap_effective(process.capabilities.effective);
  out.set_cap_inheritable(process.capabilities.inheritable);
  out.set_cap_permitted(process.capabilities.permitted);
  out.set_cap_ambient(process.capabilities.ambient);
  out.set_oom_score_adj(process.oom_score_adj.value_or(0));
  return out;
}

control::Container ToControl(const Spec& spec, const std::string& id) {
  control::Container out;
  out.set_id(id);
  if (spec.process.has_value()) *out.mutable_process() = ToControl(*spec.process);
  out.set_hostname(spec.hostname);
  out.set_domainname(spec.domainname);
  out.set_root_readonly(spec.root.readonly);
  for (const Mount& mount : spec.mounts) ToControl(mount, out.add_mounts());
  for (const std::string& path : spec.masked_paths) out.add_masked_paths(path);
  for (const std::string& path : spec.readonly_paths) out.add_readonly_paths(path);
  for (const Device& device : spec.devices) ToControl(device, out.add_devices());
  for (const auto& [name, value] : spec.sysctl) (*out.mutable_sysctl())[name] = value;
  if (spec.resources.memory_limit > 0) {
    out.set_memory_limit(static_cast<uint64_t>(spec.resources.memory_limit));
  }
  out.set_cpu_count(CpuCount(spec.resources));
  return out;
}

}  // namespace cloister::spec
