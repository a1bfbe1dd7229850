// The checks of execve(2): scripts, headers, interpreters, the size of the arguments.

#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "sentry/loader/elf.h"
#include "sentry/loader/loader.h"
#include "sentry/usermem/user_buffer.h"
#include "sentry/vfs/dentry.h"
#include "sentry/vfs/mount.h"
#include "sentry/vfs/operations.h"

namespace cloister::loader {
namespace {

constexpr int kMaxScripts = 5;                   // Linux: the sixth rewrite is ELOOP
constexpr size_t kMaxString = 128 << 10;         // MAX_ARG_STRLEN, with the NUL
constexpr uint64_t kLeastArguments = 128 << 10;  // ARG_MAX
constexpr uint64_t kMostArguments = 6 << 20;     // 3/4 of _STK_LIM

// Reads until `memory` is full or the file ends.
ErrnoOr<size_t> ReadFully(vfs::FileDescription& file, std::span<std::byte> memory, uint64_t offset) {
  size_t done = 0;
  while (done < memory.size()) {
    usermem::UserBuffer buffer = usermem::UserBuffer::Kernel(memory.subspan(done));
    const size_t got = TRY(file.ReadAt(buffer, static_cast<int64_t>(offset + done)));
    if (got == 0) break;
    done += std::min(got, memory.size() - done);
  }
  return done;
}

// ELF header and program headers of a file whose first bytes are known; checked.
ErrnoOr<std::vector<std::byte>> ReadHeaders(vfs::FileDescription& file, std::span<const std::byte> start) {
  const HeaderPlace place = TRY(CheckElfHeader(start));
  std::vector<std::byte> headers(start.begin(), start.begin() + sizeof(Elf64_Ehdr));
  headers.resize(sizeof(Elf64_Ehdr) + place.bytes);
  const size_t got = TRY(ReadFully(file, std::span(headers).subspan(sizeof(Elf64_Ehdr)), place.offset));
  if (got < place.bytes) return Errno::kNoExec;
  TRY_VOID(ParseElf(headers));
  return headers;
}

ErrnoOr<std::string> InterpreterPath(vfs::FileDescription& file, const Elf64_Phdr& segment) {
  if (segment.p_filesz < 2 || segment.p_filesz > PATH_MAX || segment.p_offset > INT64_MAX - PATH_MAX) {
    return Errno::kNoExec;
  }
  std::string path(segment.p_filesz, '\0');
  const size_t got = TRY(ReadFully(file, std::as_writable_bytes(std::span(path)), segment.p_offset));
  if (got < path.size() || path.back() != '\0') return Errno::kNoExec;
  path.resize(strlen(path.c_str()));
  return path;
}

ErrnoOr<Ref<vfs::FileDescription>> OpenByName(const vfs::Caller& caller, const std::string& name) {
  if (name.empty()) return Errno::kNoEnt;
  return OpenForExec(caller, TRY(vfs::Resolve(caller, caller.cwd, name, vfs::WalkOptions())));
}

ErrnoOrVoid CheckArguments(const Program& program, uint64_t stack_limit) {
  uint64_t left = std::clamp(stack_limit / 4, kLeastArguments, kMostArguments);
  for (const auto* strings : {&program.argv, &program.envp}) {
    for (const std::string& text : *strings) {
      const uint64_t needed = text.size() + 1 + sizeof(uint64_t);
      if (text.size() >= kMaxString || needed > left) return Errno::k2Big;
      left -= needed;
    }
  }
  if (program.exec_path.size() >= left) return Errno::k2Big;
  return {};
}

// The binary is known: its header, its interpreter.
ErrnoOrVoid ReadBinary(const vfs::Caller& caller, std::span<const std::byte> start, Program& program) {
  program.header = TRY(ReadHeaders(*program.file, start));
  const ElfHeaders elf = TRY(ParseElf(program.header));
  if (program.file->AsMappable() == nullptr) return Errno::kNoExec;
  if (const Elf64_Phdr* const stack = elf.Find(PT_GNU_STACK))
    program.executable_stack = stack->p_flags & PF_X;
  const Elf64_Phdr* const interpreter = elf.Find(PT_INTERP);
  if (interpreter == nullptr) return {};
  program.interpreter = TRY(OpenByName(caller, TRY(InterpreterPath(*program.file, *interpreter))));
  if (program.interpreter->AsMappable() == nullptr) return Errno::kLibBad;
  std::byte first[sizeof(Elf64_Ehdr)];
  const size_t got = TRY(ReadFully(*program.interpreter, first, 0));
  ErrnoOr<std::vector<std::byte>> headers = ReadHeaders(*program.interpreter, std::span(first, got));
  if (!headers.ok()) return headers.error() == Errno::kNoExec ? Errno::kLibBad : headers.error();
  program.interpreter_header = *std::move(headers);
  return {};
}

}  // namespace

ErrnoOr<Ref<vfs::FileDescription>> OpenForExec(const vfs::Caller& caller, const vfs::Path& path) {
  const Ref<vfs::Inode> inode = path.dentry()->inode();
  if (!inode) return Errno::kNoEnt;
  if (inode->is_symlink()) return Errno::kLoop;
  if (inode->type() != S_IFREG || (path.mount()->flags() & MS_NOEXEC) != 0) return Errno::kAcces;
  TRY_VOID(vfs::CheckPermission(*caller.cred, TRY(inode->GetOwnership()), X_OK));
  vfs::OpenRequest open;
  open.flags = O_RDONLY;
  open.path = path;
  open.cred = caller.cred;
  return inode->Open(open);
}

ErrnoOr<Program> FindProgram(const vfs::Caller& caller, ExecRequest request) {
  Program program;
  program.file = std::move(request.file);
  program.exec_path = request.path;
  program.argv = std::move(request.argv);
  program.envp = std::move(request.envp);
  if (program.argv.empty()) program.argv.emplace_back();
  std::string path = std::move(request.path);
  for (int scripts = 0;; ++scripts) {
    std::byte start[kScriptLineBytes];
    const size_t got = TRY(ReadFully(*program.file, start, 0));
    const std::string_view text(reinterpret_cast<const char*>(start), got);
    if (!text.starts_with("#!")) {
      TRY_VOID(ReadBinary(caller, std::span(start, got), program));
      TRY_VOID(CheckArguments(program, request.stack_limit));
      return program;
    }
    if (scripts == kMaxScripts) return Errno::kLoop;
    ScriptLine line = TRY(ParseScriptLine(text));
    program.argv[0] = std::move(path);
    if (line.has_argument) program.argv.insert(program.argv.begin(), std::move(line.argument));
    program.argv.insert(program.argv.begin(), line.interpreter);
    TRY_VOID(CheckArguments(program, request.stack_limit));
    program.file = TRY(OpenByName(caller, line.interpreter));
    path = std::move(line.interpreter);
  }
}

}  // namespace cloister::loader
