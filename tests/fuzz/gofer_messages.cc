#include "tests/fuzz/gofer_messages.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <iterator>

namespace cloister::fuzz {

uint64_t MessageMaker::AnyNumber() {
  switch (Below(4)) {
    case 0:
      return Below(16);
    case 1:
      return uint64_t{1} << Below(64);
    case 2:
      return (uint64_t{1} << Below(64)) - 1;
    default:
      return random_() | uint64_t{random_()} << 32;
  }
}

// Nodes are numbered from 1 on.
uint64_t MessageMaker::Id() { return OneIn(20) ? AnyNumber() : 1 + Below(12); }

std::string MessageMaker::Name() {
  static const char* const kNames[] = {"a",  "b", "d",   "e",    "out",        "abs",    "loop", "up",
                                       "..", ".", "a/b", "/etc", "../outside", "secret", "",     "proc"};
  if (OneIn(30)) return std::string(250 + Below(10), 'n');
  if (OneIn(30)) return std::string("a\0b", 3);
  return kNames[OneIn(3) ? Below(std::size(kNames)) : Below(8)];
}

std::string MessageMaker::Target() {
  static const char* const kTargets[] = {"a", "../outside", "/etc/passwd",    "d/../..",
                                         "/", ".",          "/proc/self/fd/3"};
  if (OneIn(20)) return std::string(Below(5000), 't');
  return kTargets[Below(std::size(kTargets))];
}

void MessageMaker::Fill(gofer::Owner* owner) {
  owner->set_mode(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(010000));
  owner->set_uid(OneIn(4) ? static_cast<uint32_t>(AnyNumber()) : 0);
  owner->set_gid(OneIn(4) ? static_cast<uint32_t>(AnyNumber()) : 0);
}

void MessageMaker::Fill(gofer::Attr* attr) {
  static constexpr uint32_t kTypes[] = {S_IFREG, S_IFREG, S_IFDIR, S_IFDIR, S_IFLNK,
                                        S_IFIFO, S_IFCHR, S_IFBLK, S_IFSOCK};
  attr->set_mask(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : 0x17ff);
  attr->set_mode(OneIn(20) ? static_cast<uint32_t>(AnyNumber()) : kTypes[Below(std::size(kTypes))] | 0755);
  attr->set_nlink(OneIn(6) ? static_cast<uint32_t>(AnyNumber()) : 1);
  attr->set_uid(OneIn(6) ? static_cast<uint32_t>(AnyNumber()) : 0);
  attr->set_ino(OneIn(10) ? AnyNumber() : 1 + Below(8));
  attr->set_size(OneIn(3) ? AnyNumber() : Below(8192));
  attr->set_blocks(AnyNumber());
  attr->set_blksize(OneIn(3) ? static_cast<uint32_t>(AnyNumber()) : 4096);
  attr->set_mtime_sec(static_cast<int64_t>(AnyNumber()));
  attr->set_mtime_nsec(static_cast<uint32_t>(AnyNumber()));
  attr->set_atime_nsec(static_cast<uint32_t>(AnyNumber()));
  attr->set_rdev_major(OneIn(3) ? 1 : static_cast<uint32_t>(AnyNumber()));
  attr->set_rdev_minor(Below(10));
  attr->set_dev_minor(Below(2));
}

void MessageMaker::Fill(gofer::Node* node) {
  node->set_id(Id());
  if (!OneIn(20)) Fill(node->mutable_attr());
  if (S_ISLNK(node->attr().mode()) || OneIn(20)) node->set_target(Target());
}

void MessageMaker::Fill(gofer::Entry* entry) {
  entry->set_name(Name());
  entry->set_type(OneIn(4) ? static_cast<uint32_t>(AnyNumber()) : Below(16));
  entry->set_ino(OneIn(4) ? AnyNumber() : 1 + Below(8));
  if (OneIn(2)) Fill(entry->mutable_attr());
  if (OneIn(4)) entry->set_target(Target());
}

void MessageMaker::FillSetAttr(gofer::SetAttrRequest* request) {
  request->set_node(Id());
  request->set_mask(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(256));
  request->set_mode(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(010000));
  request->set_uid(OneIn(3) ? static_cast<uint32_t>(AnyNumber()) : 0);
  request->set_size(OneIn(3) ? AnyNumber() : Below(10000));
  request->set_atime_sec(static_cast<int64_t>(AnyNumber()));
  request->set_atime_nsec(static_cast<uint32_t>(AnyNumber()));
  request->set_mtime_nsec(Below(1'000'000'001));
}

void MessageMaker::FillNames(uint32_t kind, gofer::Request* request) {
  static constexpr uint32_t kTypes[] = {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFDIR};
  if (kind == 0) {
    request->mutable_mkdir()->set_dir(Id());
    request->mutable_mkdir()->set_name(Name());
    return Fill(request->mutable_mkdir()->mutable_owner());
  }
  if (kind == 1) {
    request->mutable_symlink()->set_dir(Id());
    request->mutable_symlink()->set_name(Name());
    request->mutable_symlink()->set_target(Target());
    return Fill(request->mutable_symlink()->mutable_owner());
  }
  if (kind == 2) {
    gofer::MknodRequest* const mknod = request->mutable_mknod();
    mknod->set_dir(Id());
    mknod->set_name(Name());
    mknod->set_type(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : kTypes[Below(std::size(kTypes))]);
    mknod->set_major(OneIn(3) ? static_cast<uint32_t>(AnyNumber()) : 1);
    mknod->set_minor(Below(10));
    return Fill(mknod->mutable_owner());
  }
  if (kind == 3) {
    request->mutable_link()->set_node(Id());
    request->mutable_link()->set_dir(Id());
    return request->mutable_link()->set_name(Name());
  }
  if (kind == 4) {
    request->mutable_unlink()->set_dir(Id());
    request->mutable_unlink()->set_name(Name());
    return request->mutable_unlink()->set_directory(OneIn(2));
  }
  gofer::RenameRequest* const rename = request->mutable_rename();
  rename->set_from_dir(Id());
  rename->set_from(Name());
  rename->set_to_dir(Id());
  rename->set_to(Name());
  rename->set_flags(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(3));
}

uint32_t MessageMaker::OpenFlags() {
  static constexpr uint32_t kFlags[] = {
      O_RDONLY,    O_WRONLY, O_RDWR,          O_RDWR | O_TRUNC, O_APPEND | O_WRONLY,
      O_DIRECTORY, O_PATH,   O_CREAT | O_RDWR};
  return OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : kFlags[Below(std::size(kFlags))];
}

void MessageMaker::FillWalk(gofer::WalkRequest* walk) {
  walk->set_dir(Id());
  for (uint32_t i = 1 + Below(4); i > 0; --i) walk->add_names(Name());
  walk->set_open_last(OneIn(2));
  walk->set_open_flags(OpenFlags());
  walk->set_list_limit(OneIn(2) ? 0 : OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : 1024);
}

void MessageMaker::FillXattr(gofer::XattrRequest* xattr) {
  static const char* const kNames[] = {
      "user.a", "trusted.b", "security.capability", "system.posix_acl_access", "", "user."};
  xattr->set_node(Id());
  xattr->set_name(kNames[Below(std::size(kNames))]);
  xattr->set_value(std::string(Below(64), 'v'));
  xattr->set_flags(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(3));
}

gofer::Request MessageMaker::MakeRequest() {
  gofer::Request request;
  switch (const uint32_t kind = Below(18)) {
    case 0:
      request.mutable_attach()->set_index(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(3));
      return request;
    case 1:
    case 2:
      FillWalk(request.mutable_walk());
      return request;
    case 3:
      request.mutable_open()->set_node(Id());
      request.mutable_open()->set_flags(OpenFlags());
      return request;
    case 4:
      request.mutable_create()->set_dir(Id());
      request.mutable_create()->set_name(Name());
      request.mutable_create()->set_flags(OpenFlags());
      Fill(request.mutable_create()->mutable_owner());
      return request;
    case 5:
      FillSetAttr(request.mutable_set_attr());
      return request;
    case 6:
      request.mutable_read_dir()->set_dir(Id());
      request.mutable_read_dir()->set_cookie(OneIn(2) ? 0 : AnyNumber());
      request.mutable_read_dir()->set_attr_limit(OneIn(10) ? static_cast<uint32_t>(AnyNumber()) : Below(8));
      return request;
    case 7:
      for (uint32_t i = Below(5); i > 0; --i) request.add_forget(Id());
      return request;
    case 8:
      FillXattr(OneIn(3)   ? request.mutable_get_xattr()
                : OneIn(2) ? request.mutable_set_xattr()
                           : request.mutable_remove_xattr());
      return request;
    case 9: {
      gofer::NodeRequest* const node = OneIn(5)   ? request.mutable_readlink()
                                       : OneIn(4) ? request.mutable_get_attr()
                                       : OneIn(3) ? request.mutable_list_xattr()
                                       : OneIn(2) ? request.mutable_stat_fs()
                                                  : request.mutable_fsync_dir();
      node->set_node(Id());
      return request;
    }
    default:
      FillNames(kind % 6, &request);
      return request;
  }
}

void MessageMaker::FillWalk(gofer::WalkReply* reply) {
  for (uint32_t i = Below(4); i > 0; --i) Fill(reply->add_nodes());
  if (OneIn(3)) reply->set_stopped(OneIn(4) ? static_cast<int32_t>(AnyNumber()) : ENOENT);
  reply->set_opened(OneIn(2));
  if (OneIn(6)) reply->set_open_error(EACCES);
  reply->set_listed(OneIn(3));
  for (uint32_t i = Below(4); i > 0; --i) Fill(reply->add_entries());
}

gofer::Reply MessageMaker::MakeReply() {
  gofer::Reply reply;
  switch (Below(12)) {
    case 0:
      reply.set_error(OneIn(2) ? static_cast<int32_t>(AnyNumber()) : static_cast<int32_t>(1 + Below(133)));
      break;
    case 1:
      Fill(reply.mutable_attach()->mutable_node());
      break;
    case 2:
      Fill(reply.mutable_open()->mutable_attr());
      break;
    case 3:
      Fill(reply.mutable_node()->mutable_node());
      break;
    case 4:
      Fill(reply.mutable_attr()->mutable_attr());
      break;
    case 5:
      reply.mutable_readlink()->set_target(Target());
      break;
    case 6:
      for (uint32_t i = Below(5); i > 0; --i) Fill(reply.mutable_read_dir()->add_entries());
      reply.mutable_read_dir()->set_end(!OneIn(4));
      reply.mutable_read_dir()->set_next(AnyNumber());
      break;
    case 7:
      reply.mutable_xattr()->set_value(OneIn(2) ? std::string("user.a\0user.b", 13 + Below(2))
                                                : std::string(Below(70000), 'x'));
      break;
    case 8:
      reply.mutable_stat_fs()->set_block_size(AnyNumber());
      reply.mutable_stat_fs()->set_blocks(AnyNumber());
      reply.mutable_stat_fs()->set_name_max(AnyNumber());
      break;
    default:
      FillWalk(reply.mutable_walk());
  }
  return reply;
}

}  // namespace cloister::fuzz
