#include "gofer/tree/node_table.h"

#include <fcntl.h>

#include "gtest/gtest.h"

namespace cloister::gofer {
namespace {

Ref<HostNode> Root() {
  ErrnoOr<Ref<HostNode>> node = HostNode::Attach(UniqueFd(open("/", O_PATH | O_CLOEXEC)), {});
  EXPECT_TRUE(node.ok());
  return *node;
}

TEST(NodeTable, IsBoundedAndNeverReusesAnId) {
  NodeTable table(2);
  const uint64_t first = *table.Add(Root());
  const uint64_t second = *table.Add(Root());
  EXPECT_EQ(table.Add(Root()).error(), Errno::kNFile);
  table.Forget(first);
  const uint64_t third = *table.Add(Root());
  EXPECT_NE(third, first);
  EXPECT_NE(third, second);
  EXPECT_EQ(table.Get(first).error(), Errno::kBadf);
  EXPECT_TRUE(table.Get(third).ok());
}

TEST(NodeTable, SkipsUnknownIds) {
  NodeTable table(2);
  table.Forget(0);
  table.Forget(~uint64_t{0});
  EXPECT_EQ(table.Get(0).error(), Errno::kBadf);
  EXPECT_EQ(table.size(), 0u);
}

TEST(NodeTable, AForgottenNodeLivesWhileItIsUsed) {
  NodeTable table(1);
  const uint64_t id = *table.Add(Root());
  const Ref<HostNode> node = *table.Get(id);
  table.Forget(id);
  EXPECT_TRUE(node->GetAttr().ok());
}

}  // namespace
}  // namespace cloister::gofer
