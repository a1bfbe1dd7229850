// Session's requests about directories and the names in them.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "gofer/protocol/limits.h"
#include "gofer/server/convert.h"
#include "gofer/server/session.h"
#include "gofer/tree/name.h"

namespace cloister::gofer {
namespace {

constexpr uint32_t kMaxMajor = 4095;
constexpr uint32_t kMaxMinor = 1048575;

}  // namespace

ErrnoOrVoid Session::Walk(const WalkRequest& request) {
  if (request.names_size() < 1 || request.names_size() > kMaxWalkNames) return Errno::kInval;
  if (request.list_limit() > kMaxListEntries) return Errno::kInval;
  for (const std::string& name : request.names()) TRY_VOID(CheckName(name));
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  WalkReply* reply = reply_.mutable_walk();
  const ErrnoOrVoid walked = WalkNames(request, dir, reply);
  if (!walked.ok()) {
    // The peer never learns these ids.
    for (const Node& node : reply->nodes()) shared_->table.Forget(node.id());
    return walked;
  }
  if (request.list_limit() == 0) return {};
  // The walk's answer stands even if the listing cannot be had.
  ErrnoOr<DirListing> listing = dir->ReadDir(0, 0, request.list_limit());
  if (!listing.ok() || !listing->end) return {};
  reply->set_listed(true);
  for (DirEntry& entry : listing->entries) ToMessage(entry, reply->add_entries());
  return {};
}

ErrnoOrVoid Session::WalkNames(const WalkRequest& request, Ref<HostNode> dir, WalkReply* reply) {
  for (const std::string& name : request.names()) {
    const ErrnoOr<HostNode::Found> found = dir->Lookup(name);
    if (!found.ok()) {
      reply->set_stopped(static_cast<int>(found.error()));
      return {};
    }
    TRY_VOID(Give(*found, reply->add_nodes()));
    dir = found->node;
    if (dir->is_symlink()) return {};
  }
  if (!request.open_last() || dir->type() != S_IFREG) return {};
  ErrnoOr<UniqueFd> fd = dir->Open(static_cast<int>(request.open_flags()));
  if (!fd.ok()) {
    reply->set_open_error(static_cast<int>(fd.error()));
    return {};
  }
  reply->set_opened(true);
  fds_.push_back(*std::move(fd));
  return {};
}

ErrnoOrVoid Session::Create(const CreateRequest& request) {
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  const int flags = static_cast<int>(request.flags());
  const NewOwner owner = ToOwner(request.owner());
  HostNode::Created created = request.name().empty() ? TRY(dir->CreateUnnamed(flags, owner))
                                                     : TRY(dir->Create(request.name(), flags, owner));
  fds_.push_back(std::move(created.fd));
  return Give(created.found, reply_.mutable_node()->mutable_node());
}

ErrnoOrVoid Session::Mkdir(const MkdirRequest& request) {
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  return Give(TRY(dir->Mkdir(request.name(), ToOwner(request.owner()))),
              reply_.mutable_node()->mutable_node());
}

ErrnoOrVoid Session::Symlink(const SymlinkRequest& request) {
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  return Give(TRY(dir->Symlink(request.name(), request.target(), ToOwner(request.owner()))),
              reply_.mutable_node()->mutable_node());
}

ErrnoOrVoid Session::Mknod(const MknodRequest& request) {
  if (request.major() > kMaxMajor || request.minor() > kMaxMinor) return Errno::kInval;
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  return Give(TRY(dir->Mknod(request.name(), request.type(), makedev(request.major(), request.minor()),
                             ToOwner(request.owner()))),
              reply_.mutable_node()->mutable_node());
}

ErrnoOrVoid Session::Link(const LinkRequest& request) {
  const Ref<HostNode> node = TRY(Get(request.node()));
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  return Give(TRY(dir->Link(*node, request.name())), reply_.mutable_node()->mutable_node());
}

ErrnoOrVoid Session::Unlink(const UnlinkRequest& request) {
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  return dir->Unlink(request.name(), request.directory());
}

ErrnoOrVoid Session::Rename(const RenameRequest& request) {
  const Ref<HostNode> from = TRY(Get(request.from_dir()));
  const Ref<HostNode> to = TRY(Get(request.to_dir()));
  return from->Rename(request.from(), *to, request.to(), request.flags());
}

ErrnoOrVoid Session::ReadDir(const ReadDirRequest& request) {
  const Ref<HostNode> dir = TRY(Get(request.dir()));
  DirListing listing = TRY(dir->ReadDir(request.cookie(), request.attr_limit()));
  ReadDirReply* reply = reply_.mutable_read_dir();
  reply->set_end(listing.end);
  reply->set_next(listing.next);
  for (DirEntry& entry : listing.entries) ToMessage(entry, reply->add_entries());
  return {};
}

}  // namespace cloister::gofer
