#include "sentry/loader/elf.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "sentry/mm/page.h"

namespace cloister::loader {
namespace {

using mm::kPageSize;

// Above any address that a guest can have; keeps sums of a few of them far from wrapping.
constexpr uint64_t kAddressLimit = uint64_t{1} << 47;

bool IsGoodSegment(const Elf64_Phdr& segment) {
  if (segment.p_filesz > segment.p_memsz || segment.p_memsz > kAddressLimit) return false;
  if (segment.p_vaddr > kAddressLimit - segment.p_memsz) return false;
  if (segment.p_offset > INT64_MAX - kPageSize - segment.p_filesz) return false;
  return segment.p_filesz == 0 || segment.p_offset % kPageSize == segment.p_vaddr % kPageSize;
}

bool AnyOverlap(std::vector<Elf64_Phdr> loads) {
  std::sort(loads.begin(), loads.end(),
            [](const Elf64_Phdr& a, const Elf64_Phdr& b) { return a.p_vaddr < b.p_vaddr; });
  for (size_t i = 1; i < loads.size(); ++i) {
    if (loads[i - 1].p_vaddr + loads[i - 1].p_memsz > loads[i].p_vaddr) return true;
  }
  return false;
}

}  // namespace

const Elf64_Phdr* ElfHeaders::Find(uint32_t type) const {
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == type) return &segment;
  }
  return nullptr;
}

uint64_t ElfHeaders::low() const {
  uint64_t low = kAddressLimit;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD) low = std::min<uint64_t>(low, segment.p_vaddr);
  }
  return low & ~(kPageSize - 1);
}

uint64_t ElfHeaders::high() const {
  uint64_t high = 0;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_LOAD) high = std::max<uint64_t>(high, segment.p_vaddr + segment.p_memsz);
  }
  return *mm::PageUp(high);
}

uint64_t ElfHeaders::alignment() const {
  uint64_t alignment = kPageSize;
  for (const Elf64_Phdr& segment : segments) {
    // As Linux: what is no power of two is ignored.
    if (segment.p_type == PT_LOAD && std::has_single_bit(segment.p_align)) {
      alignment = std::max<uint64_t>(alignment, segment.p_align);
    }
  }
  return alignment;
}

ErrnoOr<HeaderPlace> CheckElfHeader(std::span<const std::byte> file_start) {
  Elf64_Ehdr header;
  if (file_start.size() < sizeof(header)) return Errno::kNoExec;
  memcpy(&header, file_start.data(), sizeof(header));
  if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return Errno::kNoExec;
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) return Errno::kNoExec;
  if (header.e_machine != EM_X86_64 || (header.e_type != ET_EXEC && header.e_type != ET_DYN)) {
    return Errno::kNoExec;
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr)) return Errno::kNoExec;
  const size_t bytes = size_t{header.e_phnum} * sizeof(Elf64_Phdr);
  if (bytes == 0 || bytes > kMaxHeaderBytes || header.e_phoff > INT64_MAX - bytes) return Errno::kNoExec;
  return HeaderPlace{header.e_phoff, bytes};
}

ErrnoOr<ElfHeaders> ParseElf(std::span<const std::byte> headers) {
  const HeaderPlace place = TRY(CheckElfHeader(headers));
  ElfHeaders elf;
  if (headers.size() - sizeof(elf.header) < place.bytes) return Errno::kNoExec;
  memcpy(&elf.header, headers.data(), sizeof(elf.header));
  elf.segments.resize(elf.header.e_phnum);
  memcpy(elf.segments.data(), headers.data() + sizeof(elf.header), place.bytes);
  std::vector<Elf64_Phdr> loads;
  for (const Elf64_Phdr& segment : elf.segments) {
    if (segment.p_type != PT_LOAD) continue;
    if (!IsGoodSegment(segment)) return Errno::kNoExec;
    loads.push_back(segment);
  }
  if (loads.empty() || elf.header.e_entry > kAddressLimit || AnyOverlap(std::move(loads)))
    return Errno::kNoExec;
  return elf;
}

ErrnoOr<ScriptLine> ParseScriptLine(std::string_view file_start) {
  constexpr std::string_view kBlanks = " \t";
  file_start = file_start.substr(0, kScriptLineBytes);
  if (!file_start.starts_with("#!")) return Errno::kNoExec;
  std::string_view line = file_start.substr(2);
  const size_t end = line.find_first_of(std::string_view("\n\0", 2));
  const bool cut_off = end == std::string_view::npos && file_start.size() == kScriptLineBytes;
  line = line.substr(0, end);
  const size_t first = line.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return Errno::kNoExec;
  line = line.substr(first);
  const size_t name_end = line.find_first_of(kBlanks);
  // A name that the line's limit may have cut would run something else.
  if (cut_off && name_end == std::string_view::npos) return Errno::kNoExec;
  ScriptLine script;
  script.interpreter = line.substr(0, name_end);
  if (name_end == std::string_view::npos) return script;
  const size_t argument = line.find_first_not_of(kBlanks, name_end);
  if (argument == std::string_view::npos) return script;
  script.argument = line.substr(argument, line.find_last_not_of(kBlanks) + 1 - argument);
  script.has_argument = true;
  return script;
}

}  // namespace cloister::loader
