#ifndef CLOISTER_SENTRY_FS_PROC_IPC_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_IPC_TEXT_H_

#include "base/own/ref.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/ipc/ipc_namespace.h"
#include "sentry/task/kernel.h"

namespace cloister::proc {

// The IPC namespace of the task that reads, or the first one.
ipc::IpcNamespace& IpcOfReader(task::Kernel& kernel);

// Fills /proc/sysvipc.
void FillSysvIpc(const Ref<kernfs::Tree>& tree, kernfs::StaticDirectory& directory, task::Kernel& kernel);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_IPC_TEXT_H_
