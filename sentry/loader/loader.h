#ifndef CLOISTER_SENTRY_LOADER_LOADER_H_
#define CLOISTER_SENTRY_LOADER_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/error/errno_or.h"
#include "platform/api/platform.h"
#include "sentry/mm/memory_manager.h"
#include "sentry/vfs/caller.h"
#include "sentry/vfs/file_description.h"

namespace cloister::loader {

// What execve(2) was asked to run.
struct ExecRequest {
  Ref<vfs::FileDescription> file;  // already opened for execution (permission checked)
  std::string path;                // as the caller wrote it: AT_EXECFN, the script's argument
  std::vector<std::string> argv;
  std::vector<std::string> envp;
  uint64_t stack_limit = 8 << 20;  // RLIMIT_STACK
};

// The program that is really run: after #! lines have been followed (at most 5 deep; argv is
// rewritten), with its interpreter found. Nothing of the old image has been touched.
struct Program {
  Ref<vfs::FileDescription> file;         // the binary: /proc/PID/exe
  Ref<vfs::FileDescription> interpreter;  // PT_INTERP's, or null
  std::string exec_path;                  // AT_EXECFN
  std::vector<std::string> argv;
  std::vector<std::string> envp;
  std::vector<std::byte> header;  // ELF header and program headers, checked
  std::vector<std::byte> interpreter_header;
  bool executable_stack = false;
};

// Opens what is found by a name, to be run: a regular file, executable for the caller, on a mount
// that is not noexec. kAcces otherwise.
ErrnoOr<Ref<vfs::FileDescription>> OpenForExec(const vfs::Caller& caller, const vfs::Path& path);

// Follows scripts, reads and checks headers. All the errors that execve(2) gives before the point
// of no return: kNoExec, kAcces, kNoEnt, k2Big, kLibBad, kLoop …
ErrnoOr<Program> FindProgram(const vfs::Caller& caller, ExecRequest request);

struct AuxInfo {
  uint32_t uid = 0, euid = 0, gid = 0, egid = 0;
  bool secure = false;
  uint64_t vdso = 0;  // AT_SYSINFO_EHDR, 0: none
};

// What turns an empty process into the program.
struct Image {
  std::vector<platform::HostOp> ops;                                // to run first, in order
  std::vector<mm::MappedFile> keep;                                 // files behind ops
  std::vector<std::pair<uint64_t, std::vector<std::byte>>> writes;  // then memory to fill
  platform::Registers regs = {};                                    // and where to begin
};

// Lays the program out in memory's (empty) list: segments, bss, interpreter, stack with argv, envp
// and auxv. `random` are 16 bytes for AT_RANDOM. Fails with kNoMem, kNoExec for overlapping or
// out-of-range segments.
ErrnoOr<Image> BuildImage(const Program& program, mm::MemoryManager& memory, const AuxInfo& aux,
                          const platform::Platform& platform, const std::byte (&random)[16],
                          uint64_t stack_limit);

}  // namespace cloister::loader

#endif  // CLOISTER_SENTRY_LOADER_LOADER_H_
