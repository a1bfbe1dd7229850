#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error/status.h"
#include "base/host/own_path.h"
#include "runsc/cmd/verb.h"

namespace cloister::cmd {
namespace {

constexpr char kProgram[] = "runsc-serve";

}  // namespace

// A program of its own: gRPC is larger than the whole of runsc.
absl::StatusOr<int> RunServe(const Globals& globals, const Args& args) {
  const std::string runsc = TRY_STATUS(OwnPath());
  const std::string program = absl::StrCat(runsc.substr(0, runsc.rfind('/') + 1), kProgram);
  std::vector<std::string> words = {program, "--runsc", runsc};
  if (!globals.runtime.platform.empty()) words.push_back("--platform=" + globals.runtime.platform);
  words.insert(words.end(), args.begin(), args.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  if (errno == ENOENT)
    return absl::NotFoundError(absl::StrCat("serve: ", program, " is missing: it belongs beside runsc"));
  return HostErrorNow(absl::StrCat("serve: ", program));
}

}  // namespace cloister::cmd
