#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/substitute.h"
#include "runsc/spec/spec.h"

namespace cloister::spec {
namespace {

// The pieces of runc's default file, in order; tools compare the two byte by byte.
// A container of a user without privilege differs in what stands between them.

// clang-format off
constexpr char kUpToDevptsMode[] = R"json({
	"ociVersion": "1.0.2-dev",
	"process": {
		"terminal": true,
		"user": {
			"uid": 0,
			"gid": 0
		},
		"args": [
			"sh"
		],
		"env": [
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"TERM=xterm"
		],
		"cwd": "/",
		"capabilities": {
			"bounding": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			],
			"effective": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			],
			"permitted": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			],
			"ambient": [
				"CAP_AUDIT_WRITE",
				"CAP_KILL",
				"CAP_NET_BIND_SERVICE"
			]
		},
		"rlimits": [
			{
				"type": "RLIMIT_NOFILE",
				"hard": 1024,
				"soft": 1024
			}
		],
		"noNewPrivileges": true
	},
	"root": {
		"path": "rootfs",
		"readonly": true
	},
	"hostname": "runc",
	"mounts": [
		{
			"destination": "/proc",
			"type": "proc",
			"source": "proc"
		},
		{
			"destination": "/dev",
			"type": "tmpfs",
			"source": "tmpfs",
			"options": [
				"nosuid",
				"strictatime",
				"mode=755",
				"size=65536k"
			]
		},
		{
			"destination": "/dev/pts",
			"type": "devpts",
			"source": "devpts",
			"options": [
				"nosuid",
				"noexec",
				"newinstance",
				"ptmxmode=0666",
				"mode=0620")json";

constexpr char kDevptsGroup[] = R"json(,
				"gid=5")json";

constexpr char kUpToSys[] = R"json(
			]
		},
		{
			"destination": "/dev/shm",
			"type": "tmpfs",
			"source": "shm",
			"options": [
				"nosuid",
				"noexec",
				"nodev",
				"mode=1777",
				"size=65536k"
			]
		},
		{
			"destination": "/dev/mqueue",
			"type": "mqueue",
			"source": "mqueue",
			"options": [
				"nosuid",
				"noexec",
				"nodev"
			]
		},
		{
			"destination": "/sys",
)json";

constexpr char kSys[] = R"json(			"type": "sysfs",
			"source": "sysfs",
			"options": [
				)json";

constexpr char kSysRootless[] = R"json(			"type": "none",
			"source": "/sys",
			"options": [
				"rbind",
				)json";

constexpr char kUpToResources[] = R"json("nosuid",
				"noexec",
				"nodev",
				"ro"
			]
		},
		{
			"destination": "/sys/fs/cgroup",
			"type": "cgroup",
			"source": "cgroup",
			"options": [
				"nosuid",
				"noexec",
				"nodev",
				"relatime",
				"ro"
			]
		}
	],
	"linux": {
)json";

constexpr char kResources[] = R"json(		"resources": {
			"devices": [
				{
					"allow": false,
					"access": "rwm"
				}
			]
		},
)json";

constexpr char kMappingsRootless[] = R"json(		"uidMappings": [
			{
				"containerID": 0,
				"hostID": $0,
				"size": 1
			}
		],
		"gidMappings": [
			{
				"containerID": 0,
				"hostID": $1,
				"size": 1
			}
		],
)json";

constexpr char kPidNamespace[] = R"json(		"namespaces": [
			{
				"type": "pid"
			},
)json";

constexpr char kNetworkNamespace[] = R"json(			{
				"type": "network"
			},
)json";

constexpr char kOtherNamespaces[] = R"json(			{
				"type": "ipc"
			},
			{
				"type": "uts"
			},
			{
				"type": "mount"
			})json";

constexpr char kUserNamespace[] = R"json(,
			{
				"type": "user"
			})json";

constexpr char kRest[] = R"json(
		],
		"maskedPaths": [
			"/proc/acpi",
			"/proc/asound",
			"/proc/kcore",
			"/proc/keys",
			"/proc/latency_stats",
			"/proc/timer_list",
			"/proc/timer_stats",
			"/proc/sched_debug",
			"/sys/firmware",
			"/proc/scsi"
		],
		"readonlyPaths": [
			"/proc/bus",
			"/proc/fs",
			"/proc/irq",
			"/proc/sys",
			"/proc/sysrq-trigger"
		]
	}
})json";

// clang-format on

}  // namespace

std::string DefaultConfig(bool rootless) {
  if (!rootless) {
    return absl::StrCat(kUpToDevptsMode, kDevptsGroup, kUpToSys, kSys, kUpToResources, kResources,
                        kPidNamespace, kNetworkNamespace, kOtherNamespaces, kRest);
  }
  return absl::StrCat(kUpToDevptsMode, kUpToSys, kSysRootless, kUpToResources,
                      absl::Substitute(kMappingsRootless, geteuid(), getegid()), kPidNamespace,
                      kOtherNamespaces, kUserNamespace, kRest);
}

}  // namespace cloister::spec
