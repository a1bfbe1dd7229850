// What the other themes leave out: every other number of Linux' table for x86-64, for --strace and the list
// in docs/syscalls.md. A theme that serves one of them takes precedence.

#include "sentry/syscalls/table.h"
#include "sentry/syscalls/themes.h"

namespace cloister::syscalls {
namespace {

constexpr const char* kMissing = "ENOSYS";
constexpr const char* kGone = "ENOSYS, as in Linux: the number is kept, the call is not";
constexpr const char* kLater = "ENOSYS: newer than the 6.6 that uname tells";

// By number: libraries of the build host may not know the newer names.
constexpr Entry kEntries[] = {
    {134, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {136, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {139, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {153, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {154, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {156, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {174, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {177, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {178, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {179, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {180, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {181, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {182, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {183, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {184, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {185, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {205, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {211, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {212, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {214, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {215, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {216, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {236, Fails<Errno::kNoSys>, Support::kUnsupported, kGone},
    {248, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {249, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {250, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {256, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {279, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {300, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {301, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {314, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {315, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {320, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {333, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {425, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {426, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {427, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {440, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {443, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {444, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {445, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {446, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {450, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {451, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {453, Fails<Errno::kNoSys>, Support::kUnsupported, kMissing},
    {454, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {455, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {456, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {457, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {458, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {459, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {460, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {461, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
    {462, Fails<Errno::kNoSys>, Support::kUnsupported, kLater},
};

}  // namespace

std::span<const Entry> AbsentSyscalls() { return kEntries; }

}  // namespace cloister::syscalls
