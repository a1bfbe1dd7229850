#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "sentry/fs/proc/memory_use.h"
#include "sentry/fs/proc/process_state.h"
#include "sentry/fs/proc/process_text.h"

namespace cloister::proc {
namespace {

// Linux: seq_escape_str with ESCAPE_SPECIAL for newlines and backslashes.
std::string Escaped(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (c == '\n') {
      text += "\\n";
    } else if (c == '\\') {
      text += "\\\\";
    } else {
      text += c;
    }
  }
  return text;
}

void AppendIdentity(const Subject& subject, const ProcessState& state, std::string* text) {
  absl::StrAppend(text, "Name:\t", Escaped(state.name), "\n");
  if (const Ref<task::FsContext> fs = subject.Fs())
    absl::StrAppendFormat(text, "Umask:\t%#04o\n", fs->Get().umask);
  const std::string_view state_name = StateName(state.letter);
  absl::StrAppend(text, "State:\t", absl::string_view(state_name.data(), state_name.size()), "\nTgid:\t",
                  subject.pid(), "\nNgid:\t0\nPid:\t", subject.id(), "\nPPid:\t", state.parent,
                  "\nTracerPid:\t", state.tracer, "\n");
}

void AppendOwner(const Subject& subject, const auth::Credentials& cred, std::string* text) {
  absl::StrAppend(text, "Uid:\t", cred.uid, "\t", cred.euid, "\t", cred.suid, "\t", cred.fsuid, "\n");
  absl::StrAppend(text, "Gid:\t", cred.gid, "\t", cred.egid, "\t", cred.sgid, "\t", cred.fsgid, "\n");
  const Ref<vfs::FdTable> files = subject.Files();
  absl::StrAppend(text, "FDSize:\t", files ? files->size() : 0, "\nGroups:\t");
  // As in Linux, a blank behind the last one, and one alone where there is none.
  absl::StrAppend(text, absl::StrJoin(cred.groups, " "), " \n");
}

void AppendIds(const Subject& subject, const ProcessState& state, std::string* text) {
  absl::StrAppend(text, "NStgid:\t", subject.pid(), "\nNSpid:\t", subject.id(), "\nNSpgid:\t",
                  state.process_group, "\nNSsid:\t", state.session, "\n");
}

void AppendMemory(const mm::MemoryManager& memory, std::string* text) {
  const MemoryUse use = MeasureMemory(&memory);
  const std::pair<const char*, uint64_t> lines[] = {{"VmPeak", use.total},
                                                    {"VmSize", use.total},
                                                    {"VmLck", use.locked},
                                                    {"VmPin", 0},
                                                    {"VmHWM", use.resident()},
                                                    {"VmRSS", use.resident()},
                                                    {"RssAnon", use.anonymous},
                                                    {"RssFile", use.file},
                                                    {"RssShmem", use.shared},
                                                    {"VmData", use.data},
                                                    {"VmStk", use.stack},
                                                    {"VmExe", use.code},
                                                    {"VmLib", use.library},
                                                    {"VmPTE", use.total >> 9},
                                                    {"VmSwap", 0},
                                                    {"HugetlbPages", 0}};
  for (const auto& [name, bytes] : lines) absl::StrAppendFormat(text, "%s:\t%8u kB\n", name, bytes / 1024);
  *text += "CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff\n";
}

void AppendSignals(const Subject& subject, const ProcessState& state, std::string* text) {
  absl::StrAppend(text, "Threads:\t", state.threads, "\nSigQ:\t", state.queued, "/",
                  subject.group().Limit(RLIMIT_SIGPENDING).rlim_cur, "\n");
  const std::pair<const char*, signal::SignalSet> lines[] = {{"SigPnd", state.pending},
                                                             {"ShdPnd", state.group_pending},
                                                             {"SigBlk", state.blocked},
                                                             {"SigIgn", state.ignored},
                                                             {"SigCgt", state.caught}};
  for (const auto& [name, set] : lines) absl::StrAppendFormat(text, "%s:\t%016x\n", name, set.bits());
}

void AppendPrivileges(const auth::Credentials& cred, const ProcessState& state, std::string* text) {
  const std::pair<const char*, auth::CapSet> lines[] = {{"CapInh", cred.inheritable},
                                                        {"CapPrm", cred.permitted},
                                                        {"CapEff", cred.effective},
                                                        {"CapBnd", cred.bounding},
                                                        {"CapAmb", cred.ambient}};
  for (const auto& [name, set] : lines) absl::StrAppendFormat(text, "%s:\t%016x\n", name, set.bits());
  absl::StrAppend(text, "NoNewPrivs:\t", int{state.no_new_privs}, "\nSeccomp:\t", state.seccomp_mode,
                  "\nSeccomp_filters:\t", state.seccomp_filters,
                  "\nSpeculation_Store_Bypass:\tvulnerable\nSpeculationIndirectBranch:\talways enabled\n");
}

// A bitmap as Linux's %*pb shows it: groups of 32 bits, the highest first.
std::string CpuMask(uint32_t cpus) {
  std::string text;
  for (uint32_t group = (cpus + 31) / 32; group-- > 0;) {
    const uint32_t here = std::min(cpus - group * 32, 32u);
    const uint64_t bits = (uint64_t{1} << here) - 1;
    if (text.empty()) {
      absl::StrAppendFormat(&text, "%x", bits);
    } else {
      absl::StrAppendFormat(&text, ",%08x", bits);
    }
  }
  return text;
}

}  // namespace

ErrnoOr<std::string> StatusText(const Subject& subject) {
  const ProcessState state = TRY(ReadState(subject));
  const Ref<task::Task> task = subject.Find();
  auth::CredRef cred = task ? task->GetCred() : nullptr;
  if (!cred) {
    // A zombie keeps no more than its real uid.
    auto left = std::make_shared<auth::Credentials>();
    left->uid = left->euid = left->suid = left->fsuid = subject.Owner(S_IFDIR | 0555).uid;
    left->permitted = left->effective = left->bounding = auth::CapSet();
    cred = std::move(left);
  }
  const uint32_t cpus = subject.kernel().machine().cpus;
  std::string text;
  AppendIdentity(subject, state, &text);
  AppendOwner(subject, *cred, &text);
  AppendIds(subject, state, &text);
  if (const Ref<mm::MemoryManager> memory = subject.Memory()) AppendMemory(*memory, &text);
  AppendSignals(subject, state, &text);
  AppendPrivileges(*cred, state, &text);
  absl::StrAppend(&text, "Cpus_allowed:\t", CpuMask(cpus), "\nCpus_allowed_list:\t",
                  cpus == 1 ? "0" : absl::StrCat("0-", cpus - 1),
                  "\nMems_allowed:\t1\nMems_allowed_list:\t0\n"
                  "voluntary_ctxt_switches:\t0\nnonvoluntary_ctxt_switches:\t0\n");
  return text;
}

}  // namespace cloister::proc
