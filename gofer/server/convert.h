#ifndef CLOISTER_GOFER_SERVER_CONVERT_H_
#define CLOISTER_GOFER_SERVER_CONVERT_H_

#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/error/errno_or.h"
#include "gofer/protocol/gofer.pb.h"
#include "gofer/tree/host_node.h"

// Between the tree's values and the protocol's messages.

namespace cloister::gofer {

void ToMessage(const struct statx& from, Attr* to);
void ToMessage(const struct statfs& from, StatFsReply* to);
void ToMessage(DirEntry& from, Entry* to);  // moves the strings

NewOwner ToOwner(const Owner& from);
// kInval for bits and times that do not exist.
ErrnoOr<AttrChange> ToChange(const SetAttrRequest& from);

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_CONVERT_H_
