#include "gofer/server/server.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gofer/server/server_fixture.h"

namespace cloister::gofer {
namespace {

class RoundTrip : public ServerTest {
 protected:
  RoundTrip() {
    tree.Mkdir("usr/lib");
    tree.Write("usr/lib/libc", "library");
    tree.Symlink("usr/lib", "lib");
    Start({.connections = 2, .max_nodes = 1000});
    root = peer->Attach();
  }
  void SetOwner(Owner* owner, uint32_t mode) {
    owner->set_mode(mode);
    owner->set_uid(geteuid());
    owner->set_gid(getegid());
  }
  uint64_t Make(const std::string& name, int flags = O_RDWR) {
    Request request;
    request.mutable_create()->set_dir(root);
    request.mutable_create()->set_name(name);
    request.mutable_create()->set_flags(static_cast<uint32_t>(flags));
    SetOwner(request.mutable_create()->mutable_owner(), 0640);
    return peer->Call(request).node().node().id();
  }
  Reply GetAttr(uint64_t node) {
    Request request;
    request.mutable_get_attr()->set_node(node);
    return peer->Call(request);
  }
  uint64_t root = 0;
};

TEST_F(RoundTrip, TheWelcomeGivesTheOtherConnections) {
  EXPECT_EQ(peer->welcome.cpus_size(), 3);
  EXPECT_EQ(peer->welcome.doorbell(), 2u);
  EXPECT_EQ(peer->welcome.cpus(2), -1);
  EXPECT_EQ(peer->welcome.max_nodes(), 1000u);
  ASSERT_EQ(peer->others.size(), 2u);
  for (const auto& other : peer->others) {
    EXPECT_GT(other->Attach(), root);
    EXPECT_EQ(other->Walk(root, {"usr"}).walk().nodes_size(), 1);  // ids are for all connections
  }
}

TEST_F(RoundTrip, WalksManyComponentsAndOpensTheLast) {
  Reply reply = peer->Walk(root, {"usr", "lib", "libc"}, true, O_RDONLY);
  ASSERT_EQ(reply.walk().nodes_size(), 3);
  EXPECT_EQ(reply.walk().stopped(), 0);
  EXPECT_EQ(reply.walk().nodes(2).attr().size(), 7u);
  EXPECT_TRUE(reply.walk().opened());
  ASSERT_EQ(peer->fds.size(), 1u);
  char text[8] = {};
  EXPECT_EQ(read(peer->fds[0].get(), text, 7), 7);
  EXPECT_STREQ(text, "library");
}

TEST_F(RoundTrip, AWalkTellsWhereItEnded) {
  Reply reply = peer->Walk(root, {"usr", "none", "x"}, true);
  EXPECT_EQ(reply.walk().nodes_size(), 1);
  EXPECT_EQ(reply.walk().stopped(), ENOENT);
  reply = peer->Walk(root, {"usr", "lib", "libc", "x"});
  EXPECT_EQ(reply.walk().nodes_size(), 3);
  EXPECT_EQ(reply.walk().stopped(), ENOTDIR);
  reply = peer->Walk(root, {"lib", "libc"}, true);
  EXPECT_EQ(reply.walk().nodes_size(), 1);
  EXPECT_EQ(reply.walk().stopped(), 0);
  EXPECT_EQ(reply.walk().nodes(0).target(), "usr/lib");
  EXPECT_FALSE(reply.walk().opened());
  EXPECT_EQ(peer->Walk(root, {".."}).error(), EINVAL);
  EXPECT_EQ(peer->Walk(root, {"usr/lib"}).error(), EINVAL);
  EXPECT_EQ(peer->Walk(root, {}).error(), EINVAL);
}

TEST_F(RoundTrip, AWalkListsASmallDirectory) {
  Request request;
  request.mutable_walk()->set_dir(root);
  request.mutable_walk()->add_names("none");
  request.mutable_walk()->set_list_limit(2);
  Reply reply = peer->Call(request);
  EXPECT_EQ(reply.walk().stopped(), ENOENT);
  EXPECT_TRUE(reply.walk().listed());
  EXPECT_EQ(reply.walk().entries_size(), 2);
  request.mutable_walk()->set_list_limit(1);
  EXPECT_FALSE(peer->Call(request).walk().listed());
}

TEST_F(RoundTrip, CreatesAndChangesFiles) {
  const uint64_t file = Make("file");
  ASSERT_NE(file, 0u);
  ASSERT_EQ(peer->fds.size(), 1u);
  EXPECT_EQ(write(peer->fds[0].get(), "12345", 5), 5);
  EXPECT_EQ(GetAttr(file).attr().attr().size(), 5u);
  EXPECT_EQ(GetAttr(file).attr().attr().mode(), S_IFREG | (0640u & ~022u));

  Request request;
  SetAttrRequest* set = request.mutable_set_attr();
  set->set_node(file);
  set->set_mask(SetAttrRequest::SIZE | SetAttrRequest::MODE | SetAttrRequest::MTIME |
                SetAttrRequest::MTIME_NOW);
  set->set_size(3);
  set->set_mode(0600);
  Reply reply = peer->Call(request);
  EXPECT_EQ(reply.attr().attr().size(), 3u);
  EXPECT_EQ(reply.attr().attr().mode(), S_IFREG | 0600u);
  EXPECT_EQ(reply.attr().attr().atime_sec(), GetAttr(file).attr().attr().atime_sec());

  request.mutable_open()->set_node(file);
  request.mutable_open()->set_flags(O_WRONLY | O_TRUNC);
  EXPECT_EQ(peer->Call(request).open().attr().size(), 0u);
  EXPECT_EQ(peer->fds.size(), 1u);
  request.mutable_open()->set_node(root);
  request.mutable_open()->set_flags(0);
  EXPECT_EQ(peer->Call(request).error(), EISDIR);
}

TEST_F(RoundTrip, MakesRenamesAndRemovesNames) {
  Request request;
  request.mutable_mkdir()->set_dir(root);
  request.mutable_mkdir()->set_name("dir");
  SetOwner(request.mutable_mkdir()->mutable_owner(), 0755);
  const uint64_t dir = peer->Call(request).node().node().id();
  ASSERT_NE(dir, 0u);

  request.mutable_symlink()->set_dir(dir);
  request.mutable_symlink()->set_name("link");
  request.mutable_symlink()->set_target("../file");
  SetOwner(request.mutable_symlink()->mutable_owner(), 0);
  const uint64_t link = peer->Call(request).node().node().id();
  request.mutable_readlink()->set_node(link);
  EXPECT_EQ(peer->Call(request).readlink().target(), "../file");

  request.mutable_mknod()->set_dir(dir);
  request.mutable_mknod()->set_name("fifo");
  request.mutable_mknod()->set_type(S_IFIFO);
  SetOwner(request.mutable_mknod()->mutable_owner(), 0600);
  EXPECT_EQ(peer->Call(request).node().node().attr().mode(), S_IFIFO | 0600u);
  request.mutable_mknod()->set_name("disk");
  request.mutable_mknod()->set_type(S_IFBLK);
  request.mutable_mknod()->set_major(8);
  EXPECT_EQ(peer->Call(request).error(), EPERM);

  const uint64_t file = Make("file");
  request.mutable_link()->set_node(file);
  request.mutable_link()->set_dir(dir);
  request.mutable_link()->set_name("hard");
  EXPECT_EQ(peer->Call(request).node().node().attr().nlink(), 2u);

  request.mutable_rename()->set_from_dir(root);
  request.mutable_rename()->set_from("file");
  request.mutable_rename()->set_to_dir(dir);
  request.mutable_rename()->set_to("moved");
  EXPECT_EQ(peer->Call(request).error(), 0);

  request.mutable_unlink()->set_dir(root);
  request.mutable_unlink()->set_name("dir");
  request.mutable_unlink()->set_directory(true);
  EXPECT_EQ(peer->Call(request).error(), ENOTEMPTY);
  request.mutable_unlink()->set_dir(dir);
  request.mutable_unlink()->set_directory(false);
  for (const char* name : {"link", "fifo", "hard", "moved"}) {
    request.mutable_unlink()->set_name(name);
    EXPECT_EQ(peer->Call(request).error(), 0) << name;
  }
  request.mutable_fsync_dir()->set_node(dir);
  EXPECT_EQ(peer->Call(request).error(), 0);
}

TEST_F(RoundTrip, ListsWithAttributes) {
  Request request;
  request.mutable_read_dir()->set_dir(root);
  request.mutable_read_dir()->set_attr_limit(10);
  const Reply reply = peer->Call(request);
  EXPECT_TRUE(reply.read_dir().end());
  ASSERT_EQ(reply.read_dir().entries_size(), 2);
  for (const Entry& entry : reply.read_dir().entries()) {
    const bool link = entry.name() == "lib";
    EXPECT_EQ(entry.type(), link ? uint32_t{DT_LNK} : uint32_t{DT_DIR});
    EXPECT_EQ(entry.target(), link ? "usr/lib" : "");
    EXPECT_EQ(entry.attr().ino(), entry.ino());
  }
}

TEST_F(RoundTrip, KeepsXattrsAndTellsTheFileSystem) {
  const uint64_t file = Make("file");
  Request request;
  request.mutable_set_xattr()->set_node(file);
  request.mutable_set_xattr()->set_name("user.a");
  request.mutable_set_xattr()->set_value("1");
  if (const Reply reply = peer->Call(request); reply.error() != EOPNOTSUPP) {
    EXPECT_EQ(reply.error(), 0);
    request.mutable_get_xattr()->set_node(file);
    request.mutable_get_xattr()->set_name("user.a");
    EXPECT_EQ(peer->Call(request).xattr().value(), "1");
    request.mutable_list_xattr()->set_node(file);
    EXPECT_EQ(peer->Call(request).xattr().value(), std::string("user.a\0", 7));
    request.mutable_remove_xattr()->set_node(file);
    request.mutable_remove_xattr()->set_name("user.a");
    EXPECT_EQ(peer->Call(request).error(), 0);
    EXPECT_EQ(peer->Call(request).error(), ENODATA);
  }
  request.mutable_stat_fs()->set_node(file);
  EXPECT_GT(peer->Call(request).stat_fs().blocks(), 0u);
}

TEST_F(RoundTrip, ReadOnlyAttachPointsAreReadOnly) {
  Request request;
  request.mutable_attach()->set_index(1);
  Reply reply = peer->Call(request);
  EXPECT_TRUE(reply.attach().readonly());
  request.mutable_mkdir()->set_dir(reply.attach().node().id());
  request.mutable_mkdir()->set_name("new");
  EXPECT_EQ(peer->Call(request).error(), EROFS);
  request.mutable_attach()->set_index(2);
  EXPECT_EQ(peer->Call(request).error(), ENOENT);
}

TEST_F(RoundTrip, EndsWithTheChannel) {
  Stop();
  EXPECT_TRUE(ended.ok());
}

}  // namespace
}  // namespace cloister::gofer
