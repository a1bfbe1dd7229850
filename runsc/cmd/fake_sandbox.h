#ifndef CLOISTER_RUNSC_CMD_FAKE_SANDBOX_H_
#define CLOISTER_RUNSC_CMD_FAKE_SANDBOX_H_

namespace cloister::cmd {

// For tests of runsc: a sentry that keeps control.proto's contract and runs no program. What its
// "process" does is told by args: {"exit", N}, {"echo", TEXT}, {"sleep"} until a signal ends it,
// {"trap"} reports each signal on standard output, {"size"} prints the terminal's size at SIGWINCH,
// {"wedge"} stops answering; a name with a leading '/' does not exist.
int FakeSentryMain();

// A gofer that only waits for the end of its channel.
int FakeGoferMain();

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_FAKE_SANDBOX_H_
