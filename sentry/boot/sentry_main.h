#ifndef CLOISTER_SENTRY_BOOT_SENTRY_MAIN_H_
#define CLOISTER_SENTRY_BOOT_SENTRY_MAIN_H_

namespace cloister::boot {

// Entry of the sentry process, started by runsc with the descriptors of control.proto's BootFd in
// namespaces of its own. Returns or exits when the sandbox has ended: the exit status tells nobody.
int SentryMain(int argc, char** argv);

}  // namespace cloister::boot

#endif  // CLOISTER_SENTRY_BOOT_SENTRY_MAIN_H_
