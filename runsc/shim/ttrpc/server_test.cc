#include "runsc/shim/ttrpc/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "runsc/shim/ttrpc/client.h"
#include "runsc/shim/ttrpc/frame.h"
#include "runsc/shim/ttrpc/ttrpc.pb.h"

namespace cloister::ttrpc {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kPatience = absl::Seconds(20);

// A server with the methods Echo, Fail, Hold (answered by Release) and Release.
class ServerTest : public testing::Test {
 protected:
  ServerTest() : path_(absl::StrCat("/tmp/shim-ttrpc-", getpid(), ".sock")) {
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {.sun_family = AF_UNIX};
    EXPECT_LT(path_.size(), sizeof address.sun_path);
    memcpy(address.sun_path, path_.data(), path_.size());
    unlink(path_.c_str());
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(listener.get(), 16), 0);
    server_.emplace(std::move(listener));
    server_->Register("svc", "Echo", [](const std::string& payload, const Responder& responder) {
      responder.Send(payload);
    });
    server_->Register("svc", "Fail", [](const std::string& payload, const Responder& responder) {
      responder.Send(absl::FailedPreconditionError(payload));
    });
    server_->Register("svc", "Huge", [](const std::string&, const Responder& responder) {
      responder.Send(std::string(kMaxPayloadBytes + 1, 'x'));
    });
    server_->Register("svc", "Hold", [this](const std::string&, const Responder& responder) {
      held_.emplace(responder);
      holding_.Notify();
    });
    server_->Register("svc", "Release", [this](const std::string& payload, const Responder& responder) {
      holding_.WaitForNotification();
      held_->Send(payload);
      responder.Send(std::string("released"));
    });
    thread_ = std::thread([this] { server_->Serve(); });
  }

  ~ServerTest() override {
    server_->Stop();
    thread_.join();
    held_.reset();
    unlink(path_.c_str());
  }

  Client Connect() { return Client::Connect(path_).value(); }
  UniqueFd ConnectRaw() { return ConnectTo(path_).value(); }

  static std::string Call(const std::string& method, const std::string& payload) {
    Request request;
    request.set_service("svc");
    request.set_method(method);
    request.set_payload(payload);
    return request.SerializeAsString();
  }

  static Response ReadResponse(int socket, uint32_t* stream = nullptr) {
    const absl::StatusOr<Frame> frame = ReadFrame(socket);
    EXPECT_TRUE(frame.ok()) << frame.status();
    Response response;
    if (!frame.ok()) return response;
    EXPECT_EQ(frame->type, static_cast<uint8_t>(FrameType::kResponse));
    EXPECT_TRUE(response.ParseFromString(frame->payload));
    if (stream != nullptr) *stream = frame->stream;
    return response;
  }

  const std::string path_;
  std::optional<Server> server_;
  std::thread thread_;
  absl::Notification holding_;
  std::optional<Responder> held_;
};

TEST_F(ServerTest, Answers) {
  Client client = Connect();
  for (const char* text : {"one", "", "three"}) {
    const absl::StatusOr<std::string> answer = client.Call("svc", "Echo", text, kPatience);
    ASSERT_TRUE(answer.ok()) << answer.status();
    EXPECT_EQ(*answer, text);
  }
}

TEST_F(ServerTest, ErrorsKeepTheirCode) {
  Client client = Connect();
  const absl::Status status = client.Call("svc", "Fail", "not now", kPatience).status();
  EXPECT_EQ(status, absl::FailedPreconditionError("not now"));
}

TEST_F(ServerTest, UnknownNamesAreUnimplemented) {
  Client client = Connect();
  EXPECT_TRUE(absl::IsUnimplemented(client.Call("svc", "Nothing", "", kPatience).status()));
  EXPECT_TRUE(absl::IsUnimplemented(client.Call("nobody", "Echo", "", kPatience).status()));
}

TEST_F(ServerTest, AnswerThatIsTooLongBecomesAnError) {
  Client client = Connect();
  EXPECT_TRUE(absl::IsResourceExhausted(client.Call("svc", "Huge", "", kPatience).status()));
}

TEST_F(ServerTest, LaterAnswersDoNotWaitForEarlierCalls) {
  const UniqueFd socket = ConnectRaw();
  ASSERT_TRUE(WriteFrame(socket.get(), 1, FrameType::kRequest, Call("Hold", "")).ok());
  ASSERT_TRUE(WriteFrame(socket.get(), 3, FrameType::kRequest, Call("Echo", "second")).ok());
  uint32_t stream = 0;
  EXPECT_EQ(ReadResponse(socket.get(), &stream).payload(), "second");
  EXPECT_EQ(stream, 3u);
  ASSERT_TRUE(WriteFrame(socket.get(), 5, FrameType::kRequest, Call("Release", "first")).ok());
  EXPECT_EQ(ReadResponse(socket.get(), &stream).payload(), "first");
  EXPECT_EQ(stream, 1u);
}

TEST_F(ServerTest, TwoThreadsGetTheirOwnAnswers) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 2; ++thread) {
    threads.emplace_back([this, thread] {
      Client client = Connect();
      for (int i = 0; i < 200; ++i) {
        const std::string text = absl::StrCat(thread, ":", i);
        EXPECT_EQ(client.Call("svc", "Echo", text, kPatience).value_or("lost"), text);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ServerTest, StreamsOfOneConnectionAreServedAtOnce) {
  constexpr uint32_t kCalls = 200;
  const UniqueFd socket = ConnectRaw();
  std::thread writer([&] {
    for (uint32_t i = 0; i < kCalls; ++i) {
      EXPECT_TRUE(
          WriteFrame(socket.get(), 2 * i + 1, FrameType::kRequest, Call("Echo", absl::StrCat(i))).ok());
    }
  });
  std::vector<bool> seen(kCalls, false);
  for (uint32_t i = 0; i < kCalls; ++i) {
    uint32_t stream = 0;
    const Response response = ReadResponse(socket.get(), &stream);
    ASSERT_LT(stream / 2, kCalls);
    EXPECT_EQ(response.payload(), absl::StrCat(stream / 2));
    EXPECT_FALSE(seen[stream / 2]);
    seen[stream / 2] = true;
  }
  writer.join();
}

TEST_F(ServerTest, GarbageInARequestIsAnswered) {
  const UniqueFd socket = ConnectRaw();
  ASSERT_TRUE(WriteFrame(socket.get(), 1, FrameType::kRequest, "\xff\xff\xff\xff garbage").ok());
  EXPECT_EQ(ReadResponse(socket.get()).status().code(), static_cast<int>(absl::StatusCode::kInvalidArgument));
  ASSERT_TRUE(WriteFrame(socket.get(), 3, FrameType::kRequest, Call("Echo", "alive")).ok());
  EXPECT_EQ(ReadResponse(socket.get()).payload(), "alive");
}

TEST_F(ServerTest, EvenStreamsAreRefusedAndOtherTypesIgnored) {
  const UniqueFd socket = ConnectRaw();
  ASSERT_TRUE(WriteFrame(socket.get(), 1, FrameType::kData, "ignored").ok());
  ASSERT_TRUE(WriteFrame(socket.get(), 2, FrameType::kRequest, Call("Echo", "x")).ok());
  uint32_t stream = 0;
  const Response response = ReadResponse(socket.get(), &stream);
  EXPECT_EQ(stream, 2u);
  EXPECT_THAT(response.status().message(), HasSubstr("odd"));
}

TEST_F(ServerTest, HostileConnectionEndsAloneAndTheOthersGoOn) {
  Client good = Connect();
  const UniqueFd bad = ConnectRaw();
  ASSERT_EQ(send(bad.get(), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 10, MSG_NOSIGNAL), 10);
  char byte;
  EXPECT_LE(recv(bad.get(), &byte, 1, 0), 0);
  EXPECT_EQ(good.Call("svc", "Echo", "still here", kPatience).value_or("lost"), "still here");
}

TEST_F(ServerTest, CallerThatIsGoneIsNoHarm) {
  {
    const UniqueFd socket = ConnectRaw();
    ASSERT_TRUE(WriteFrame(socket.get(), 1, FrameType::kRequest, Call("Hold", "")).ok());
    holding_.WaitForNotification();
  }
  Client client = Connect();
  EXPECT_EQ(client.Call("svc", "Release", "nobody hears it", kPatience).value_or("lost"), "released");
}

}  // namespace
}  // namespace cloister::ttrpc
