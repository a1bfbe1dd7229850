#include "sentry/fs/proc/subject_nodes.h"
#include "sentry/task/current.h"

namespace cloister::proc {

Viewpoint ViewpointOfReader(const Subject& fallback) {
  const task::Task* const reader = task::CurrentTask::Get();
  const Ref<task::FsContext> fs = reader != nullptr ? reader->GetFs() : fallback.Fs();
  if (!fs) return {};
  task::FsContext::View view = fs->Get();
  return {std::move(view.mounts), std::move(view.root)};
}

}  // namespace cloister::proc
