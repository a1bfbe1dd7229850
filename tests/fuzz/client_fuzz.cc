// libFuzzer on the sentry's side of the gofer's protocol: answers of a gofer that has been taken over. The
// sentry may fail every call, but lives and stays within its memory.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "gofer/protocol/channel.h"
#include "gofer/protocol/welcome.h"
#include "gofer/protocol/windows.h"
#include "sentry/fs/gofer/client.h"
#include "sentry/fs/gofer/gofer_fs.h"
#include "sentry/vfs/directory_file.h"
#include "sentry/vfs/operations.h"
#include "tests/fuzz/gofer_messages.h"

namespace cloister::fuzz {
namespace {

gofer::Reply::ResultCase Wanted(const gofer::Request& request) {
  switch (request.op_case()) {
    case gofer::Request::kAttach:
      return gofer::Reply::kAttach;
    case gofer::Request::kWalk:
      return gofer::Reply::kWalk;
    case gofer::Request::kOpen:
      return gofer::Reply::kOpen;
    case gofer::Request::kReadDir:
      return gofer::Reply::kReadDir;
    case gofer::Request::kReadlink:
      return gofer::Reply::kReadlink;
    case gofer::Request::kStatFs:
      return gofer::Reply::kStatFs;
    case gofer::Request::kGetXattr:
    case gofer::Request::kListXattr:
      return gofer::Reply::kXattr;
    case gofer::Request::kGetAttr:
    case gofer::Request::kSetAttr:
      return gofer::Reply::kAttr;
    default:
      return gofer::Reply::kNode;
  }
}

// Answers each request with the next reply that is of the right kind; with any if there is none.
class HostileGofer {
 public:
  HostileGofer(UniqueFd socket, const std::vector<gofer::Reply>& replies)
      : windows_(*gofer::Windows::Make(1)), replies_(replies) {
    gofer::Welcome welcome;
    welcome.add_cpus(-1);
    welcome.set_max_nodes(16);
    if (!gofer::SendWelcome(socket.get(), welcome, *windows_, {}).ok()) abort();
    channel_ = std::make_unique<gofer::ServerChannel>(std::move(socket), windows_, 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~HostileGofer() { thread_.join(); }

 private:
  gofer::Reply Choose(const gofer::Request& request) {
    gofer::Reply reply;
    if (replies_.empty()) return reply;
    for (size_t i = 0; i < replies_.size(); ++i) {
      const gofer::Reply& candidate = replies_[(next_ + i) % replies_.size()];
      if (candidate.result_case() != Wanted(request) && candidate.error() == 0) continue;
      next_ = (next_ + i + 1) % replies_.size();
      return candidate;
    }
    return replies_[next_++ % replies_.size()];
  }

  void Run() {
    gofer::Request request;
    for (int calls = 0; channel_->Receive(&request, nullptr).ok(); ++calls) {
      const gofer::Reply reply = Choose(request);
      const bool opened =
          reply.has_open() || (reply.has_walk() && reply.walk().opened()) || request.has_create();
      UniqueFd file;
      if (opened)
        file.reset(calls % 5 == 4 ? open("/", O_PATH | O_CLOEXEC) : memfd_create("file", MFD_CLOEXEC));
      const int number = file.get();
      if (!channel_->Send(reply, std::span(&number, opened ? 1 : 0)).ok()) return;
    }
  }

  const std::shared_ptr<const gofer::Windows> windows_;
  std::unique_ptr<gofer::ServerChannel> channel_;
  const std::vector<gofer::Reply>& replies_;
  size_t next_ = 0;
  std::thread thread_;  // last: uses all of the above
};

void UseFile(const vfs::Caller& caller, const std::string& path) {
  const ErrnoOr<Ref<vfs::FileDescription>> file = vfs::Open(caller, caller.cwd, path, O_RDWR | O_CREAT, 0644);
  if (!file.ok()) return;
  char bytes[64] = {};
  auto buffer = usermem::UserBuffer::Kernel(std::as_writable_bytes(std::span(bytes)));
  static_cast<void>((*file)->Read(buffer).ok());
  auto text = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(bytes)));
  static_cast<void>((*file)->Write(text).ok());
}

void UseNames(const vfs::Caller& caller) {
  for (const char* name : {"a", "d/a", "d/e/f", "out/a", "abs", "..", "d/.."}) {
    const ErrnoOr<vfs::Path> path = vfs::Resolve(caller, caller.cwd, name, {});
    if (path.ok()) static_cast<void>(path->dentry()->inode()->GetAttr().ok());
    const ErrnoOr<Ref<vfs::FileDescription>> directory = vfs::Open(caller, caller.cwd, name, O_RDONLY, 0);
    if (!directory.ok() || (*directory)->AsDirectory() == nullptr) continue;
    int entries = 0;
    static_cast<void>(
        (*directory)->AsDirectory()->ReadDir([&](const auto&) { return ++entries < 1000; }).ok());
  }
}

void UseTree(const vfs::Caller& caller) {
  for (int round = 0; round < 2; ++round) {
    UseNames(caller);
    UseFile(caller, "a");
    UseFile(caller, "d/new");
    static_cast<void>(vfs::MakeDirectory(caller, caller.cwd, "m", 0755).ok());
    static_cast<void>(vfs::MakeSymlink(caller, "a", caller.cwd, "l").ok());
    static_cast<void>(vfs::Rename(caller, caller.cwd, "a", caller.cwd, "d/b", 0).ok());
    static_cast<void>(vfs::Unlink(caller, caller.cwd, "d/b").ok());
  }
}

void Answer(const std::vector<gofer::Reply>& replies) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) abort();
  const HostileGofer gofer(UniqueFd(pair[1]), replies);
  auto client = goferfs::GoferClient::Connect(UniqueFd(pair[0]), [] {});
  if (!client.ok()) return;
  const auto mount = goferfs::GoferFs::Mount(MakeRef<goferfs::Gofer>(*std::move(client)),
                                             {.shared = replies.size() % 2 == 0});
  if (!mount.ok() || !(*mount)->root()->inode()->is_directory()) return;
  vfs::Caller caller;
  caller.cred = auth::Credentials::Root();
  caller.mounts = MakeRef<vfs::MountNamespace>(*mount);
  caller.root = caller.cwd = caller.mounts->RootPath();
  UseTree(caller);
}

std::string_view AsText(const uint8_t* data, size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace
}  // namespace cloister::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto replies =
      cloister::fuzz::ReadMessages<cloister::gofer::Reply>(cloister::fuzz::AsText(data, size));
  if (replies.empty()) return -1;
  cloister::fuzz::Answer(replies);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t most);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t most, unsigned seed) {
  cloister::fuzz::MessageMaker maker(seed);
  if (maker.OneIn(4)) return LLVMFuzzerMutate(data, size, most);
  auto replies = cloister::fuzz::ReadMessages<cloister::gofer::Reply>(cloister::fuzz::AsText(data, size));
  for (uint32_t changes = 1 + maker.Below(4); changes > 0; --changes) {
    cloister::fuzz::MutateMessages(maker, &replies, [&] { return maker.MakeReply(); });
  }
  const std::string bytes = cloister::fuzz::WriteMessages(replies);
  if (bytes.size() > most) return size;
  memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}
