// libFuzzer on the gofer's side of its protocol: requests of a sentry that has been taken over. Whatever
// they are, nothing outside the attach points may be touched or handed out.

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "gofer/server/peer.h"
#include "gofer/server/server.h"
#include "gofer/tree/temp_tree.h"
#include "tests/fuzz/gofer_messages.h"

namespace cloister::fuzz {
namespace {

void Require(bool holds, const char* what) {
  if (holds) return;
  fprintf(stderr, "fuzz: %s\n", what);
  abort();
}

// A tree that is served, at in/, and one beside it that is not: outside/.
class Trees {
 public:
  Trees() {
    base_.Mkdir("in/d/e");
    base_.Mkdir("outside/d");
    base_.Write("in/a", "data");
    base_.Write("in/d/b", "more");
    base_.Write("outside/secret", kSecret);
    base_.Symlink("../outside", "in/out");
    base_.Symlink("/etc/passwd", "in/abs");
    base_.Symlink("loop", "in/loop");
    base_.Symlink("../..", "in/d/up");
    before_ = Describe();
  }
  std::string served() const { return base_ / "in"; }

  // What the peer was given lies within.
  void CheckDescriptor(int fd) const {
    std::error_code error;
    const std::string target =
        std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error).string();
    const bool within = target.starts_with(served() + "/") || target == served();
    // Temporary files have a number for a name.
    Require(within, ("a descriptor of " + target + " was given away").c_str());
  }
  void CheckOutside() const { Require(Describe() == before_, "something outside was changed"); }

 private:
  static constexpr const char* kSecret = "nobody's business";

  std::string Describe() const {
    std::string text;
    for (const char* name : {"outside", "outside/d", "outside/secret"}) {
      struct stat st = {};
      Require(lstat((base_ / name).c_str(), &st) == 0, "something outside is gone");
      text += std::to_string(st.st_mode) + " " + std::to_string(st.st_uid) + " " +
              std::to_string(st.st_nlink) + " " + std::to_string(st.st_size) + " " +
              std::to_string(st.st_mtim.tv_nsec) + " " + std::to_string(st.st_ctim.tv_nsec) + "\n";
    }
    return text;
  }

  gofer::TempTree base_;
  std::string before_;
};

void Serve(const std::vector<gofer::Request>& requests) {
  const Trees trees;
  int pair[2];
  Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket pair");
  std::vector<Ref<gofer::HostNode>> attach;
  for (const bool readonly : {false, true}) {
    UniqueFd fd(open(trees.served().c_str(), O_PATH | O_CLOEXEC));
    attach.push_back(
        *gofer::HostNode::Attach(std::move(fd), {static_cast<uint32_t>(attach.size()), readonly}));
  }
  auto server = gofer::Server::Make(UniqueFd(pair[0]), std::move(attach),
                                    {.connections = 1, .max_nodes = 64, .pin = false});
  Require(server.ok(), "no server");
  std::thread runner([&] { static_cast<void>((*server)->Run()); });
  {
    const std::unique_ptr<gofer::Peer> peer = gofer::Peer::Open(UniqueFd(pair[1]));
    Require(peer != nullptr, "no welcome");
    peer->Attach(0);
    for (const gofer::Request& request : requests) {
      peer->Call(request);
      for (const UniqueFd& fd : peer->fds) trees.CheckDescriptor(fd.get());
    }
  }
  runner.join();
  trees.CheckOutside();
}

std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace
}  // namespace cloister::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto requests =
      cloister::fuzz::ReadMessages<cloister::gofer::Request>(cloister::fuzz::AsText(data, size));
  if (requests.empty()) return -1;
  cloister::fuzz::Serve(requests);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  cloister::fuzz::MessageMaker maker(seed);
  if (maker.OneIn(4)) return LLVMFuzzerMutate(data, size, most);
  auto requests = cloister::fuzz::ReadMessages<cloister::gofer::Request>(cloister::fuzz::AsText(data, size));
  for (uint32_t changes = 1 + maker.Below(4); changes > 0; --changes) {
    cloister::fuzz::MutateMessages(maker, &requests, [&] { return maker.MakeRequest(); });
  }
  const std::string bytes = cloister::fuzz::WriteMessages(requests);
  if (bytes.size() > most) return size;
  memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}
