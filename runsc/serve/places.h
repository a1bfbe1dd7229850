#ifndef CLOISTER_RUNSC_SERVE_PLACES_H_
#define CLOISTER_RUNSC_SERVE_PLACES_H_

namespace cloister::serve {

// Directories of every sandbox.
inline constexpr char kFilesPlace[] = "/run/serve/files";    // what the request brought along; read-only
inline constexpr char kRunnerPlace[] = "/run/serve/runner";  // the program that makes a program's calls
inline constexpr char kScratchPlace[] = "/tmp";              // empty, in memory

}  // namespace cloister::serve

#endif  // CLOISTER_RUNSC_SERVE_PLACES_H_
