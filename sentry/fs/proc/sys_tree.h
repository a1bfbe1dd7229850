#ifndef CLOISTER_SENTRY_FS_PROC_SYS_TREE_H_
#define CLOISTER_SENTRY_FS_PROC_SYS_TREE_H_

#include "base/own/ref.h"
#include "sentry/fs/kernfs/directory.h"
#include "sentry/task/kernel.h"

namespace cloister::proc {

// Fills /proc/sys. sysctl(8).
void FillSysTree(const Ref<kernfs::Tree>& tree, kernfs::StaticDirectory& sys, task::Kernel& kernel);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_SYS_TREE_H_
