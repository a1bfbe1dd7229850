#ifndef CLOISTER_GOFER_SERVER_SESSION_H_
#define CLOISTER_GOFER_SERVER_SESSION_H_

#include <vector>

#include "base/host/unique_fd.h"
#include "gofer/protocol/channel.h"
#include "gofer/protocol/gofer.pb.h"
#include "gofer/tree/host_node.h"
#include "gofer/tree/node_table.h"

namespace cloister::gofer {

// What all connections share. Immutable but for the table, which locks itself.
struct Shared {
  explicit Shared(uint64_t max_nodes) : table(max_nodes) {}

  std::vector<Ref<HostNode>> attach;  // by the configuration's index
  NodeTable table;
};

// Serves one connection: a request, a reply, until the peer hangs up or breaks the protocol.
// Belongs to one thread. Nothing that the peer sends ends the process.
class Session {
 public:
  // shared must outlive it. may_listen: it takes a ListenRequest.
  Session(ServerChannel channel, Shared* shared, bool may_listen);

  // Returns OK at the end of the stream, else what the peer did wrong.
  absl::Status Serve();

 private:
  // Fills reply_; an error becomes its errno.
  ErrnoOrVoid Dispatch();

  // Sends reply_, or EMSGSIZE in its place if it is too long.
  absl::Status Answer();
  ErrnoOrVoid Forget();

  ErrnoOrVoid Listen();
  ErrnoOrVoid Attach(const AttachRequest& request);

  // session_names.cc: directories and names.
  ErrnoOrVoid Walk(const WalkRequest& request);
  ErrnoOrVoid WalkNames(const WalkRequest& request, Ref<HostNode> dir, WalkReply* reply);
  ErrnoOrVoid Create(const CreateRequest& request);
  ErrnoOrVoid Mkdir(const MkdirRequest& request);
  ErrnoOrVoid Symlink(const SymlinkRequest& request);
  ErrnoOrVoid Mknod(const MknodRequest& request);
  ErrnoOrVoid Link(const LinkRequest& request);
  ErrnoOrVoid Unlink(const UnlinkRequest& request);
  ErrnoOrVoid Rename(const RenameRequest& request);
  ErrnoOrVoid ReadDir(const ReadDirRequest& request);

  // session_files.cc: one node.
  ErrnoOrVoid Open(const OpenRequest& request);
  ErrnoOrVoid GetAttr(const NodeRequest& request);
  ErrnoOrVoid SetAttr(const SetAttrRequest& request);
  ErrnoOrVoid Readlink(const NodeRequest& request);
  ErrnoOrVoid GetXattr(const XattrRequest& request);
  ErrnoOrVoid SetXattr(const XattrRequest& request);
  ErrnoOrVoid ListXattr(const NodeRequest& request);
  ErrnoOrVoid RemoveXattr(const XattrRequest& request);
  ErrnoOrVoid StatFs(const NodeRequest& request);
  ErrnoOrVoid FsyncDir(const NodeRequest& request);

  ErrnoOr<Ref<HostNode>> Get(uint64_t id) const { return shared_->table.Get(id); }
  // Puts a file into the table and describes it.
  ErrnoOrVoid Give(const HostNode::Found& found, Node* node);

  Shared* const shared_;
  bool may_listen_;
  ServerChannel channel_;
  Request request_;
  std::vector<UniqueFd> gifts_;  // came with request_
  Reply reply_;
  std::vector<UniqueFd> fds_;  // to go with reply_
  UniqueFd listener_;          // to be used once reply_ is sent
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_SERVER_SESSION_H_
