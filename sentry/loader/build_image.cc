// From a checked program to mappings, memory and registers. Linux: load_elf_binary.

#include <cpuid.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "sentry/loader/elf.h"
#include "sentry/loader/loader.h"
#include "sentry/loader/stack.h"
#include "sentry/mm/page.h"
#include "sentry/mm/random.h"

namespace cloister::loader {
namespace {

using mm::kPageSize;
using mm::MemoryManager;

constexpr uint64_t kMostStack = 64 << 20;    // also of an unlimited one
constexpr uint64_t kLeastStack = 256 << 10;  // beside the arguments
constexpr uint64_t kBrkRandom = 32 << 20;

uint64_t PageDown(uint64_t value) { return value & ~(kPageSize - 1); }

class ImageBuilder {
 public:
  ImageBuilder(MemoryManager& memory, Image* image) : memory_(memory), image_(*image) {}

  // Maps into the list and notes what the host is to do.
  ErrnoOrVoid Map(MemoryManager::MapRequest request) {
    mm::Plan plan = TRY(memory_.Map(request, mm::Limits()));
    image_.ops.insert(image_.ops.end(), plan.ops.begin(), plan.ops.end());
    for (mm::MappedFile& file : plan.keep) image_.keep.push_back(std::move(file));
    return {};
  }

  // The load bias: what is added to each p_vaddr. near: where a position-independent program is
  // wanted; 0: among the other mappings.
  ErrnoOr<uint64_t> ChooseBias(const ElfHeaders& elf, uint64_t near) {
    if (!elf.is_dynamic()) return 0;
    const uint64_t alignment = elf.alignment();
    const uint64_t low = elf.low() & ~(alignment - 1);
    MemoryManager::MapRequest request;
    request.addr = near & ~(alignment - 1);
    request.length = elf.high() - low + (alignment > kPageSize ? alignment : 0);
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS;
    // Only to find a free place: the host never hears of it.
    const mm::Plan place = TRY(memory_.Map(request, mm::Limits()));
    memory_.Failed(place);
    const uint64_t start = (place.result + alignment - 1) & ~(alignment - 1);
    return start - low;
  }

  ErrnoOrVoid MapSegments(const ElfHeaders& elf, const Ref<vfs::FileDescription>& file, uint64_t bias) {
    for (const Elf64_Phdr& segment : elf.segments) {
      if (segment.p_type == PT_LOAD && segment.p_memsz > 0) TRY_VOID(MapSegment(segment, file, bias));
    }
    return {};
  }

 private:
  ErrnoOrVoid MapSegment(const Elf64_Phdr& segment, const Ref<vfs::FileDescription>& file, uint64_t bias) {
    const uint64_t start = segment.p_vaddr + bias;
    const uint64_t file_end = start + segment.p_filesz;
    const uint64_t end = *mm::PageUp(start + segment.p_memsz);
    MemoryManager::MapRequest request;
    request.prot = ((segment.p_flags & PF_R) != 0 ? PROT_READ : 0) |
                   ((segment.p_flags & PF_W) != 0 ? PROT_WRITE : 0) |
                   ((segment.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
    uint64_t mapped_end = PageDown(start);
    if (segment.p_filesz > 0) {
      request.addr = mapped_end;
      request.length = *mm::PageUp(file_end) - request.addr;
      request.flags = MAP_PRIVATE | MAP_FIXED;
      request.file = {Ref<RefCounted>(file), file->AsMappable()};
      request.offset = PageDown(segment.p_offset);
      mapped_end = request.addr + request.length;
      TRY_VOID(MapChecked(request));
      // What follows in the file's last page is not the program's.
      if (segment.p_memsz > segment.p_filesz && mapped_end > file_end && (segment.p_flags & PF_W) != 0) {
        image_.writes.emplace_back(file_end, std::vector<std::byte>(mapped_end - file_end));
      }
    }
    if (end <= mapped_end) return {};
    request.addr = mapped_end;
    request.length = end - mapped_end;
    request.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
    request.file = {};
    request.offset = 0;
    return MapChecked(request);
  }

  // A segment's place is the file's wish: outside the address space it is no program.
  ErrnoOrVoid MapChecked(const MemoryManager::MapRequest& request) {
    const ErrnoOrVoid mapped = Map(request);
    if (mapped.ok()) return {};
    return mapped.error() == Errno::kPerm ? Errno::kNoExec : mapped.error();
  }

  MemoryManager& memory_;
  Image& image_;
};

// Where the program headers are in memory: AT_PHDR. 0 where no segment holds them.
uint64_t HeadersAt(const ElfHeaders& elf, uint64_t bias) {
  for (const Elf64_Phdr& segment : elf.segments) {
    if (segment.p_type != PT_LOAD || segment.p_offset > elf.header.e_phoff) continue;
    const uint64_t offset = elf.header.e_phoff - segment.p_offset;
    if (offset < segment.p_filesz) return bias + segment.p_vaddr + offset;
  }
  return 0;
}

void DescribeCode(const ElfHeaders& elf, uint64_t bias, MemoryManager::Layout* layout) {
  layout->start_code = ~uint64_t{0};
  for (const Elf64_Phdr& segment : elf.segments) {
    if (segment.p_type != PT_LOAD) continue;
    const uint64_t start = segment.p_vaddr + bias, end = start + segment.p_filesz;
    if ((segment.p_flags & PF_X) != 0) {
      layout->start_code = std::min(layout->start_code, start);
      layout->end_code = std::max(layout->end_code, end);
    }
    if (start > layout->start_data) layout->start_data = start;
    layout->end_data = std::max(layout->end_data, end);
  }
  if (layout->start_code == ~uint64_t{0}) layout->start_code = 0;
}

// Linux: ELF_ET_DYN_BASE and arch_mmap_rnd, scaled down for a small address space.
uint64_t PieBase(uint64_t task_size) {
  const bool large = task_size >= uint64_t{1} << 42;
  const uint64_t base = task_size / 3 * 2 - (large ? 0 : task_size / 16);
  return PageDown(base + mm::RandomBelow(large ? uint64_t{1} << 40 : task_size / 64));
}

// AT_HWCAP is CPUID 1's EDX. Not getauxval(3)'s: glibc on x86 puts something of its own there.
uint64_t CpuFeatures() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 ? edx : 0;
}

StackBuilder::Aux AuxVector(const ElfHeaders& elf, uint64_t bias, uint64_t interpreter, const AuxInfo& aux,
                            const platform::Platform& platform) {
  // The kernel's frame beside the FP state: ucontext, siginfo, alignment, red zone.
  constexpr uint64_t kFrame = 1024;
  StackBuilder::Aux vector;
  if (aux.vdso != 0) vector.emplace_back(AT_SYSINFO_EHDR, aux.vdso);
  vector.emplace_back(AT_MINSIGSTKSZ,
                      std::max<uint64_t>(getauxval(AT_MINSIGSTKSZ), platform.fp_state_size() + kFrame));
  vector.emplace_back(AT_HWCAP, CpuFeatures());
  vector.emplace_back(AT_PAGESZ, kPageSize);
  vector.emplace_back(AT_CLKTCK, 100);
  vector.emplace_back(AT_PHDR, HeadersAt(elf, bias));
  vector.emplace_back(AT_PHENT, sizeof(Elf64_Phdr));
  vector.emplace_back(AT_PHNUM, elf.segments.size());
  vector.emplace_back(AT_BASE, interpreter);
  vector.emplace_back(AT_FLAGS, 0);
  vector.emplace_back(AT_ENTRY, elf.header.e_entry + bias);
  vector.emplace_back(AT_UID, aux.uid);
  vector.emplace_back(AT_EUID, aux.euid);
  vector.emplace_back(AT_GID, aux.gid);
  vector.emplace_back(AT_EGID, aux.egid);
  vector.emplace_back(AT_SECURE, aux.secure ? 1 : 0);
  vector.emplace_back(AT_HWCAP2, getauxval(AT_HWCAP2));
  return vector;
}

// The host's vDSO as its own ELF header describes it: this process' copy is the same image.
void ListVdso(MemoryManager& memory, uint64_t vdso) {
  const uint64_t own = getauxval(AT_SYSINFO_EHDR);
  if (vdso == 0 || own == 0) return;
  const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(own);
  mm::Area area;
  area.start = vdso;
  area.end = *mm::PageUp(vdso + header->e_shoff + uint64_t{header->e_shnum} * header->e_shentsize);
  area.prot = PROT_READ | PROT_EXEC;
  area.flags = MAP_PRIVATE | MAP_ANONYMOUS;
  area.name = "[vdso]";
  static_cast<void>(memory.AddSpecial(std::move(area)));
}

platform::Registers FirstRegisters(uint64_t rip, uint64_t rsp) {
  platform::Registers regs = {};
  regs.rip = rip;
  regs.rsp = rsp;
  regs.cs = 0x33;
  regs.ss = 0x2b;
  regs.eflags = 0x202;
  regs.orig_rax = ~uint64_t{0};
  return regs;
}

}  // namespace

ErrnoOr<Image> BuildImage(const Program& program, MemoryManager& memory, const AuxInfo& aux,
                          const platform::Platform& platform, const std::byte (&random)[16],
                          uint64_t stack_limit) {
  Image image;
  ImageBuilder builder(memory, &image);
  const ElfHeaders elf = TRY(ParseElf(program.header));
  // A dynamic loader that is run itself leaves the program's place to what it loads.
  const bool is_loader = elf.is_dynamic() && !program.interpreter;
  const uint64_t pie_base = PieBase(memory.task_size());
  const uint64_t bias = TRY(builder.ChooseBias(elf, is_loader ? 0 : pie_base));
  TRY_VOID(builder.MapSegments(elf, program.file, bias));
  uint64_t entry = elf.header.e_entry + bias;
  MemoryManager::Layout layout;
  DescribeCode(elf, bias, &layout);
  const uint64_t brk_from = is_loader ? pie_base : elf.high() + bias;
  layout.start_brk = PageDown(brk_from + mm::RandomBelow(kBrkRandom));
  memory.SetBrkBase(layout.start_brk);

  StackBuilder stack(memory.stack_top());
  uint64_t interpreter_bias = 0;
  if (program.interpreter) {
    const ElfHeaders interpreter = TRY(ParseElf(program.interpreter_header));
    interpreter_bias = TRY(builder.ChooseBias(interpreter, 0));
    TRY_VOID(builder.MapSegments(interpreter, program.interpreter, interpreter_bias));
    entry = interpreter.header.e_entry + interpreter_bias;
    interpreter_bias += interpreter.low();
  }
  TRY_VOID(stack.Build({program.exec_path, program.argv, program.envp, random},
                       AuxVector(elf, bias, interpreter_bias, aux, platform), kMostStack));
  const uint64_t used = memory.stack_top() - stack.pointer();
  const uint64_t stack_size = PageDown(std::max(std::min(stack_limit, kMostStack), used + kLeastStack));

  MemoryManager::MapRequest request;
  request.addr = memory.stack_top() - stack_size;
  request.length = stack_size;
  request.prot = PROT_READ | PROT_WRITE | (program.executable_stack ? PROT_EXEC : 0);
  request.flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE | MAP_GROWSDOWN;
  request.name = "[stack]";
  if (!builder.Map(std::move(request)).ok()) return Errno::kNoMem;
  ListVdso(memory, aux.vdso);
  stack.Describe(&layout);
  image.regs = FirstRegisters(entry, stack.pointer());
  image.writes.emplace_back(stack.pointer(), stack.TakeBytes());
  memory.SetLayout(std::move(layout));
  return image;
}

}  // namespace cloister::loader
