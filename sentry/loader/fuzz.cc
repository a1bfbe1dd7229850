#include "sentry/loader/fuzz.h"

#include <cstdlib>
#include <string_view>

#include "platform/inproc/inproc.h"
#include "sentry/loader/elf.h"
#include "sentry/loader/loader.h"
#include "sentry/loader/test_elf.h"

namespace cloister::loader {
namespace {

constexpr std::byte kRandom[16] = {};

void Require(bool holds) {
  if (!holds) abort();
}

}  // namespace

void LoadAnyBytes(const uint8_t* data, size_t size) {
  static inproc::Inproc* const platform = new inproc::Inproc;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  static_cast<void>(ParseScriptLine(bytes));
  ExecRequest request;
  request.file = MakeRef<BytesFile>(bytes);
  request.path = "/test";
  // Names lead nowhere: no interpreter is found.
  vfs::Caller caller;
  caller.cred = auth::Credentials::Root();
  const ErrnoOr<ElfHeaders> elf = ParseElf(std::as_bytes(std::span(data, size)));
  if (elf.ok() && elf->Find(PT_INTERP) != nullptr) return;
  if (bytes.starts_with("#!")) return;
  const ErrnoOr<Program> program = FindProgram(caller, std::move(request));
  if (!program.ok() || program->interpreter) return;
  const auto memory = MakeRef<mm::MemoryManager>(nullptr, inproc::kTaskSize);
  const ErrnoOr<Image> image = BuildImage(*program, *memory, {}, *platform, kRandom, 8 << 20);
  if (!image.ok()) return;
  for (const platform::HostOp& op : image->ops) {
    Require(op.args[0] <= inproc::kTaskSize && op.args[1] <= inproc::kTaskSize - op.args[0]);
  }
  for (const auto& [addr, written] : image->writes) Require(memory->IsMapped(addr, written.size()));
}

}  // namespace cloister::loader
