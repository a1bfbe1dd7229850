#include "gofer/server/session.h"

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "base/error/status.h"
#include "gofer/protocol/limits.h"
#include "gofer/server/convert.h"

namespace cloister::gofer {

Session::Session(UniqueFd socket, Shared* shared, bool owns_extra)
    : shared_(shared), owns_extra_(owns_extra), channel_(std::move(socket), kMaxRequestBytes) {}

absl::Status Session::Serve() {
  while (true) {
    const absl::Status received = channel_.Receive(&request_, nullptr);
    if (absl::IsOutOfRange(received)) return absl::OkStatus();
    RETURN_IF_ERROR(received);
    reply_.Clear();
    fds_.clear();
    const ErrnoOrVoid done = Dispatch();
    if (!done.ok()) {
      reply_.Clear();
      fds_.clear();
      reply_.set_error(static_cast<int>(done.error()));
    }
    absl::InlinedVector<int, 4> fds;
    for (const UniqueFd& fd : fds_) fds.push_back(fd.get());
    RETURN_IF_ERROR(channel_.Send(reply_, fds));
    fds_.clear();  // the peer's alone from now on: a writer kept here would be in the way of execve(2)
  }
}

ErrnoOrVoid Session::Dispatch() {
  switch (request_.op_case()) {
    case Request::kHello:
      return Hello();
    case Request::kAttach:
      return Attach(request_.attach());
    case Request::kWalk:
      return Walk(request_.walk());
    case Request::kOpen:
      return Open(request_.open());
    case Request::kCreate:
      return Create(request_.create());
    case Request::kMkdir:
      return Mkdir(request_.mkdir());
    case Request::kSymlink:
      return Symlink(request_.symlink());
    case Request::kMknod:
      return Mknod(request_.mknod());
    case Request::kLink:
      return Link(request_.link());
    case Request::kUnlink:
      return Unlink(request_.unlink());
    case Request::kRename:
      return Rename(request_.rename());
    case Request::kReadlink:
      return Readlink(request_.readlink());
    case Request::kSetAttr:
      return SetAttr(request_.set_attr());
    case Request::kGetAttr:
      return GetAttr(request_.get_attr());
    case Request::kReadDir:
      return ReadDir(request_.read_dir());
    case Request::kGetXattr:
      return GetXattr(request_.get_xattr());
    case Request::kSetXattr:
      return SetXattr(request_.set_xattr());
    case Request::kListXattr:
      return ListXattr(request_.list_xattr());
    case Request::kRemoveXattr:
      return RemoveXattr(request_.remove_xattr());
    case Request::kStatFs:
      return StatFs(request_.stat_fs());
    case Request::kForget:
      return Forget(request_.forget());
    case Request::kFsyncDir:
      return FsyncDir(request_.fsync_dir());
    case Request::OP_NOT_SET:
      return Errno::kNoSys;
  }
  return Errno::kNoSys;
}

ErrnoOrVoid Session::Hello() {
  HelloReply* hello = reply_.mutable_hello();
  hello->set_attach_points(static_cast<uint32_t>(shared_->attach.size()));
  hello->set_max_nodes(shared_->table.max_nodes());
  if (!owns_extra_ || shared_->extra.empty()) return {};
  for (const int cpu : shared_->cpus) hello->add_cpus(cpu);
  fds_ = std::move(shared_->extra);
  shared_->extra.clear();
  return {};
}

ErrnoOrVoid Session::Attach(const AttachRequest& request) {
  if (request.index() >= shared_->attach.size()) return Errno::kNoEnt;
  HostNode::Found found{.node = shared_->attach[request.index()]};
  found.attr = TRY(found.node->GetAttr());
  if (found.node->is_symlink()) found.target = TRY(found.node->Readlink());
  AttachReply* reply = reply_.mutable_attach();
  reply->set_readonly(found.node->origin().readonly);
  return Give(found, reply->mutable_node());
}

ErrnoOrVoid Session::Forget(const ForgetRequest& request) {
  if (request.nodes_size() > kMaxForget) return Errno::kInval;
  for (const uint64_t id : request.nodes()) shared_->table.Forget(id);
  return {};
}

ErrnoOrVoid Session::Give(const HostNode::Found& found, Node* node) {
  node->set_id(TRY(shared_->table.Add(found.node)));
  ToMessage(found.attr, node->mutable_attr());
  if (!found.target.empty()) node->set_target(found.target);
  return {};
}

}  // namespace cloister::gofer
