#ifndef CLOISTER_GOFER_SERVER_GOFER_MAIN_H_
#define CLOISTER_GOFER_SERVER_GOFER_MAIN_H_

namespace cloister::gofer {

// The gofer process: reads its GoferConfig from descriptor kGoferConfigFd, locks itself down,
// serves, and ends when the sentry closes connection 0. Does not return but for a failed start
// (1, with one line on stderr).
int GoferMain(int argc, char** argv);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_GOFER_MAIN_H_
