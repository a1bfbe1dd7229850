// A call that does nothing, by the socket and by the doorbell:
//   bazel run //gofer/protocol:channel_benchmark

#include <sys/socket.h>

#include <memory>
#include <thread>

#include "absl/synchronization/notification.h"
#include "benchmark/benchmark.h"
#include "gofer/protocol/channel.h"
#include "gofer/protocol/doorbell_fixture.h"
#include "gofer/protocol/gofer.pb.h"

namespace cloister::gofer {
namespace {

// Answers with a file's attributes, as long as the client is there.
void Serve(ServerChannel* server) {
  Request request;
  Reply reply;
  while (server->Receive(&request, nullptr).ok()) {
    reply.Clear();
    Attr* const attr = reply.mutable_attr()->mutable_attr();
    attr->set_mode(0100644);
    attr->set_ino(request.get_attr().node());
    attr->set_size(1 << 20);
    attr->set_mtime_sec(1'700'000'000);
    if (!server->Send(reply, {}).ok()) return;
  }
}

void CallNothing(benchmark::State& state, bool doorbell) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    state.SkipWithError("socketpair");
    return;
  }
  const std::shared_ptr<const Windows> windows = *Windows::Make(1);
  auto client = std::make_unique<ClientChannel>(UniqueFd(pair[0]), windows, 0);
  ServerChannel server(UniqueFd(pair[1]), windows, 0);
  absl::Notification ready;
  std::thread calling([&] {  // one of its own: a filter is for good
    if (doorbell) {
      server.ListenTo(InstallDoorbell());
      client->UseDoorbell();
    }
    ready.Notify();
    Request request;
    Reply reply;
    request.mutable_get_attr()->set_node(7);
    for (auto _ : state) {
      if (!client->Call(request, &reply, nullptr).ok()) state.SkipWithError("call");
    }
    client.reset();
  });
  ready.WaitForNotification();
  Serve(&server);
  calling.join();
}

BENCHMARK_CAPTURE(CallNothing, socket, false)->UseRealTime();
BENCHMARK_CAPTURE(CallNothing, doorbell, true)->UseRealTime();

}  // namespace
}  // namespace cloister::gofer

BENCHMARK_MAIN();
