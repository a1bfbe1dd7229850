#include "sentry/fs/proc/sys_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sentry/fs/kernfs/text_file.h"
#include "sentry/fs/proc/ipc_text.h"
#include "sentry/ipc/ipc_sysctl.h"
#include "sentry/mm/memory_manager.h"

namespace cloister::proc {
namespace {

using Read = std::function<ErrnoOr<std::string>()>;
using Write = std::function<ErrnoOrVoid(std::string_view text, const auth::Credentials& opener)>;

// One value. As in Linux what cannot be written is not even opened for it, whatever the
// capabilities: proc_sys_permission looks at the mode alone.
class Sysctl final : public kernfs::TextInode {
 public:
  Sysctl(Ref<kernfs::Tree> tree, mode_t mode, Read read, Write write)
      : TextInode(std::move(tree), {.mode = mode}), read_(std::move(read)), write_(std::move(write)) {}

  ErrnoOrVoid CheckOpen(const vfs::OpenRequest& request) override {
    if ((request.flags & O_ACCMODE) != O_RDONLY && !write_) return Errno::kAcces;
    return {};
  }
  ErrnoOr<std::string> Generate() override { return read_(); }
  ErrnoOrVoid Store(std::string_view text, const auth::Credentials& opener) override {
    if (!write_) return Errno::kAcces;
    return write_(text, opener);
  }

 private:
  const Read read_;
  const Write write_;  // null: read-only
};

// Adds values to one directory.
class Folder {
 public:
  Folder(Ref<kernfs::Tree> tree, kernfs::StaticDirectory& directory)
      : tree_(std::move(tree)), directory_(directory) {}

  Folder In(std::string_view name) const { return {tree_, directory_.Dir(name)}; }
  const Folder& Value(std::string_view name, absl::AlphaNum value) const {
    std::string text = absl::StrCat(value, "\n");
    return Computed(name, [text = std::move(text)]() -> ErrnoOr<std::string> { return text; });
  }
  const Folder& Computed(std::string_view name, Read read, Write write = nullptr) const {
    const mode_t mode = write ? 0644 : 0444;
    directory_.Add(name, MakeRef<Sysctl>(tree_, mode, std::move(read), std::move(write)));
    return *this;
  }

 private:
  Ref<kernfs::Tree> tree_;
  kernfs::StaticDirectory& directory_;
};

std::string UuidText(const std::array<std::byte, 16>& bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    absl::StrAppendFormat(&text, "%02x", std::to_integer<int>(bytes[i]));
  }
  return text + "\n";
}

// random(4): another one at each read. Version 4 of RFC 4122.
ErrnoOr<std::string> RandomUuid() {
  std::array<std::byte, 16> bytes;
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
    return FromHostErrno(errno);
  bytes[6] = (bytes[6] & std::byte{0x0f}) | std::byte{0x40};
  bytes[8] = (bytes[8] & std::byte{0x3f}) | std::byte{0x80};
  return UuidText(bytes);
}

// Linux: proc_do_uts_string. The first line counts; what is too long is cut.
void AddName(const Folder& folder, const char* file, task::Kernel& kernel,
             std::string (task::Kernel::*get)() const, void (task::Kernel::*set)(std::string)) {
  constexpr size_t kMaxName = 64;  // __NEW_UTS_LEN
  const auto read = [&kernel, get]() -> ErrnoOr<std::string> {
    const std::string name = (kernel.*get)();
    return (name.empty() ? "(none)" : name) + "\n";
  };
  const auto write = [&kernel, set](std::string_view text, const auth::Credentials& opener) -> ErrnoOrVoid {
    if (!opener.Has(CAP_SYS_ADMIN)) return Errno::kPerm;
    text = text.substr(0, text.find_first_of(std::string_view("\n\0", 2)));
    (kernel.*set)(std::string(text.substr(0, kMaxName)));
    return {};
  };
  folder.Computed(file, read, write);
}

// Those of the reader's and the writer's own IPC namespace.
void AddIpcValues(const Folder& folder, std::string_view which, task::Kernel& kernel) {
  for (const ipc::IpcSysctl& each : ipc::IpcSysctls()) {
    if (each.folder != which) continue;
    folder.Computed(
        each.name,
        [&kernel, &each]() -> ErrnoOr<std::string> {
          return absl::StrCat(each.read(IpcOfReader(kernel)), "\n");
        },
        [&kernel, &each](std::string_view text, const auth::Credentials&) {
          return each.write(IpcOfReader(kernel), text);
        });
  }
}

void FillRandom(const Folder& folder, task::Kernel& kernel) {
  folder.Computed("boot_id",
                  [&kernel]() -> ErrnoOr<std::string> { return UuidText(kernel.machine().boot_id); });
  folder.Computed("uuid", RandomUuid);
  folder.Value("entropy_avail", 256).Value("poolsize", 256);
  folder.Value("urandom_min_reseed_secs", 60).Value("write_wakeup_threshold", 256);
}

void FillKernel(const Folder& folder, task::Kernel& kernel) {
  folder.Value("ostype", task::Machine::kSysname);
  folder.Value("osrelease", task::Machine::kRelease);
  folder.Value("version", task::Machine::kVersion);
  folder.Value("arch", task::Machine::kMachine);
  AddName(folder, "hostname", kernel, &task::Kernel::hostname, &task::Kernel::SetHostname);
  AddName(folder, "domainname", kernel, &task::Kernel::domainname, &task::Kernel::SetDomainname);
  FillRandom(folder.In("random"), kernel);
  // Kernel::AllocatePidLocked gives numbers up to 32767.
  folder.Value("pid_max", 32768).Value("threads-max", 32768);
  folder.Value("cap_last_cap", CAP_LAST_CAP).Value("ngroups_max", 65536);
  folder.Value("overflowuid", 65534).Value("overflowgid", 65534);
  AddIpcValues(folder, "kernel", kernel);
  folder.Value("core_pattern", "core").Value("core_uses_pid", 0).Value("core_pipe_limit", 0);
  folder.Value("randomize_va_space", 2).Value("dmesg_restrict", 1).Value("kptr_restrict", 1);
  folder.Value("printk", "4\t4\t1\t7").Value("tainted", 0).Value("panic", 0).Value("panic_on_oops", 0);
  folder.Value("perf_event_paranoid", 4).Value("unprivileged_bpf_disabled", 2);
  folder.Value("sched_child_runs_first", 0).Value("sched_autogroup_enabled", 0);
  folder.Value("sched_rt_period_us", 1000000).Value("sched_rt_runtime_us", 950000);
  folder.Value("sysrq", 0).Value("hung_task_timeout_secs", 0).Value("modules_disabled", 1);
  folder.Value("auto_msgmni", 0).Value("numa_balancing", 0).Value("io_uring_disabled", 2);
  folder.In("yama").Value("ptrace_scope", 0);
  folder.In("keys").Value("maxkeys", 200).Value("maxbytes", 20000);
  folder.In("seccomp")
      .Value("actions_avail", "kill_process kill_thread trap errno user_notif trace log allow")
      .Value("actions_logged", "kill_process kill_thread trap errno user_notif trace log");
}

void FillVm(const Folder& folder) {
  folder.Value("overcommit_memory", 0).Value("overcommit_ratio", 50).Value("overcommit_kbytes", 0);
  folder.Value("max_map_count", mm::MemoryManager::kMaxAreas);
  folder.Value("mmap_min_addr", mm::MemoryManager::kMinAddress);
  folder.Value("mmap_rnd_bits", 28).Value("mmap_rnd_compat_bits", 8);
  folder.Value("swappiness", 60).Value("nr_hugepages", 0).Value("nr_overcommit_hugepages", 0);
  folder.Value("dirty_ratio", 20).Value("dirty_background_ratio", 10).Value("vfs_cache_pressure", 100);
  folder.Value("min_free_kbytes", 0).Value("oom_kill_allocating_task", 0).Value("panic_on_oom", 0);
  folder.Value("legacy_va_layout", 0).Value("zone_reclaim_mode", 0).Value("page-cluster", 3);
  folder.Value("unprivileged_userfaultfd", 0).Value("compact_memory", "").Value("drop_caches", 0);
}

void FillFs(const Folder& folder, task::Kernel& kernel) {
  constexpr uint64_t kNoLimit = INT64_MAX;
  folder.Value("file-max", kNoLimit).Value("nr_open", 1 << 20).Value("mount-max", 100000);
  folder.Value("file-nr", absl::StrCat("0\t0\t", kNoLimit)).Value("inode-nr", "0\t0");
  folder.Value("inode-state", "0\t0\t0\t0\t0\t0\t0").Value("dentry-state", "0\t0\t45\t0\t0\t0");
  folder.Value("pipe-max-size", 1 << 20)
      .Value("pipe-user-pages-soft", 16384)
      .Value("pipe-user-pages-hard", 0);
  folder.Value("aio-max-nr", 65536)
      .Value("aio-nr", 0)
      .Value("lease-break-time", 45)
      .Value("leases-enable", 1);
  folder.Value("suid_dumpable", 0).Value("overflowuid", 65534).Value("overflowgid", 65534);
  for (const char* protection :
       {"protected_fifos", "protected_hardlinks", "protected_regular", "protected_symlinks"})
    folder.Value(protection, 0);
  folder.In("inotify")
      .Value("max_queued_events", 16384)
      .Value("max_user_instances", 128)
      .Value("max_user_watches", 65536);
  AddIpcValues(folder.In("mqueue"), "mqueue", kernel);
  folder.In("epoll").Value("max_user_watches", 1 << 20);
  folder.In("binfmt_misc");
}

void FillIpv4(const Folder& folder) {
  folder.Value("ip_local_port_range", "32768\t60999").Value("ip_local_reserved_ports", "");
  folder.Value("ip_unprivileged_port_start", 1024).Value("ip_default_ttl", 64).Value("ip_forward", 0);
  folder.Value("ip_nonlocal_bind", 0).Value("icmp_echo_ignore_all", 0).Value("ping_group_range", "1\t0");
  folder.Value("tcp_keepalive_time", 7200).Value("tcp_keepalive_intvl", 75).Value("tcp_keepalive_probes", 9);
  folder.Value("tcp_rmem", "4096\t131072\t6291456").Value("tcp_wmem", "4096\t16384\t4194304");
  folder.Value("tcp_sack", 1).Value("tcp_timestamps", 1).Value("tcp_window_scaling", 1);
  folder.Value("tcp_syncookies", 1).Value("tcp_fin_timeout", 60).Value("tcp_tw_reuse", 2);
  folder.Value("tcp_max_syn_backlog", 512).Value("tcp_syn_retries", 6).Value("tcp_synack_retries", 5);
  folder.Value("tcp_retries1", 3).Value("tcp_retries2", 15).Value("tcp_fastopen", 1);
  folder.Value("tcp_congestion_control", "cubic");
  folder.Value("tcp_available_congestion_control", "reno cubic");
  folder.Value("tcp_allowed_congestion_control", "reno cubic");
}

void FillNet(const Folder& folder) {
  folder.In("core")
      .Value("somaxconn", 4096)
      .Value("rmem_default", 212992)
      .Value("rmem_max", 212992)
      .Value("wmem_default", 212992)
      .Value("wmem_max", 212992)
      .Value("optmem_max", 20480)
      .Value("netdev_max_backlog", 1000)
      .Value("default_qdisc", "pfifo_fast");
  FillIpv4(folder.In("ipv4"));
  folder.In("ipv6").In("conf").In("all").Value("disable_ipv6", 0).Value("forwarding", 0);
  folder.In("ipv6").In("conf").In("default").Value("disable_ipv6", 0).Value("forwarding", 0);
  folder.In("ipv6").Value("bindv6only", 0);
  folder.In("unix").Value("max_dgram_qlen", 512);
}

}  // namespace

void FillSysTree(const Ref<kernfs::Tree>& tree, kernfs::StaticDirectory& sys, task::Kernel& kernel) {
  const Folder root(tree, sys);
  FillKernel(root.In("kernel"), kernel);
  FillVm(root.In("vm"));
  FillFs(root.In("fs"), kernel);
  FillNet(root.In("net"));
  root.In("user").Value("max_user_namespaces", 0);
  root.In("abi");
  root.In("debug").Value("exception-trace", 0);
  root.In("dev");
}

}  // namespace cloister::proc
