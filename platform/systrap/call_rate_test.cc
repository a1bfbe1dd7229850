#include "platform/systrap/call_rate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "platform/process/clock.h"

namespace cloister::systrap {
namespace {

using process::NowNs;

constexpr int64_t kMs = 1'000'000;

// `calls` calls by each of the threads in turn, over a little more than a window.
int64_t Window(CallRate* rate, std::vector<pid_t> tids, int calls, int64_t now) {
  const int64_t step = kMs / (calls * static_cast<int64_t>(tids.size()));
  for (int i = 0; i < calls; ++i) {
    for (const pid_t tid : tids) rate->Count(tid, getpid(), now += step);
  }
  return now + kMs / 10;
}

TEST(CallRate, ManyCallsByTwoAreDense) {
  CallRate rate;
  const int64_t now = NowNs();
  EXPECT_FALSE(rate.IsDense(now));
  EXPECT_TRUE(rate.IsDense(Window(&rate, {1, 2}, 50, now)));
}

TEST(CallRate, FewCallsAreNot) {
  CallRate rate;
  EXPECT_FALSE(rate.IsDense(Window(&rate, {1, 2}, 10, NowNs())));
}

TEST(CallRate, OneAloneIsNot) {
  CallRate rate;
  EXPECT_FALSE(rate.IsDense(Window(&rate, {1}, 200, NowNs())));
}

TEST(CallRate, NotAfterASilence) {
  CallRate rate;
  const int64_t now = Window(&rate, {1, 2}, 50, NowNs());
  ASSERT_TRUE(rate.IsDense(now));
  EXPECT_FALSE(rate.IsDense(now + 5 * kMs));
}

TEST(CallRate, CallersThatRestLeaveACore) {
  CallRate rate;
  int64_t now = NowNs();
  for (int i = 0; i < 3; ++i) now = Window(&rate, {1, 2}, 50, now);
  EXPECT_TRUE(rate.LeavesCore(2, now));
  EXPECT_FALSE(rate.LeavesCore(3, now)) << "a third one runs and does not call";
}

TEST(CallRate, CallersThatComputeDoNot) {
  CallRate rate;
  int64_t now = NowNs();
  for (int i = 0; i < 2; ++i) now = Window(&rate, {1, 2}, 50, now);
  rate.Count(1, getpid(), now);
  rate.Count(2, getpid(), now);
  // Twice the time of a window is used in what is said to be one.
  const int64_t used = process::CpuTimeNs(getpid());
  while (process::CpuTimeNs(getpid()) < used + 2 * kMs) continue;
  now = Window(&rate, {1, 2}, 50, now);
  EXPECT_TRUE(rate.IsDense(now));
  EXPECT_FALSE(rate.LeavesCore(2, now));
}

TEST(CallRate, FromSeveralThreads) {
  CallRate rate;
  std::vector<std::thread> threads;
  for (pid_t tid = 1; tid <= 3; ++tid) {
    threads.emplace_back([&rate, tid] {
      for (int i = 0; i < 20'000; ++i) {
        rate.Count(tid, getpid(), NowNs());
        rate.LeavesCore(2, NowNs());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(rate.IsDense(NowNs() + 10 * kMs));
}

}  // namespace
}  // namespace cloister::systrap
