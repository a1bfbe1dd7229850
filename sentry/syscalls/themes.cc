#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {

std::vector<std::span<const Entry>> Themes() {
  return {
      IdentitySyscalls(),   ProcessSyscalls(),     SignalSyscalls(),       TimeSyscalls(),
      SystemSyscalls(),     FutexSyscalls(),       PrctlSyscalls(),        SchedulingSyscalls(),
      MemorySyscalls(),     FileIoSyscalls(),      DescriptorSyscalls(),   OpenSyscalls(),
      NameSyscalls(),       AttributeSyscalls(),   PollSyscalls(),         EpollSyscalls(),
      EventFileSyscalls(),  SocketSyscalls(),      MessageSyscalls(),      CopySyscalls(),
      MemoryFileSyscalls(), MountSyscalls(),       WatchSyscalls(),        SharedMemorySyscalls(),
      SemaphoreSyscalls(),  SysvMessageSyscalls(), MessageQueueSyscalls(), PidfdSyscalls(),
      ProcessVmSyscalls(),  AioSyscalls(),         PtraceSyscalls(),       SeccompSyscalls(),
      AbsentSyscalls(),
  };
}

}  // namespace cloister::syscalls
