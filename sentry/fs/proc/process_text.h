#ifndef CLOISTER_SENTRY_FS_PROC_PROCESS_TEXT_H_
#define CLOISTER_SENTRY_FS_PROC_PROCESS_TEXT_H_

#include <string>

#include "base/error/errno_or.h"
#include "sentry/fs/proc/subject.h"

// The text of a process' files that is made of its task's and group's state. Each is kSrch where
// what it tells of is gone.

namespace cloister::proc {

ErrnoOr<std::string> StatText(const Subject& subject);
ErrnoOr<std::string> StatmText(const Subject& subject);
ErrnoOr<std::string> StatusText(const Subject& subject);
ErrnoOr<std::string> CommText(const Subject& subject);
ErrnoOr<std::string> LimitsText(const Subject& subject);
ErrnoOr<std::string> IoText(const Subject& subject);
ErrnoOr<std::string> SchedStatText(const Subject& subject);
ErrnoOr<std::string> ChildrenText(const Subject& subject);
ErrnoOr<std::string> OomScoreText(const Subject& subject);
ErrnoOr<std::string> OomScoreAdjText(const Subject& subject);
ErrnoOr<std::string> OomAdjText(const Subject& subject);
ErrnoOr<std::string> TimerSlackText(const Subject& subject);

// Those that are always the same.
ErrnoOr<std::string> IdMapText(const Subject& subject);
ErrnoOr<std::string> SetGroupsText(const Subject& subject);
ErrnoOr<std::string> LoginUidText(const Subject& subject);
ErrnoOr<std::string> PersonalityText(const Subject& subject);
ErrnoOr<std::string> CoredumpFilterText(const Subject& subject);
ErrnoOrVoid StoreCoredumpFilter(const Subject& subject, std::string_view text,
                                const auth::Credentials& opener);
ErrnoOr<std::string> WchanText(const Subject& subject);
ErrnoOr<std::string> CgroupText(const Subject& subject);
ErrnoOr<std::string> CpusetText(const Subject& subject);

// What may be written.
ErrnoOrVoid StoreComm(const Subject& subject, std::string_view text, const auth::Credentials& opener);
ErrnoOrVoid StoreOomScoreAdj(const Subject& subject, std::string_view text, const auth::Credentials& opener);
ErrnoOrVoid StoreOomAdj(const Subject& subject, std::string_view text, const auth::Credentials& opener);
ErrnoOrVoid StoreTimerSlack(const Subject& subject, std::string_view text, const auth::Credentials& opener);

}  // namespace cloister::proc

#endif  // CLOISTER_SENTRY_FS_PROC_PROCESS_TEXT_H_
