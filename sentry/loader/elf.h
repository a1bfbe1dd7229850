#ifndef CLOISTER_SENTRY_LOADER_ELF_H_
#define CLOISTER_SENTRY_LOADER_ELF_H_

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error/errno_or.h"

namespace cloister::loader {

// A checked ELF header and its program headers: x86-64, ET_EXEC or ET_DYN; loadable segments do not
// overlap, and none of their numbers wraps or leaves the lower half of the address space.
struct ElfHeaders {
  Elf64_Ehdr header = {};
  std::vector<Elf64_Phdr> segments;  // all of them, at least one PT_LOAD

  bool is_dynamic() const { return header.e_type == ET_DYN; }
  const Elf64_Phdr* Find(uint32_t type) const;
  // First address and first address past all PT_LOAD segments, in whole pages.
  uint64_t low() const;
  uint64_t high() const;
  // The largest alignment that a segment asks for; at least a page.
  uint64_t alignment() const;
};

// Linux: at most this many bytes of program headers.
inline constexpr size_t kMaxHeaderBytes = 65536;

// Where the program headers stand, from the file's first bytes. kNoExec for anything that is not ours.
struct HeaderPlace {
  uint64_t offset = 0;
  size_t bytes = 0;
};
ErrnoOr<HeaderPlace> CheckElfHeader(std::span<const std::byte> file_start);

// From the concatenation of the ELF header (64 bytes) and the program headers. Takes any bytes:
// the entry for fuzzing.
ErrnoOr<ElfHeaders> ParseElf(std::span<const std::byte> headers);

// What a first line "#!interpreter argument" says. Linux: fs/binfmt_script.c.
struct ScriptLine {
  std::string interpreter;
  std::string argument;
  bool has_argument = false;
};
inline constexpr size_t kScriptLineBytes = 256;
// From the first kScriptLineBytes of the file, or all of a shorter one. kNoExec: no such line.
ErrnoOr<ScriptLine> ParseScriptLine(std::string_view file_start);

}  // namespace cloister::loader

#endif  // CLOISTER_SENTRY_LOADER_ELF_H_
