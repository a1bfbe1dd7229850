#include "runsc/spec/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::spec {
namespace {

using testing::HasSubstr;
using testing::Not;

State Example() {
  State state;
  state.oci_version = "1.0.2";
  state.id = "c1";
  state.bundle = "/b \"quoted\"";
  state.rootfs = "/b/rootfs";
  state.created = "2026-11-24T00:00:00.000000001Z";
  state.owner = "root";
  state.annotations = {{"k", "v"}};
  state.ready = true;
  state.monitor = {12, 34};
  state.sentry = {56, 78};
  state.execs = {{{9, 10}, 11}};
  return state;
}

TEST(StateTest, SurvivesTheFile) {
  const auto state = ParseState(FormatState(Example()));
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(FormatState(*state), FormatState(Example()));
  EXPECT_EQ(state->monitor.start_time, 34u);
  EXPECT_EQ(state->execs[0].guest_pid, 11);
  EXPECT_EQ(state->bundle, "/b \"quoted\"");
}

TEST(StateTest, RefusesWhatIsNoState) {
  EXPECT_FALSE(ParseState("").ok());
  EXPECT_FALSE(ParseState("{}").ok());
  EXPECT_FALSE(ParseState(R"({"id":"a","monitor":{"pid":"x"}})").ok());
}

TEST(StateTest, PidIsZeroWhenStopped) {
  EXPECT_THAT(OciState(Example(), Status::kRunning, ""), HasSubstr(R"("pid":12,"status":"running")"));
  EXPECT_THAT(OciState(Example(), Status::kStopped, ""), HasSubstr(R"("pid":0,"status":"stopped")"));
  EXPECT_THAT(HookState(Example(), Status::kStopped), Not(HasSubstr("pid")));
}

}  // namespace
}  // namespace cloister::spec
