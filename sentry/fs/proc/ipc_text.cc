#include "sentry/fs/proc/ipc_text.h"

#include <string>

#include "absl/strings/str_format.h"
#include "sentry/fs/kernfs/text_file.h"
#include "sentry/ipc/message_queues.h"
#include "sentry/ipc/semaphore_sets.h"
#include "sentry/ipc/shared_segments.h"
#include "sentry/task/current.h"
#include "sentry/task/task.h"

namespace cloister::proc {
namespace {

// Linux: sysvipc_shm_proc_show.
std::string ShmText(ipc::IpcNamespace& ipc) {
  std::string text =
      "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      "
      "atime"
      "      dtime      ctime                   rss                  swap\n";
  for (const ipc::SharedSegments::Listed& listed : ipc.segments().List()) {
    const shmid64_ds& s = listed.segment.status;
    const ipc64_perm& perm = s.shm_perm;
    absl::StrAppendFormat(
        &text, "%10d %10d  %4o %21u %5u %5u  %5u %5u %5u %5u %5u %10u %10u %10u %21u %21u\n", perm.key,
        listed.segment.id, perm.mode, s.shm_segsz, s.shm_cpid, s.shm_lpid, s.shm_nattch, perm.uid, perm.gid,
        perm.cuid, perm.cgid, s.shm_atime, s.shm_dtime, s.shm_ctime, listed.resident, 0);
  }
  return text;
}

// Linux: sysvipc_sem_proc_show.
std::string SemText(ipc::IpcNamespace& ipc) {
  std::string text = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
  for (const auto& [id, s] : ipc.semaphores().List()) {
    const ipc64_perm& perm = s.sem_perm;
    absl::StrAppendFormat(&text, "%10d %10d  %4o %10u %5u %5u %5u %5u %10u %10u\n", perm.key, id, perm.mode,
                          s.sem_nsems, perm.uid, perm.gid, perm.cuid, perm.cgid, s.sem_otime, s.sem_ctime);
  }
  return text;
}

// Linux: sysvipc_msg_proc_show.
std::string MsgText(ipc::IpcNamespace& ipc) {
  std::string text =
      "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime"
      "      rtime      ctime\n";
  for (const auto& [id, s] : ipc.messages().List()) {
    const ipc64_perm& perm = s.msg_perm;
    absl::StrAppendFormat(&text, "%10d %10d  %4o  %10u %10u %5u %5u %5u %5u %5u %5u %10u %10u %10u\n",
                          perm.key, id, perm.mode, s.msg_cbytes, s.msg_qnum, s.msg_lspid, s.msg_lrpid,
                          perm.uid, perm.gid, perm.cuid, perm.cgid, s.msg_stime, s.msg_rtime, s.msg_ctime);
  }
  return text;
}

}  // namespace

ipc::IpcNamespace& IpcOfReader(task::Kernel& kernel) {
  const task::Task* const reader = task::CurrentTask::Get();
  return reader != nullptr ? reader->ipc() : *kernel.ipc();
}

void FillSysvIpc(const Ref<kernfs::Tree>& tree, kernfs::StaticDirectory& directory, task::Kernel& kernel) {
  const auto add = [&](std::string_view name, std::string (*text)(ipc::IpcNamespace&)) {
    directory.Add(name, kernfs::MakeText(tree, 0444, [&kernel, text] { return text(IpcOfReader(kernel)); }));
  };
  add("msg", MsgText);
  add("sem", SemText);
  add("shm", ShmText);
}

}  // namespace cloister::proc
