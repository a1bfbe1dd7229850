// Every system call number with arguments that mean harm: the sentry answers something and lives.

#include <signal.h>

#include <cstdlib>
#include <random>

#include "sentry/syscalls/sandbox_fixture.h"

namespace cloister::syscalls {
namespace {

class HostileSyscallTest : public SandboxTest {
 protected:
  uint64_t Argument(std::mt19937_64& random) {
    const uint64_t edges[] = {0,
                              1,
                              2,
                              7,
                              8,
                              4095,
                              4096,
                              inproc::kTaskSize - 1,
                              inproc::kTaskSize,
                              ~uint64_t{0},
                              ~uint64_t{0} - 4095,
                              uint64_t{1} << 63,
                              uint64_t{INT32_MAX},
                              uint64_t{1} << 31,
                              uint64_t{1} << 47};
    switch (random() % 8) {
      case 0:
        return edges[random() % std::size(edges)];
      case 1:
        return random();
      case 2:
        return random() % 32;
      case 3:
        return uint64_t{1} << (random() % 64);
      case 4:
        return random() & 0xffff;
      case 5:
        return scratch_ + kScratchSize - random() % 64;  // runs off the end
      default:
        return scratch_ + random() % kScratchSize;
    }
  }

  void FillScratch(std::mt19937_64& random) {
    for (int i = 0; i < 64; ++i) {
      const uint64_t at = scratch_ + random() % (kScratchSize - 8);
      const uint64_t word = random() % 2 != 0 ? Argument(random) : random();
      thread_->space().Write(at, std::as_bytes(std::span(&word, 1)));
    }
    const std::string paths("/bin/test\0../../bin/./..//x\0new", 31);
    thread_->space().Write(scratch_, std::as_bytes(std::span(paths)));
  }

  // A process that is parked, dead or without its scratch memory is of no more use.
  void Renew() {
    const bool running = thread_->state() == inproc::Thread::State::kRunning;
    if (running && thread_->space().ProtectionAt(scratch_) == (PROT_READ | PROT_WRITE)) return;
    kernel_->KillAll(SIGKILL);
    platform_->Pump();
    static_cast<void>(vfs::Unlink(caller_, caller_.root, "/bin/test"));
    PutFile("/bin/test", loader::GoodElf(ET_EXEC, 0x400000).Bytes());
    StartProcess();
  }
};

TEST_F(HostileSyscallTest, AnyNumberWithAnyArguments) {
  const char* const rounds = getenv("CLOISTER_HOSTILE_CALLS");
  const int calls = rounds != nullptr ? atoi(rounds) : 20'000;
  const char* const seed = getenv("CLOISTER_HOSTILE_SEED");
  std::mt19937_64 random(seed != nullptr ? strtoull(seed, nullptr, 0) : 1);
  for (int i = 0; i < calls && !HasFailure(); ++i) {
    if (i % 16 == 0) FillScratch(random);
    const uint64_t number = random() % 8 == 0 ? random() : random() % 470;
    thread_->Syscall(number, {Argument(random), Argument(random), Argument(random), Argument(random),
                              Argument(random), Argument(random)});
    Renew();
  }
}

}  // namespace
}  // namespace cloister::syscalls
