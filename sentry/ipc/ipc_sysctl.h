#ifndef CLOISTER_SENTRY_IPC_IPC_SYSCTL_H_
#define CLOISTER_SENTRY_IPC_IPC_SYSCTL_H_

#include <span>
#include <string>
#include <string_view>

#include "base/error/errno_or.h"
#include "sentry/ipc/ipc_namespace.h"

namespace cloister::ipc {

// A value of an IPC namespace in /proc/sys. Linux: ipc/ipc_sysctl.c and mq_sysctl.c.
struct IpcSysctl {
  std::string_view folder;  // "kernel", "mqueue" (of fs)
  std::string_view name;
  std::string (*read)(IpcNamespace& ipc);  // without a line's end
  ErrnoOrVoid (*write)(IpcNamespace& ipc, std::string_view text);
};

std::span<const IpcSysctl> IpcSysctls();

// By the whole name: "kernel.shmmax", "fs.mqueue.msg_max". Null where it is none of these.
const IpcSysctl* FindIpcSysctl(std::string_view name);

}  // namespace cloister::ipc

#endif  // CLOISTER_SENTRY_IPC_IPC_SYSCTL_H_
