// Session's requests about one node.

#include "gofer/server/convert.h"
#include "gofer/server/session.h"

namespace cloister::gofer {

ErrnoOrVoid Session::Open(const OpenRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  UniqueFd fd = TRY(node->Open(static_cast<int>(request.flags())));
  ToMessage(TRY(node->GetAttr()), reply_.mutable_open()->mutable_attr());
  fds_.push_back(std::move(fd));
  return {};
}

ErrnoOrVoid Session::GetAttr(const NodeRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  ToMessage(TRY(node->GetAttr()), reply_.mutable_attr()->mutable_attr());
  return {};
}

ErrnoOrVoid Session::SetAttr(const SetAttrRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  TRY_VOID(node->SetAttr(TRY(ToChange(request))));
  ToMessage(TRY(node->GetAttr()), reply_.mutable_attr()->mutable_attr());
  return {};
}

ErrnoOrVoid Session::Readlink(const NodeRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  reply_.mutable_readlink()->set_target(TRY(node->Readlink()));
  return {};
}

ErrnoOrVoid Session::GetXattr(const XattrRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  reply_.mutable_xattr()->set_value(TRY(node->GetXattr(request.name())));
  return {};
}

ErrnoOrVoid Session::SetXattr(const XattrRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  return node->SetXattr(request.name(), request.value(), static_cast<int>(request.flags()));
}

ErrnoOrVoid Session::ListXattr(const NodeRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  reply_.mutable_xattr()->set_value(TRY(node->ListXattr()));
  return {};
}

ErrnoOrVoid Session::RemoveXattr(const XattrRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  return node->RemoveXattr(request.name());
}

ErrnoOrVoid Session::StatFs(const NodeRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  ToMessage(TRY(node->StatFs()), reply_.mutable_stat_fs());
  return {};
}

ErrnoOrVoid Session::FsyncDir(const NodeRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  return node->FsyncDir();
}

}  // namespace cloister::gofer
