#include "sentry/fs/proc/memory_text.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "sentry/fs/proc/memory_use.h"
#include "sentry/fs/proc/subject_nodes.h"
#include "sentry/vfs/file_description.h"

// Macros of sys/sysmacros.h.
#undef major
#undef minor

namespace cloister::proc {
namespace {

constexpr size_t kNameColumn = 73;
constexpr uint64_t kMostArguments = 8 << 20;  // more than execve(2) takes

// The file's path as the reader sees it, or a bracketed name.
std::string NameOf(const mm::Area& area, const Viewpoint& view) {
  if (!area.name.empty() && !area.file) return area.name;
  if (area.shared_id != 0) return "/dev/zero (deleted)";
  if (!area.file) return "";
  // mm::MappedFile keeps an open file.
  const auto& file = static_cast<const vfs::FileDescription&>(*area.file.keep);
  std::string name =
      file.path() ? vfs::PathText(*view.mounts, view.root, file.path()) : area.file.mappable->MappedName();
  return absl::StrReplaceAll(name, {{"\n", "\\012"}});
}

std::string MapsLine(const mm::Area& area, const Viewpoint& view) {
  mm::Mappable::Identity identity{0, area.shared_id};
  if (area.file) identity = area.file.mappable->identity();
  const bool shows_offset = area.file || area.shared_id != 0;
  std::string line = absl::StrFormat(
      "%08x-%08x %c%c%c%c %08x %02x:%02x %u ", area.start, area.end, (area.prot & PROT_READ) ? 'r' : '-',
      (area.prot & PROT_WRITE) ? 'w' : '-', (area.prot & PROT_EXEC) ? 'x' : '-', area.shared() ? 's' : 'p',
      shows_offset ? area.offset : 0, gnu_dev_major(identity.device), gnu_dev_minor(identity.device),
      identity.inode);
  const std::string name = NameOf(area, view);
  if (!name.empty()) {
    if (line.size() < kNameColumn) line.resize(kNameColumn, ' ');
    line += name;
  }
  line += '\n';
  return line;
}

// What one mapping or all of them add up to, in bytes.
struct Sum {
  uint64_t resident = 0;
  uint64_t clean = 0;
  uint64_t dirty = 0;
  uint64_t shared = 0;
  uint64_t anonymous = 0;
  uint64_t locked = 0;

  void Add(const mm::Area& area) {
    const uint64_t size = ResidentOf(area);
    const bool unchanged = area.file && (area.prot & PROT_WRITE) == 0;
    resident += size;
    if (area.shared()) {
      shared += size;
    } else if (unchanged) {
      clean += size;
    } else {
      dirty += size;
    }
    if (!area.file && !area.shared()) anonymous += size;
    if ((area.flags & MAP_LOCKED) != 0) locked += size;
  }
};

void AppendLine(const char* name, uint64_t bytes, std::string* text) {
  absl::StrAppendFormat(text, "%-16s%8u kB\n", absl::StrCat(name, ":"), bytes / 1024);
}

void AppendSum(const Sum& sum, bool rollup, std::string* text) {
  AppendLine("Rss", sum.resident, text);
  AppendLine("Pss", sum.resident, text);
  AppendLine("Pss_Dirty", sum.dirty, text);
  if (rollup) {
    AppendLine("Pss_Anon", sum.anonymous, text);
    AppendLine("Pss_File", sum.resident - sum.anonymous - sum.shared, text);
    AppendLine("Pss_Shmem", sum.shared, text);
  }
  AppendLine("Shared_Clean", sum.shared, text);
  AppendLine("Shared_Dirty", 0, text);
  AppendLine("Private_Clean", sum.clean, text);
  AppendLine("Private_Dirty", sum.dirty, text);
  AppendLine("Referenced", sum.resident, text);
  AppendLine("Anonymous", sum.anonymous, text);
  for (const char* none : {"KSM", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped",
                           "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss"})
    AppendLine(none, 0, text);
  AppendLine("Locked", sum.locked, text);
}

std::string VmFlags(const mm::Area& area) {
  std::string text = "VmFlags:";
  const std::pair<bool, const char*> flags[] = {{(area.prot & PROT_READ) != 0, " rd"},
                                                {(area.prot & PROT_WRITE) != 0, " wr"},
                                                {(area.prot & PROT_EXEC) != 0, " ex"},
                                                {area.shared(), " sh"},
                                                {true, " mr"},
                                                {area.may_write, " mw"},
                                                {area.may_exec, " me"},
                                                {area.shared(), " ms"},
                                                {(area.flags & MAP_GROWSDOWN) != 0, " gd"},
                                                {(area.flags & MAP_LOCKED) != 0, " lo"},
                                                {area.dont_fork, " dc"},
                                                {(area.flags & MAP_NORESERVE) != 0, " nr"},
                                                {area.dont_dump, " dd"},
                                                {area.wipe_on_fork, " wf"}};
  for (const auto& [set, name] : flags)
    if (set) text += name;
  return text + " \n";
}

// Bytes [start, end) of the guest's memory, as far as they can be read.
std::string ReadMemory(mm::MemoryManager& memory, uint64_t start, uint64_t end) {
  if (start >= end) return "";
  std::string bytes(std::min(end - start, kMostArguments), '\0');
  bytes.resize(memory.space().Read(start, std::as_writable_bytes(std::span(bytes))));
  return bytes;
}

}  // namespace

ErrnoOr<std::string> MapsText(const Subject& subject) {
  std::string text;
  const Ref<mm::MemoryManager> memory = subject.Memory();
  if (!memory) return text;
  const Viewpoint view = ViewpointOfReader(subject);
  if (!view.mounts) return Errno::kSrch;
  for (const mm::Area& area : memory->Areas()) text += MapsLine(area, view);
  return text;
}

ErrnoOr<std::string> SmapsText(const Subject& subject) {
  std::string text;
  const Ref<mm::MemoryManager> memory = subject.Memory();
  if (!memory) return text;
  const Viewpoint view = ViewpointOfReader(subject);
  if (!view.mounts) return Errno::kSrch;
  for (const mm::Area& area : memory->Areas()) {
    text += MapsLine(area, view);
    AppendLine("Size", area.size(), &text);
    AppendLine("KernelPageSize", mm::kPageSize, &text);
    AppendLine("MMUPageSize", mm::kPageSize, &text);
    Sum sum;
    sum.Add(area);
    AppendSum(sum, false, &text);
    text += "THPeligible:           0\n";
    text += VmFlags(area);
  }
  return text;
}

ErrnoOr<std::string> SmapsRollupText(const Subject& subject) {
  const Ref<mm::MemoryManager> memory = subject.Memory();
  if (!memory) return Errno::kSrch;
  Sum sum;
  uint64_t first = 0, last = 0;
  for (const mm::Area& area : memory->Areas()) {
    if (last == 0) first = area.start;
    last = area.end;
    sum.Add(area);
  }
  std::string text = absl::StrFormat("%08x-%08x ---p 00000000 00:00 0 ", first, last);
  text.resize(std::max(text.size(), kNameColumn), ' ');
  text += "[rollup]\n";
  AppendSum(sum, true, &text);
  return text;
}

// Linux: get_mm_cmdline. Programs that overwrite their arguments with a longer title run over into
// the environment: without the closing NUL the text goes on to the first one.
ErrnoOr<std::string> CmdlineText(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  const Ref<mm::MemoryManager> memory = subject.Memory();
  if (!memory) return std::string();
  const mm::MemoryManager::Layout layout = memory->layout();
  std::string text = ReadMemory(*memory, layout.arg_start, layout.arg_end);
  if (text.empty() || text.back() == '\0') return text;
  if (layout.env_start == layout.arg_end) text += ReadMemory(*memory, layout.env_start, layout.env_end);
  const size_t end = text.find('\0');
  if (end != std::string::npos) text.resize(end);
  return text;
}

ErrnoOr<std::string> EnvironText(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  const Ref<mm::MemoryManager> memory = subject.Memory();
  if (!memory) return std::string();
  const mm::MemoryManager::Layout layout = memory->layout();
  return ReadMemory(*memory, layout.env_start, layout.env_end);
}

ErrnoOr<std::string> AuxvText(const Subject& subject) {
  if (!subject.Exists()) return Errno::kSrch;
  const Ref<mm::MemoryManager> memory = subject.Memory();
  if (!memory) return std::string();
  const std::vector<uint64_t> auxv = memory->layout().auxv;
  return std::string(reinterpret_cast<const char*>(auxv.data()), auxv.size() * sizeof(uint64_t));
}

}  // namespace cloister::proc
