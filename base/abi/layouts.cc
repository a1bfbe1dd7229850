#include "base/abi/layouts.h"

#include "base/abi/words.h"

namespace cloister::abi {

#define FIELDS(name, ...)                            \
  static constexpr Field name##List[] = __VA_ARGS__; \
  constexpr Fields name = {name##List, sizeof(name##List) / sizeof(*name##List)}

FIELDS(kIoctlArgumentFields, {{0, 4, Uint()}, {4, 4, Uint()}, {8, 8, Hex()}, {16, 8, Hex()}, {24, 8, Hex()}});
FIELDS(kSocklenFields, {{0, 4, Size()}});
FIELDS(kTimespecFields, {{0, 8, OneOf(kTimes)}, {8, 8, OneOf(kNanoseconds)}});
FIELDS(kTimevalFields, {{0, 8, OneOf(kTimes)}, {8, 8, OneOf(kMicroseconds)}});
FIELDS(kTwoTimespecsFields, {{0, 8, OneOf(kTimes)},
                             {8, 8, OneOf(kNanoseconds)},
                             {16, 8, OneOf(kTimes)},
                             {24, 8, OneOf(kNanoseconds)}});
FIELDS(kTwoTimevalsFields, {{0, 8, OneOf(kTimes)},
                            {8, 8, OneOf(kMicroseconds)},
                            {16, 8, OneOf(kTimes)},
                            {24, 8, OneOf(kMicroseconds)}});
FIELDS(kItimerspecFields, {{0, 8, OneOf(kTimes)},
                           {8, 8, OneOf(kNanoseconds)},
                           {16, 8, OneOf(kTimes)},
                           {24, 8, OneOf(kNanoseconds)}});
FIELDS(kItimervalFields, {{0, 8, OneOf(kTimes)},
                          {8, 8, OneOf(kMicroseconds)},
                          {16, 8, OneOf(kTimes)},
                          {24, 8, OneOf(kMicroseconds)}});
FIELDS(kUtimbufFields, {{0, 8, OneOf(kTimes)}, {8, 8, OneOf(kTimes)}});
FIELDS(kPollfdFields, {{0, 4, Fd()}, {4, 2, Flags(kPollEvents)}});
FIELDS(kEpollEventFields, {{0, 4, Flags(kEpollEvents)}, {4, 8, Hex()}});
FIELDS(kFdSetFields, {{0, 8, Hex()}});
FIELDS(kIovecFields, {{0, 8, InBytes(1)}, {8, 8, Size()}});
FIELDS(kSockaddrFields, {{0, 2, OneOf(kFamilies)},
                         {2, 2, OneOf(kPorts)},
                         {4, 4, OneOf(kInternetAddresses)},
                         {8, 8, Hex()},
                         {16, 8, Hex()},
                         {24, 4, Uint()}});
FIELDS(kMsghdrFields, {{0, 8, InSized(kSockaddr, 1)},
                       {8, 4, Size()},
                       {16, 8, InEach(kIovec, 3)},
                       {24, 8, Size()},
                       {32, 8, InSized(kCmsghdr, 5)},
                       {40, 8, Size()},
                       {48, 4, Flags(kMessageFlags)}});
FIELDS(kMmsghdrFields, {{0, 8, InSized(kSockaddr, 1)},
                        {8, 4, Size()},
                        {16, 8, InEach(kIovec, 3)},
                        {24, 8, Size()},
                        {32, 8, InSized(kCmsghdr, 5)},
                        {40, 8, Size()},
                        {48, 4, Flags(kMessageFlags)}});
FIELDS(kCmsghdrFields, {{0, 8, Size()},
                        {8, 4, OneOf(kSocketLevels)},
                        {12, 4, OneOf(kControlTypes)},
                        {16, 4, Fd()},
                        {20, 4, Fd()},
                        {24, 4, User()}});
FIELDS(kSigsetFields, {{0, 8, Flags(kSignalBits)}});
FIELDS(kSigactionFields, {{0, 8, OneOf(kHandlers)},
                          {8, 8, Flags(kActionFlags)},
                          {16, 8, Address()},
                          {24, 8, Flags(kSignalBits)}});
FIELDS(kSiginfoFields, {{0, 4, Signal()}, {8, 4, OneOf(kSignalCodes)}, {12, 4, Pid()}, {16, 4, User()}});
FIELDS(kStackFields, {{0, 8, Address()}, {8, 4, Flags(kStackFlags)}, {16, 8, Size()}});
FIELDS(kSigeventFields, {{0, 8, Hex()}, {8, 4, Signal()}, {12, 4, OneOf(kNotifications)}, {16, 4, Pid()}});
FIELDS(kSigsetAndSizeFields, {{0, 8, InSized(kSigset, 1)}, {8, 8, Size()}});
FIELDS(kRlimitFields, {{0, 8, OneOf(kLimitValues)}, {8, 8, OneOf(kLimitValues)}});
FIELDS(kCapHeaderFields, {{0, 4, OneOf(kCapabilityVersions)}, {4, 4, Pid()}});
FIELDS(kCapDataFields,
       {{0, 4, Hex()}, {4, 4, Hex()}, {8, 4, Hex()}, {12, 4, Hex()}, {16, 4, Hex()}, {20, 4, Hex()}});
FIELDS(kGidFields, {{0, 4, User()}});
FIELDS(kSchedParamFields, {{0, 4, Int()}});
FIELDS(kSchedAttrFields,
       {{0, 4, Size()}, {4, 4, OneOf(kPolicies)}, {8, 8, Hex()}, {16, 4, Int()}, {20, 4, Uint()}});
FIELDS(kCpuSetFields, {{0, 8, Hex()}});
FIELDS(kCloneArgsFields, {{0, 8, Flags(kCloneFlags)},
                          {8, 8, Out(kInt)},
                          {16, 8, Out(kInt)},
                          {24, 8, Out(kInt)},
                          {32, 8, Signal()},
                          {40, 8, Address()},
                          {48, 8, Size()},
                          {56, 8, Address()},
                          {64, 8, InEach(kInt, 9)},
                          {72, 8, Size()},
                          {80, 8, Fd()}});
FIELDS(kOpenHowFields, {{0, 8, Flags(kOpenFlags)}, {8, 8, Mode()}, {16, 8, Flags(kResolveFlags)}});
FIELDS(kFutexWaitvFields, {{0, 8, Uint()}, {8, 8, InOut(kInt)}, {16, 4, Flags(kFutexWaitFlags)}});
FIELDS(kRobustListFields, {{0, 8, Address()}, {8, 8, Long()}, {16, 8, Address()}});
FIELDS(kSembufFields, {{0, 2, Uint()}, {2, 2, Int()}, {4, 2, Flags(kSemaphoreFlags)}});
FIELDS(kMsgbufFields, {{0, 8, Long()}});
FIELDS(kIpcdsFields, {{0, 4, Hex()}, {4, 4, User()}, {8, 4, User()}, {20, 4, Mode()}});
FIELDS(kMqAttrFields, {{0, 8, Flags(kOpenFlags)}, {8, 8, Size()}, {16, 8, Size()}});
FIELDS(kIocbFields, {{0, 8, Hex()},
                     {16, 2, OneOf(kAioCommands)},
                     {20, 4, Fd()},
                     {24, 8, InBytes(4)},
                     {32, 8, Size()},
                     {40, 8, Long()},
                     {56, 4, Flags(kAioFlags)},
                     {60, 4, Of(Resource::kEventFd)}});
FIELDS(kFlockFields,
       {{0, 2, OneOf(kLockTypes)}, {2, 2, OneOf(kWhence)}, {8, 8, Long()}, {16, 8, Long()}, {24, 4, Pid()}});
FIELDS(kFileHandleFields, {{0, 4, Size()}});
FIELDS(kMountAttrFields, {{0, 8, Hex()}, {8, 8, Hex()}, {16, 8, Hex()}, {24, 8, Fd()}});
FIELDS(kSockFilterFields, {{0, 2, Hex()}, {2, 1, Hex()}, {3, 1, Hex()}, {4, 4, Hex()}});
FIELDS(kSockFprogFields, {{0, 2, Uint()}, {8, 8, InEach(kSockFilter, 0)}});

#undef FIELDS

}  // namespace cloister::abi
