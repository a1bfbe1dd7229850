#include "sentry/loader/loader.h"

#include <sys/auxv.h>

#include <functional>
#include <map>
#include <random>

#include "gtest/gtest.h"
#include "platform/inproc/inproc.h"
#include "sentry/loader/elf.h"
#include "sentry/loader/fuzz.h"
#include "sentry/loader/test_elf.h"

namespace cloister::loader {
namespace {

constexpr std::byte kRandom[16] = {std::byte{1}, std::byte{2}};

class LoaderTest : public ::testing::Test {
 protected:
  LoaderTest() { caller_.cred = auth::Credentials::Root(); }

  ErrnoOr<Program> Find(std::string_view bytes) {
    ExecRequest request;
    request.file = MakeRef<BytesFile>(bytes);
    request.path = "/bin/test";
    request.argv = argv_;
    request.envp = {"A=1", "B=22"};
    request.stack_limit = stack_limit_;
    return FindProgram(caller_, std::move(request));
  }
  Errno FindError(std::string_view bytes) {
    const ErrnoOr<Program> program = Find(bytes);
    EXPECT_FALSE(program.ok());
    return program.error();
  }

  // Builds the image and carries it out.
  ErrnoOr<Image> Run(const Program& program) {
    Image image = TRY(BuildImage(program, *memory_, {}, platform_, kRandom, stack_limit_));
    for (const platform::HostOp& op : image.ops) EXPECT_GE(space_->Run(op), 0);
    for (const auto& [addr, bytes] : image.writes) EXPECT_EQ(space_->Write(addr, bytes), bytes.size());
    return image;
  }
  std::string Read(uint64_t addr, size_t size) {
    std::string text(size, '\0');
    text.resize(space_->Read(addr, std::as_writable_bytes(std::span(text))));
    return text;
  }
  uint64_t Word(uint64_t addr) {
    uint64_t word = 0;
    EXPECT_EQ(space_->Read(addr, std::as_writable_bytes(std::span(&word, 1))), sizeof(word));
    return word;
  }
  std::string Text(uint64_t addr) { return Read(addr, 64).c_str(); }
  // The auxiliary vector behind argc, argv and envp.
  std::map<uint64_t, uint64_t> Aux(uint64_t sp) {
    uint64_t at = sp + 8 + (Word(sp) + 1) * 8;
    while (Word(at) != 0) at += 8;
    std::map<uint64_t, uint64_t> aux;
    for (at += 8; Word(at) != AT_NULL; at += 16) aux[Word(at)] = Word(at + 8);
    return aux;
  }

  vfs::Caller caller_;
  std::vector<std::string> argv_ = {"test", "argument"};
  uint64_t stack_limit_ = 8 << 20;
  inproc::Inproc platform_;
  Ref<inproc::Space> space_ = MakeRef<inproc::Space>();
  Ref<mm::MemoryManager> memory_ = MakeRef<mm::MemoryManager>(space_, inproc::kTaskSize);
};

TEST_F(LoaderTest, StaticProgramIsMappedAtItsAddress) {
  const ErrnoOr<Program> program = Find(GoodElf(ET_EXEC, 0x400000).Bytes());
  ASSERT_TRUE(program.ok());
  const ErrnoOr<Image> image = Run(*program);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->regs.rip, 0x401010u);
  EXPECT_EQ(Read(0x401000, 4), "TTTT");
  EXPECT_EQ(space_->ProtectionAt(0x401000), PROT_READ | PROT_EXEC);
  EXPECT_EQ(Read(0x402000, 0x12), std::string(0x10, 'D') + std::string(2, '\0'));
  EXPECT_EQ(Read(0x402ff0, 0x20), std::string(0x20, '\0'));  // the rest of the page, and the one behind
  EXPECT_EQ(space_->ProtectionAt(0x403000), PROT_READ | PROT_WRITE);
  EXPECT_EQ(space_->ProtectionAt(0x404000), -1);
  EXPECT_GE(memory_->layout().start_brk, 0x404000u);
}

TEST_F(LoaderTest, FirstStackIsAsTheAbiSays) {
  const ErrnoOr<Image> image = Run(*Find(GoodElf(ET_EXEC, 0x400000).Bytes()));
  ASSERT_TRUE(image.ok());
  const uint64_t sp = image->regs.rsp;
  EXPECT_EQ(sp % 16, 0u);
  EXPECT_EQ(Word(sp), 2u);
  EXPECT_EQ(Text(Word(sp + 8)), "test");
  EXPECT_EQ(Text(Word(sp + 16)), "argument");
  EXPECT_EQ(Word(sp + 24), 0u);
  EXPECT_EQ(Text(Word(sp + 32)), "A=1");
  EXPECT_EQ(Text(Word(sp + 40)), "B=22");
  EXPECT_EQ(Word(sp + 48), 0u);
  auto aux = Aux(sp);
  EXPECT_EQ(aux[AT_ENTRY], 0x401010u);
  EXPECT_EQ(aux[AT_PHDR], 0x400040u);
  EXPECT_EQ(aux[AT_PHNUM], 3u);
  EXPECT_EQ(aux[AT_BASE], 0u);
  EXPECT_EQ(aux[AT_HWCAP2], getauxval(AT_HWCAP2));
  EXPECT_EQ(Text(aux[AT_EXECFN]), "/bin/test");
  EXPECT_EQ(Text(aux[AT_PLATFORM]), "x86_64");
  EXPECT_EQ(Read(aux[AT_RANDOM], 16), std::string(reinterpret_cast<const char*>(kRandom), 16));
  EXPECT_FALSE(aux.contains(AT_SYSINFO_EHDR));
  EXPECT_EQ(memory_->AreaAt(sp)->name, "[stack]");
  EXPECT_EQ(memory_->AreaAt(sp)->size(), 8u << 20);
  EXPECT_EQ(Read(memory_->layout().arg_start, 5), std::string("test\0", 5));
}

TEST_F(LoaderTest, InterpreterRunsFirst) {
  Program program = *Find(GoodElf(ET_DYN).Bytes());
  const std::string interpreter = GoodElf(ET_DYN).Bytes();
  program.interpreter = MakeRef<BytesFile>(interpreter);
  program.interpreter_header = program.header;
  const ErrnoOr<Image> image = Run(program);
  ASSERT_TRUE(image.ok());
  auto aux = Aux(image->regs.rsp);
  EXPECT_NE(aux[AT_BASE], 0u);
  EXPECT_EQ(image->regs.rip, aux[AT_BASE] + 0x1010);
  EXPECT_NE(aux[AT_ENTRY], image->regs.rip);
  EXPECT_EQ(Read(aux[AT_ENTRY], 1), "T");
  EXPECT_EQ(Read(image->regs.rip, 1), "T");
}

TEST_F(LoaderTest, LargeAlignmentIsKept) {
  TestElf elf(ET_DYN);
  elf.header.e_entry = 0x200010;
  elf.Load(PF_R | PF_X, 0, 0x200000, 0x100, 0x100, 0x200000);
  const ErrnoOr<Image> image = Run(*Find(elf.Bytes()));
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->regs.rip % 0x200000, 0x10u);
}

TEST_F(LoaderTest, ExecutableStackIsAskedFor) {
  EXPECT_FALSE(Find(GoodElf(ET_DYN).Bytes())->executable_stack);
  TestElf elf = GoodElf(ET_DYN);
  elf.Add({PT_GNU_STACK, PF_R | PF_W | PF_X, 0, 0, 0, 0, 0, 0});
  EXPECT_TRUE(Find(elf.Bytes())->executable_stack);
}

TEST_F(LoaderTest, ArgumentsAreLimited) {
  const std::string elf = GoodElf(ET_DYN).Bytes();
  argv_ = {std::string(128 << 10, 'x')};
  EXPECT_EQ(FindError(elf), Errno::k2Big);
  argv_ = {std::string((128 << 10) - 1, 'x')};
  EXPECT_TRUE(Find(elf).ok());
  argv_.assign(100, std::string(100 << 10, 'x'));
  stack_limit_ = ~uint64_t{0};
  EXPECT_EQ(FindError(elf), Errno::k2Big);
  argv_.assign(50, std::string(100 << 10, 'x'));
  EXPECT_TRUE(Run(*Find(elf)).ok());
}

TEST_F(LoaderTest, MalformedFilesAreNoPrograms) {
  const std::pair<const char*, std::function<void(TestElf&)>> kCases[] = {
      {"magic", [](TestElf& elf) { elf.header.e_ident[0] = 0; }},
      {"32 bit", [](TestElf& elf) { elf.header.e_ident[EI_CLASS] = ELFCLASS32; }},
      {"big endian", [](TestElf& elf) { elf.header.e_ident[EI_DATA] = ELFDATA2MSB; }},
      {"machine", [](TestElf& elf) { elf.header.e_machine = EM_AARCH64; }},
      {"relocatable", [](TestElf& elf) { elf.header.e_type = ET_REL; }},
      {"no segments", [](TestElf& elf) { elf.header.e_phnum = 0; }},
      {"too many segments", [](TestElf& elf) { elf.header.e_phnum = 0xffff; }},
      {"entry size", [](TestElf& elf) { elf.header.e_phentsize = 32; }},
      {"headers beyond the end", [](TestElf& elf) { elf.header.e_phoff = 1 << 20; }},
      {"headers beyond 63 bits", [](TestElf& elf) { elf.header.e_phoff = ~uint64_t{0}; }},
      {"file larger than memory", [](TestElf& elf) { elf.segments[2].p_memsz = 1; }},
      {"memory wraps", [](TestElf& elf) { elf.segments[2].p_memsz = ~uint64_t{0}; }},
      {"address wraps", [](TestElf& elf) { elf.segments[2].p_vaddr = ~uint64_t{0} << 12; }},
      {"offset wraps", [](TestElf& elf) { elf.segments[2].p_offset = ~uint64_t{0} << 12; }},
      {"offset and address differ", [](TestElf& elf) { elf.segments[2].p_offset += 8; }},
      {"overlap", [](TestElf& elf) { elf.segments[2].p_vaddr = 0x1000; }},
      {"no PT_LOAD",
       [](TestElf& elf) {
         for (Elf64_Phdr& each : elf.segments) each.p_type = PT_NOTE;
       }},
      {"interpreter too long", [](TestElf& elf) { elf.Add({PT_INTERP, 0, 0x1000, 0, 0, 1 << 20, 0, 0}); }},
      {"interpreter unterminated", [](TestElf& elf) { elf.Add({PT_INTERP, 0, 0x1000, 0, 0, 16, 0, 0}); }},
      {"interpreter beyond the end", [](TestElf& elf) { elf.Add({PT_INTERP, 0, 0x9000, 0, 0, 16, 0, 0}); }},
      {"interpreter beyond 63 bits",
       [](TestElf& elf) { elf.Add({PT_INTERP, 0, ~uint64_t{0}, 0, 0, 16, 0, 0}); }},
  };
  for (const auto& [name, spoil] : kCases) {
    TestElf elf = GoodElf(ET_DYN);
    spoil(elf);
    EXPECT_EQ(FindError(elf.Bytes()), Errno::kNoExec) << name;
  }
  EXPECT_EQ(FindError(""), Errno::kNoExec);
  EXPECT_EQ(FindError("\x7f"
                      "ELF"),
            Errno::kNoExec);
  EXPECT_EQ(FindError("echo no interpreter line\n"), Errno::kNoExec);
}

TEST_F(LoaderTest, ProgramsThatDoNotFitAreRefused) {
  EXPECT_FALSE(Run(*Find(GoodElf(ET_EXEC, 0).Bytes())).ok());  // below mmap_min_addr
  EXPECT_FALSE(Run(*Find(GoodElf(ET_EXEC, inproc::kTaskSize).Bytes())).ok());
  TestElf huge = GoodElf(ET_DYN);
  huge.segments[2].p_memsz = uint64_t{1} << 46;
  EXPECT_EQ(Run(*Find(huge.Bytes())).error(), Errno::kNoMem);
}

TEST_F(LoaderTest, AnyBytesAreSurvived) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    std::string bytes = GoodElf(round % 2 != 0 ? ET_DYN : ET_EXEC, round % 2 != 0 ? 0 : 0x400000).Bytes();
    for (int i = 0; i < 4; ++i) bytes[random() % 0x100] = static_cast<char>(random());
    LoadAnyBytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
}

TEST(ScriptLine, InterpreterAndOneArgument) {
  const auto parse = [](std::string_view text) { return *ParseScriptLine(text); };
  EXPECT_EQ(parse("#!/bin/sh\necho").interpreter, "/bin/sh");
  EXPECT_FALSE(parse("#!/bin/sh \t\n").has_argument);
  EXPECT_EQ(parse("#! /usr/bin/env  python3 -u \n").argument, "python3 -u");
  EXPECT_EQ(parse("#!sh").interpreter, "sh");
  EXPECT_EQ(parse("#!/bin/sh " + std::string(400, 'x')).argument.size(), kScriptLineBytes - 10);
  EXPECT_FALSE(ParseScriptLine("#!").ok());
  EXPECT_FALSE(ParseScriptLine("#! \t \n/bin/sh").ok());
  EXPECT_FALSE(ParseScriptLine("#!/" + std::string(400, 'x')).ok());
}

}  // namespace
}  // namespace cloister::loader
