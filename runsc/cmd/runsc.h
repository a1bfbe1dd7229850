#ifndef CLOISTER_RUNSC_CMD_RUNSC_H_
#define CLOISTER_RUNSC_CMD_RUNSC_H_

namespace cloister::cmd {

// The command line: global options, a verb, its options. Returns the exit status.
int RunscMain(int argc, char** argv);

}  // namespace cloister::cmd

#endif  // CLOISTER_RUNSC_CMD_RUNSC_H_
