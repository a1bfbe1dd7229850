#include "gofer/server/session.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "base/error/status.h"
#include "gofer/protocol/limits.h"
#include "gofer/server/convert.h"
#include "gofer/tree/fd_path.h"

namespace cloister::gofer {
namespace {

bool IsSeccompListener(int fd) {
  constexpr std::string_view kKind = "anon_inode:seccomp notify";
  char text[kKind.size() + 1];
  const ssize_t length = readlinkat(AT_FDCWD, FdPath(fd).c_str(), text, sizeof text);
  return length > 0 && std::string_view(text, static_cast<size_t>(length)) == kKind;
}

}  // namespace

Session::Session(ServerChannel channel, Shared* shared, bool may_listen)
    : shared_(shared), may_listen_(may_listen), channel_(std::move(channel)) {}

absl::Status Session::Serve() {
  while (true) {
    const absl::Status received = channel_.Receive(&request_, &gifts_);
    if (absl::IsOutOfRange(received)) return absl::OkStatus();
    RETURN_IF_ERROR(received);
    reply_.Clear();
    fds_.clear();
    ErrnoOrVoid done = Forget();
    if (done.ok()) done = Dispatch();
    if (!done.ok()) {
      reply_.Clear();
      fds_.clear();
      reply_.set_error(static_cast<int>(done.error()));
    }
    gifts_.clear();
    RETURN_IF_ERROR(Answer());
    fds_.clear();  // the peer's alone from now on: a writer kept here would be in the way of execve(2)
    if (listener_.ok()) channel_.ListenTo(std::move(listener_));
  }
}

absl::Status Session::Answer() {
  absl::InlinedVector<int, 4> fds;
  for (const UniqueFd& fd : fds_) fds.push_back(fd.get());
  const absl::Status sent = channel_.Send(reply_, fds);
  if (!absl::IsResourceExhausted(sent)) return sent;
  for (const Node& node : reply_.walk().nodes())
    shared_->table.Forget(node.id());  // the peer never learns them
  reply_.Clear();
  reply_.set_error(EMSGSIZE);
  return channel_.Send(reply_, {});
}

ErrnoOrVoid Session::Dispatch() {
  switch (request_.op_case()) {
    case Request::kListen:
      return Listen();
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
    case Request::kFsyncDir:
      return FsyncDir(request_.fsync_dir());
    case Request::OP_NOT_SET:
      if (request_.forget_size() > 0) return {};
      return Errno::kNoSys;
  }
  return Errno::kNoSys;
}

ErrnoOrVoid Session::Listen() {
  if (!may_listen_ || gifts_.size() != 1) return Errno::kInval;
  // ioctl(2)'s numbers mean other things elsewhere: nothing else may come in a listener's place.
  if (!IsSeccompListener(gifts_[0].get())) return Errno::kInval;
  may_listen_ = false;
  listener_ = std::move(gifts_[0]);
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

ErrnoOrVoid Session::Forget() {
  if (request_.forget_size() > kMaxForget) return Errno::kInval;
  for (const uint64_t id : request_.forget()) shared_->table.Forget(id);
  return {};
}

ErrnoOrVoid Session::Give(const HostNode::Found& found, Node* node) {
  node->set_id(TRY(shared_->table.Add(found.node)));
  ToMessage(found.attr, node->mutable_attr());
  if (!found.target.empty()) node->set_target(found.target);
  return {};
}

}  // namespace cloister::gofer
