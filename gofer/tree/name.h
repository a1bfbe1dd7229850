#ifndef CLOISTER_GOFER_TREE_NAME_H_
#define CLOISTER_GOFER_TREE_NAME_H_

#include <string>

#include "base/error/errno_or.h"

namespace cloister::gofer {

// Whether name may be handed to the host as one component: kInval for an empty name, "/", NUL, "."
// and ".."; kNameTooLong above 255 bytes.
ErrnoOrVoid CheckName(const std::string& name);

// Whether text may be a symbolic link's target: 1 to 4095 bytes without NUL.
ErrnoOrVoid CheckTarget(const std::string& text);

// Whether name may be an extended attribute's: 1 to 255 bytes without NUL. kRange as setxattr(2).
ErrnoOrVoid CheckXattrName(const std::string& name);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_NAME_H_
