#include <sys/wait.h>

#include <cstdio>

#include "base/error/status.h"
#include "runsc/cmd/verb.h"
#include "runsc/container/container.h"
#include "runsc/spec/json_field.h"

namespace cloister::cmd {

absl::StatusOr<int> RunWait(const Globals& globals, const Args& args) {
  Flags flags("runsc wait", "ID", "Waits until a container's first process has ended and prints its status.");
  RETURN_IF_ERROR(flags.Parse(args));
  RETURN_IF_ERROR(CheckCount(flags, "wait", 1, 1));
  const std::string& id = flags.positionals()[0];
  container::Container container = TRY_STATUS(container::Container::Open(globals.runtime.root, id));
  const int status = TRY_STATUS(container.Wait());
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  printf("{\"id\":%s,\"exitStatus\":%d}\n", spec::JsonQuote(id).c_str(), code);
  return 0;
}

}  // namespace cloister::cmd
