#ifndef CLOISTER_SENTRY_LOADER_TEST_ELF_H_
#define CLOISTER_SENTRY_LOADER_TEST_ELF_H_

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/host/unique_fd.h"
#include "sentry/auth/credentials.h"
#include "sentry/mm/mappable.h"
#include "sentry/vfs/file_description.h"

namespace cloister::loader {

// A file of these bytes, readable and mappable, without a name.
class BytesFile final : public vfs::FileDescription, public mm::Mappable {
 public:
  explicit BytesFile(std::string_view bytes)
      : FileDescription(O_RDONLY, vfs::Path(), auth::Credentials::Root()), bytes_(bytes) {
    memfd_.reset(memfd_create("test", MFD_CLOEXEC));
    if (write(memfd_.get(), bytes.data(), bytes.size()) < 0) memfd_.reset();
  }
  ErrnoOr<size_t> ReadAt(vfs::UserBuffer& dst, int64_t offset) override {
    if (offset < 0 || static_cast<size_t>(offset) >= bytes_.size()) return size_t{0};
    return dst.CopyOut(std::as_bytes(std::span(bytes_).subspan(static_cast<size_t>(offset))));
  }
  mm::Mappable* AsMappable() override { return this; }
  ErrnoOr<Backing> BackingFor(uint64_t offset, uint64_t, bool, bool) override {
    return Backing{memfd_.get(), offset};
  }
  Identity identity() const override { return {1, 1}; }
  std::string MappedName() const override { return "/test"; }

 private:
  const std::string bytes_;
  UniqueFd memfd_;
};

// An ELF file by hand: its parts may be changed before Bytes puts them together.
struct TestElf {
  Elf64_Ehdr header = {};
  std::vector<Elf64_Phdr> segments;
  std::string contents;  // from file offset 0x1000 on

  explicit TestElf(uint16_t type) {
    memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = type;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_phoff = sizeof(header);
    header.e_ehsize = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
  }
  TestElf& Load(uint32_t flags, uint64_t offset, uint64_t vaddr, uint64_t filesz, uint64_t memsz,
                uint64_t align = 0x1000) {
    return Add({PT_LOAD, flags, offset, vaddr, vaddr, filesz, memsz, align});
  }
  TestElf& Add(const Elf64_Phdr& segment) {
    segments.push_back(segment);
    header.e_phnum = static_cast<uint16_t>(segments.size());
    return *this;
  }
  std::string Bytes() const {
    std::string bytes(std::max<size_t>(0x1000, sizeof(header) + segments.size() * sizeof(Elf64_Phdr)), '\0');
    memcpy(bytes.data(), &header, sizeof(header));
    memcpy(bytes.data() + sizeof(header), segments.data(), segments.size() * sizeof(Elf64_Phdr));
    return bytes + contents;
  }
};

// Text at file offset 0x1000, data with bss at 0x2000: 16 bytes of the file and 0x2000 in memory.
inline TestElf GoodElf(uint16_t type, uint64_t base = 0) {
  TestElf elf(type);
  elf.header.e_entry = base + 0x1010;
  elf.Load(PF_R, 0, base, 0x400, 0x400);
  elf.Load(PF_R | PF_X, 0x1000, base + 0x1000, 0x800, 0x800);
  elf.Load(PF_R | PF_W, 0x2000, base + 0x2000, 0x10, 0x2000);
  elf.contents = std::string(0x1000, 'T') + std::string(0x1000, 'D');
  return elf;
}

}  // namespace cloister::loader

#endif  // CLOISTER_SENTRY_LOADER_TEST_ELF_H_
