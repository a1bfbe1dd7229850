#ifndef CLOISTER_BASE_ABI_WORDS_H_
#define CLOISTER_BASE_ABI_WORDS_H_

#include "base/abi/signature.h"

// The flags and choices of arguments, by what they belong to; and some values worth trying where any
// number will do (times, ports, limits).

namespace cloister::abi {

extern const Words kAccessModes;
extern const Words kActionFlags;
extern const Words kAdvice;
extern const Words kAioCommands;
extern const Words kAioFlags;
extern const Words kArchPrctls;
extern const Words kAtFlags;
extern const Words kAttributeNames;
extern const Words kCapabilityVersions;
extern const Words kClocks;
extern const Words kCloneFlags;
extern const Words kCloseRangeFlags;
extern const Words kControlTypes;
extern const Words kDescriptorFlags;
extern const Words kEpollEvents;
extern const Words kEpollOperations;
extern const Words kEventFdFlags;
extern const Words kFallocateModes;
extern const Words kFamilies;
extern const Words kFcntlCommands;
extern const Words kFileSystems;
extern const Words kFlockOperations;
extern const Words kFutexOperations;
extern const Words kFutexWaitFlags;
extern const Words kGetMempolicyFlags;
extern const Words kHandlers;
extern const Words kInotifyEvents;
extern const Words kInternetAddresses;
extern const Words kIoPriorityOf;
extern const Words kIoctls;
extern const Words kIpcCommands;
extern const Words kIpcFlags;
extern const Words kIpcKeys;
extern const Words kItimers;
extern const Words kKcmpTypes;
extern const Words kLimitValues;
extern const Words kLimits;
extern const Words kLockTypes;
extern const Words kMapFlags;
extern const Words kMaskChanges;
extern const Words kMbindFlags;
extern const Words kMembarriers;
extern const Words kMemfdFlags;
extern const Words kMemoryPolicies;
extern const Words kMessageFlags;
extern const Words kMicroseconds;
extern const Words kMilliseconds;
extern const Words kMlockallFlags;
extern const Words kMountFlags;
extern const Words kMremapFlags;
extern const Words kMsyncFlags;
extern const Words kNanoseconds;
extern const Words kNodeModes;
extern const Words kNotifications;
extern const Words kOpenFlags;
extern const Words kPidfdFlags;
extern const Words kPipeFlags;
extern const Words kPolicies;
extern const Words kPollEvents;
extern const Words kPorts;
extern const Words kPrctls;
extern const Words kPriorityOf;
extern const Words kProtections;
extern const Words kProtocols;
extern const Words kPtraceRequests;
extern const Words kQueueNames;
extern const Words kRandomFlags;
extern const Words kReadWriteFlags;
extern const Words kRenameFlags;
extern const Words kResolveFlags;
extern const Words kSeccompFlags;
extern const Words kSeccompOperations;
extern const Words kSemaphoreFlags;
extern const Words kShmFlags;
extern const Words kShutdowns;
extern const Words kSignalBits;
extern const Words kSignalCodes;
extern const Words kSocketLevels;
extern const Words kSocketOptions;
extern const Words kSocketTypes;
extern const Words kSpliceFlags;
extern const Words kStackFlags;
extern const Words kStatxMask;
extern const Words kSyncFlags;
extern const Words kTimerFdFlags;
extern const Words kTimerFlags;
extern const Words kTimes;
extern const Words kUmountFlags;
extern const Words kUnlinkFlags;
extern const Words kUsageOf;
extern const Words kWaitFor;
extern const Words kWaitOptions;
extern const Words kWhence;
extern const Words kXattrFlags;

}  // namespace cloister::abi

#endif  // CLOISTER_BASE_ABI_WORDS_H_
