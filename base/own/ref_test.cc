#include "base/own/ref.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace cloister {
namespace {

struct Counted : RefCounted {
  explicit Counted(int* deaths) : deaths(deaths) {}
  ~Counted() override { ++*deaths; }
  int* deaths;
};

TEST(Ref, DeletesWithTheLastReference) {
  int deaths = 0;
  Ref<Counted> a = MakeRef<Counted>(&deaths);
  Ref<RefCounted> b = a;
  a.reset();
  EXPECT_EQ(deaths, 0);
  b.reset();
  EXPECT_EQ(deaths, 1);
}

TEST(Ref, CountsFromManyThreads) {
  int deaths = 0;
  Ref<Counted> shared = MakeRef<Counted>(&deaths);
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([shared] {
      for (int j = 0; j < 10000; ++j) Ref<Counted> copy = shared;
    });
  }
  for (std::thread& thread : threads) thread.join();
  threads.clear();
  EXPECT_EQ(shared->ref_count(), 1);
  shared.reset();
  EXPECT_EQ(deaths, 1);
}

}  // namespace
}  // namespace cloister
