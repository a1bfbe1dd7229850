#include "runsc/seccomp/compile.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/unique_fd.h"
#include "base/log/log.h"

namespace cloister::seccomp {
namespace {

using spec::Seccomp;
using spec::SeccompRule;
using Context = std::unique_ptr<void, decltype(&seccomp_release)>;

// Above so many rules a binary search is shorter than the list.
constexpr size_t kLongList = 32;
constexpr uint32_t kX32Bit = 1u << 30;

absl::Status SeccompError(int result, std::string_view what) {
  return HostError(-result, absl::StrCat("linux.seccomp: ", absl::string_view(what.data(), what.size())));
}

bool IsNative(uint32_t architecture) {
  return architecture == SCMP_ARCH_X86_64 || architecture == SCMP_ARCH_X32;
}

// The kinds of action that let the call be made or give somebody the chance to.
bool IsAllowance(uint32_t action) {
  const uint32_t kind = action & SECCOMP_RET_ACTION_FULL;
  return kind == SECCOMP_RET_ALLOW || kind == SECCOMP_RET_LOG || kind == SECCOMP_RET_TRACE;
}

absl::Status AddRule(scmp_filter_ctx context, const SeccompRule& rule, uint32_t default_action) {
  if (rule.action == default_action) return absl::OkStatus();
  const int number = seccomp_syscall_resolve_name(rule.name.c_str());
  if (number == __NR_SCMP_ERROR) {
    LOG(kDebug, "linux.seccomp: unknown system call %s is ignored", rule.name);
    return absl::OkStatus();
  }
  const int result = seccomp_rule_add_array(context, rule.action, number,
                                            static_cast<unsigned>(rule.args.size()), rule.args.data());
  return result == 0 ? absl::OkStatus() : SeccompError(result, absl::StrCat("the rule for ", rule.name));
}

absl::StatusOr<Context> MakeContext(const Seccomp& profile) {
  Context context(seccomp_init(profile.default_action), &seccomp_release);
  if (context == nullptr)
    return absl::InternalError("linux.seccomp: libseccomp takes no such default action");
  for (const uint32_t architecture : profile.architectures) {
    const int result = IsNative(architecture) ? seccomp_arch_add(context.get(), architecture) : 0;
    if (result != 0 && result != -EEXIST) return SeccompError(result, "architectures");
  }
  if (profile.rules.size() > kLongList) seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const SeccompRule& rule : profile.rules)
    RETURN_IF_ERROR(AddRule(context.get(), rule, profile.default_action));
  return context;
}

absl::StatusOr<std::vector<sock_filter>> Export(scmp_filter_ctx context) {
  const UniqueFd file(memfd_create("seccomp", MFD_CLOEXEC));
  if (!file.ok()) return HostErrorNow("memfd_create");
  const int result = seccomp_export_bpf(context, file.get());
  if (result != 0) return SeccompError(result, "the filter cannot be made");
  const off_t size = lseek(file.get(), 0, SEEK_END);
  if (size < 0) return HostErrorNow("lseek");
  std::vector<sock_filter> code(static_cast<size_t>(size) / sizeof(sock_filter));
  const size_t bytes = code.size() * sizeof(sock_filter);
  if (pread(file.get(), code.data(), bytes, 0) != static_cast<ssize_t>(bytes)) return HostErrorNow("pread");
  return code;
}

// The highest number that the profile names; that of no call where it names none.
uint32_t LastNumber(const Seccomp& profile, uint32_t architecture) {
  int last = 0;
  for (const SeccompRule& rule : profile.rules)
    last = std::max(last, seccomp_syscall_resolve_name_arch(architecture, rule.name.c_str()));
  return last == 0 ? ~0u : static_cast<uint32_t>(last);
}

// What goes before the filter: ENOSYS for calls that are newer than the profile.
std::vector<sock_filter> RefuseNewer(const Seccomp& profile) {
  const auto& all = profile.architectures;
  const bool has_x32 = std::find(all.begin(), all.end(), uint32_t{SCMP_ARCH_X32}) != all.end();
  const uint32_t last = LastNumber(profile, SCMP_ARCH_X86_64);
  const uint32_t last_x32 = has_x32 ? LastNumber(profile, SCMP_ARCH_X32) : ~0u;
  return {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kX32Bit, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last, 1, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, last_x32, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
}

}  // namespace

absl::StatusOr<std::vector<sock_filter>> Compile(const Seccomp& profile) {
  const Context context = TRY_STATUS(MakeContext(profile));
  std::vector<sock_filter> code = TRY_STATUS(Export(context.get()));
  if (!IsAllowance(profile.default_action)) {
    const std::vector<sock_filter> before = RefuseNewer(profile);
    code.insert(code.begin(), before.begin(), before.end());
  }
  if (code.size() <= BPF_MAXINSNS) return code;
  return absl::InvalidArgumentError(absl::StrCat("linux.seccomp: the filter has ", code.size(),
                                                 " instructions, ", BPF_MAXINSNS, " are possible"));
}

}  // namespace cloister::seccomp
