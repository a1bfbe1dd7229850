#include "runsc/spec/parse_seccomp.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "runsc/spec/names.h"

namespace cloister::spec {
namespace {

template <typename T>
struct Named {
  std::string_view name;
  T value;
};

constexpr uint32_t kNoData = 0;

// By name. The data of ERRNO and TRACE is put in afterwards.
constexpr Named<uint32_t> kActions[] = {
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(kNoData)},
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    {"SCMP_ACT_TRACE", SCMP_ACT_TRACE(kNoData)},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
};
constexpr std::string_view kNotify = "SCMP_ACT_NOTIFY";

constexpr Named<scmp_compare> kOperators[] = {
    {"SCMP_CMP_EQ", SCMP_CMP_EQ}, {"SCMP_CMP_GE", SCMP_CMP_GE}, {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_LE", SCMP_CMP_LE}, {"SCMP_CMP_LT", SCMP_CMP_LT}, {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
    {"SCMP_CMP_NE", SCMP_CMP_NE},
};

constexpr Named<uint32_t> kArchitectures[] = {
    {"SCMP_ARCH_AARCH64", SCMP_ARCH_AARCH64},
    {"SCMP_ARCH_ARM", SCMP_ARCH_ARM},
    {"SCMP_ARCH_LOONGARCH64", 0xc0000102},  // linux/audit.h: newer than libseccomp 2.5
    {"SCMP_ARCH_MIPS", SCMP_ARCH_MIPS},
    {"SCMP_ARCH_MIPS64", SCMP_ARCH_MIPS64},
    {"SCMP_ARCH_MIPS64N32", SCMP_ARCH_MIPS64N32},
    {"SCMP_ARCH_MIPSEL", SCMP_ARCH_MIPSEL},
    {"SCMP_ARCH_MIPSEL64", SCMP_ARCH_MIPSEL64},
    {"SCMP_ARCH_MIPSEL64N32", SCMP_ARCH_MIPSEL64N32},
    {"SCMP_ARCH_PPC", SCMP_ARCH_PPC},
    {"SCMP_ARCH_PPC64", SCMP_ARCH_PPC64},
    {"SCMP_ARCH_PPC64LE", SCMP_ARCH_PPC64LE},
    {"SCMP_ARCH_RISCV64", SCMP_ARCH_RISCV64},
    {"SCMP_ARCH_S390", SCMP_ARCH_S390},
    {"SCMP_ARCH_S390X", SCMP_ARCH_S390X},
    {"SCMP_ARCH_X32", SCMP_ARCH_X32},
    {"SCMP_ARCH_X86", SCMP_ARCH_X86},
    {"SCMP_ARCH_X86_64", SCMP_ARCH_X86_64},
};

// TSYNC says nothing of a program that begins with one thread.
constexpr Named<uint32_t> kFlags[] = {
    {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
    {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
    {"SECCOMP_FILTER_FLAG_TSYNC", 0},
};

template <typename T, size_t N>
std::vector<std::string> NamesOf(const Named<T> (&table)[N]) {
  std::vector<std::string> names;
  for (const Named<T>& entry : table) names.emplace_back(entry.name);
  return names;
}

template <typename T, size_t N>
absl::Status Find(const Named<T> (&table)[N], const JsonField& field, std::string_view what, T* value) {
  std::string name;
  RETURN_IF_ERROR(field.Read(&name));
  const auto found = std::find_if(std::begin(table), std::end(table),
                                  [&](const Named<T>& entry) { return entry.name == name; });
  if (found == std::end(table))
    return field.Error(absl::StrCat(absl::string_view(what.data(), what.size()), " \"", name, "\""));
  *value = found->value;
  return absl::OkStatus();
}

absl::Status ParseAction(const JsonField& field, const JsonField& errno_ret, uint32_t* action) {
  std::string name;
  RETURN_IF_ERROR(field.Read(&name));
  if (name == kNotify) return field.Error("SCMP_ACT_NOTIFY is not supported");
  RETURN_IF_ERROR(Find(kActions, field, "unknown action", action));
  uint32_t data = EPERM;
  RETURN_IF_ERROR(errno_ret.Read(&data));
  if (*action == SCMP_ACT_ERRNO(kNoData)) *action = SCMP_ACT_ERRNO(data);
  if (*action == SCMP_ACT_TRACE(kNoData)) *action = SCMP_ACT_TRACE(data);
  return absl::OkStatus();
}

absl::Status ParseArg(const JsonField& field, scmp_arg_cmp* arg) {
  RETURN_IF_ERROR(field.CheckObject());
  uint32_t index = 0;
  uint64_t value = 0, second = 0;
  RETURN_IF_ERROR(field.Member("index").Read(&index));
  RETURN_IF_ERROR(field.Member("value").Read(&value));
  RETURN_IF_ERROR(field.Member("valueTwo").Read(&second));
  scmp_compare op;
  RETURN_IF_ERROR(Find(kOperators, field.Member("op"), "unknown operator", &op));
  if (index > 5) return field.Member("index").Error("must be at most 5");
  // The mask comes first.
  *arg = {index, op, value, op == SCMP_CMP_MASKED_EQ ? second : 0};
  return absl::OkStatus();
}

// Several conditions on one argument are alternatives, as engines have always written them.
bool RepeatsAnArgument(const std::vector<scmp_arg_cmp>& args) {
  std::set<unsigned> seen;
  return std::any_of(args.begin(), args.end(),
                     [&](const scmp_arg_cmp& arg) { return !seen.insert(arg.arg).second; });
}

absl::Status ParseRule(const JsonField& field, std::vector<SeccompRule>* rules) {
  RETURN_IF_ERROR(field.CheckObject());
  std::vector<std::string> names;
  RETURN_IF_ERROR(field.Member("names").Read(&names));
  if (names.empty()) return field.Member("names").Error("must not be empty");
  SeccompRule rule;
  RETURN_IF_ERROR(ParseAction(field.Member("action"), field.Member("errnoRet"), &rule.action));
  for (const JsonField& entry : TRY_STATUS(field.Member("args").Elements()))
    RETURN_IF_ERROR(ParseArg(entry, &rule.args.emplace_back()));
  const bool apart = RepeatsAnArgument(rule.args);
  for (const std::string& name : names) {
    if (name.empty()) return field.Member("names").Error("an empty string is no system call");
    rule.name = name;
    if (!apart) {
      rules->push_back(rule);
      continue;
    }
    for (const scmp_arg_cmp& arg : rule.args) rules->push_back({name, rule.action, {arg}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ParseSeccomp(const JsonField& field, std::optional<Seccomp>* seccomp) {
  RETURN_IF_ERROR(field.CheckObject());
  const std::vector<JsonField> rules = TRY_STATUS(field.Member("syscalls").Elements());
  std::string listener, action;
  RETURN_IF_ERROR(field.Member("listenerPath").Read(&listener));
  RETURN_IF_ERROR(field.Member("defaultAction").Read(&action));
  if (!listener.empty()) return field.Member("listenerPath").Error("is not supported");
  if (action.empty() && rules.empty()) return absl::OkStatus();
  Seccomp parsed;
  RETURN_IF_ERROR(
      ParseAction(field.Member("defaultAction"), field.Member("defaultErrnoRet"), &parsed.default_action));
  for (const JsonField& entry : TRY_STATUS(field.Member("architectures").Elements()))
    RETURN_IF_ERROR(
        Find(kArchitectures, entry, "unknown architecture", &parsed.architectures.emplace_back()));
  for (const JsonField& entry : TRY_STATUS(field.Member("flags").Elements())) {
    uint32_t flag;
    RETURN_IF_ERROR(Find(kFlags, entry, "unknown flag", &flag));
    parsed.flags |= flag;
  }
  for (const JsonField& entry : rules) RETURN_IF_ERROR(ParseRule(entry, &parsed.rules));
  *seccomp = std::move(parsed);
  return absl::OkStatus();
}

std::vector<std::string> SeccompActionNames() { return NamesOf(kActions); }
std::vector<std::string> SeccompOperatorNames() { return NamesOf(kOperators); }
std::vector<std::string> SeccompArchitectureNames() { return NamesOf(kArchitectures); }
std::vector<std::string> SeccompFlagNames() { return NamesOf(kFlags); }

}  // namespace cloister::spec
