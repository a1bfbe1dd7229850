// The sentry's view of a host tree through a real gofer's server, with a listener in between that
// counts the questions and can spoil the answers. Here because it needs both sides.

#include "sentry/fs/gofer/gofer_fs.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gofer/protocol/channel.h"
#include "gofer/protocol/gofer.pb.h"
#include "gofer/protocol/limits.h"
#include "gofer/protocol/welcome.h"
#include "gofer/server/server.h"
#include "gofer/tree/temp_tree.h"
#include "sentry/fs/gofer/client.h"
#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::goferfs {
namespace {

using gofer::Reply;
using gofer::Request;
using tmp::FailsWith;
using tmp::Succeeds;
using vfs::FileDescription;

// Between client and server: counts, and lets a test change replies on their way.
class Listener {
 public:
  using Spoiler = std::function<void(const Request&, Reply*, std::vector<UniqueFd>*)>;

  Listener(UniqueFd client, UniqueFd server) {
    gofer::Welcomed welcomed = *gofer::ReceiveWelcome(std::move(server));
    server_ = std::move(welcomed.channels.front());
    welcomed.welcome.set_doorbell(0);
    const std::shared_ptr<const gofer::Windows> windows = *gofer::Windows::Make(1);
    EXPECT_TRUE(gofer::SendWelcome(client.get(), welcomed.welcome, *windows, {}).ok());
    client_ = std::make_unique<gofer::ServerChannel>(std::move(client), windows, 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~Listener() { thread_.join(); }

  // Questions since the last time.
  int Count() { return count_.exchange(0); }
  void Spoil(Spoiler spoiler) {
    absl::MutexLock lock(&mu_);
    spoiler_ = std::move(spoiler);
  }

 private:
  void Run() {
    for (;;) {
      Request request;
      if (!client_->Receive(&request, nullptr).ok()) break;
      if (request.op_case() != Request::OP_NOT_SET) ++count_;
      Reply reply;
      std::vector<UniqueFd> fds;
      if (!server_->Call(request, &reply, &fds).ok()) break;
      {
        absl::MutexLock lock(&mu_);
        if (spoiler_) spoiler_(request, &reply, &fds);
      }
      std::vector<int> numbers;
      for (const UniqueFd& fd : fds) numbers.push_back(fd.get());
      if (!client_->Send(reply, numbers).ok()) break;
    }
    client_.reset();  // hangs up on both
    server_.reset();
  }

  std::unique_ptr<gofer::ServerChannel> client_;
  std::unique_ptr<gofer::ClientChannel> server_;
  std::atomic<int> count_{0};
  absl::Mutex mu_;  // leaf
  Spoiler spoiler_ ABSL_GUARDED_BY(mu_);
  std::thread thread_;
};

std::pair<UniqueFd, UniqueFd> SocketPair() {
  int ends[2];
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

class GoferFsTest : public tmp::VfsTest {
 protected:
  void Start(bool shared = false, uint64_t max_nodes = 1 << 20) {
    auto [sentry_end, outer] = SocketPair();
    auto [inner, gofer_end] = SocketPair();
    std::vector<Ref<gofer::HostNode>> attach;
    UniqueFd point(open(tree.path().c_str(), O_PATH | O_CLOEXEC));
    attach.push_back(*gofer::HostNode::Attach(std::move(point), {0, false}));
    server =
        *gofer::Server::Make(std::move(gofer_end), std::move(attach),
                             {.connections = 1, .doorbell = false, .max_nodes = max_nodes, .pin = false});
    runner = std::thread([this] { static_cast<void>(server->Run()); });
    listener = std::make_unique<Listener>(std::move(outer), std::move(inner));
    auto client = GoferClient::Connect(std::move(sentry_end), [this] { lost = true; });
    ASSERT_TRUE(client.ok()) << client.status();
    auto mount = GoferFs::Mount(MakeRef<Gofer>(*std::move(client)), {.shared = shared});
    ASSERT_TRUE(mount.ok());
    mounts = MakeRef<vfs::MountNamespace>(*std::move(mount));
    // Files are made as whoever runs the test, who may have no right to make them another's.
    auth::Credentials cred = *auth::Credentials::Root();
    cred.fsuid = getuid();
    cred.fsgid = getgid();
    root = CallerOf(std::make_shared<const auth::Credentials>(cred));
    listener->Count();
  }
  void TearDown() override {
    root = user = vfs::Caller();
    mounts = nullptr;
    listener.reset();
    if (runner.joinable()) runner.join();
  }

  Ref<FileDescription> MustOpen(std::string_view path, int flags, mode_t mode = 0644) {
    auto file = Open(root, path, flags, mode);
    EXPECT_THAT(file, Succeeds()) << path;
    return file.ok() ? *std::move(file) : nullptr;
  }
  static std::string ReadAll(FileDescription& file) {
    std::string text(1 << 16, '\0');
    auto buffer = usermem::UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
    text.resize(file.ReadAt(buffer, 0).value());
    return text;
  }
  static size_t Put(FileDescription& file, std::string_view text) {
    auto buffer = usermem::UserBuffer::KernelConst(std::as_bytes(std::span(text)));
    return file.Write(buffer).value();
  }
  std::string OnHost(const std::string& name) const {
    std::ifstream file(tree / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::multiset<std::string> List(FileDescription& directory) {
    std::multiset<std::string> names;
    EXPECT_THAT(directory.Seek(0, SEEK_SET), Succeeds());
    EXPECT_THAT(directory.AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      names.emplace(entry.name);
      return true;
    }),
                Succeeds());
    return names;
  }

  gofer::TempTree tree;
  std::unique_ptr<gofer::Server> server;
  std::thread runner;
  std::unique_ptr<Listener> listener;
  std::atomic<bool> lost{false};
};

TEST_F(GoferFsTest, WritesGoThroughToTheHost) {
  Start();
  const auto file = MustOpen("/new", O_RDWR | O_CREAT, 0640);
  EXPECT_EQ(Put(*file, "hello"), 5u);
  EXPECT_EQ(OnHost("new"), "hello");
  EXPECT_EQ(ReadAll(*file), "hello");
  const auto appender = MustOpen("/new", O_WRONLY | O_APPEND);
  EXPECT_EQ(Put(*appender, ", world"), 7u);
  EXPECT_EQ(*appender->Seek(0, SEEK_CUR), 12);
  EXPECT_EQ(OnHost("new"), "hello, world");
  EXPECT_EQ(Stat("/new").stx_size, 12u);
  EXPECT_EQ(Stat("/new").stx_mode & 07777, 0640);
  EXPECT_THAT(vfs::TruncateFile(root, *file, 3), Succeeds());
  EXPECT_EQ(Stat("/new").stx_size, 3u);
  EXPECT_THAT(vfs::Truncate(root, At("/new"), 4), Succeeds());
  EXPECT_EQ(OnHost("new"), std::string("hel\0", 4));
  EXPECT_THAT(file->Sync(false), Succeeds());
  EXPECT_THAT(file->Allocate(0, 0, 8192), Succeeds());
  EXPECT_EQ(Stat("/new").stx_size, 8192u);
  MustOpen("/new", O_WRONLY | O_TRUNC);
  EXPECT_EQ(Stat("/new").stx_size, 0u);
  EXPECT_EQ(OnHost("new"), "");
}

TEST_F(GoferFsTest, WhatIsKnownIsNotAskedForAgain) {
  tree.Write("here", "x");
  tree.Mkdir("dir");
  Start();
  EXPECT_THAT(Find(root, "/missing"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(listener->Count(), 1);  // with it comes the whole small directory
  EXPECT_THAT(Find(root, "/missing"), FailsWith(Errno::kNoEnt));
  EXPECT_THAT(Find(root, "/also-missing"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(listener->Count(), 0);
  const auto first = MustOpen("/here", O_RDONLY);
  EXPECT_LE(listener->Count(), 2);
  EXPECT_EQ(Stat("/here").stx_size, 1u);
  EXPECT_EQ(ReadAll(*MustOpen("/here", O_RDONLY)), "x");
  EXPECT_EQ(Stat("/here").stx_size, 1u);
  EXPECT_EQ(listener->Count(), 0);
  EXPECT_THAT(vfs::ChangeMode(root, At("/here"), 0600), Succeeds());
  EXPECT_EQ(listener->Count(), 1);
  EXPECT_EQ(Stat("/here").stx_mode & 07777, 0600);
  EXPECT_EQ(listener->Count(), 0);
  EXPECT_THAT(Remove(root, "/here"), Succeeds());
  EXPECT_EQ(listener->Count(), 1);
  EXPECT_THAT(Find(root, "/here"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(listener->Count(), 0);
}

TEST_F(GoferFsTest, ManyFilesOfOneDirectoryAreAskedForTogether) {
  for (int i = 0; i < 300; ++i) tree.Write("f" + std::to_string(i), "text");
  Start();
  for (int i = 0; i < 300; ++i) EXPECT_EQ(Stat("/f" + std::to_string(i)).stx_size, 4u);
  EXPECT_LT(listener->Count(), 40);
}

TEST_F(GoferFsTest, NamesChangeOnBothSides) {
  tree.Write("a", "A");
  tree.Mkdir("d");
  Start();
  EXPECT_THAT(Rename(root, "/a", "/d/b"), Succeeds());
  EXPECT_EQ(OnHost("d/b"), "A");
  EXPECT_THAT(Find(root, "/a"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(ReadAll(*MustOpen("/d/b", O_RDONLY)), "A");
  EXPECT_THAT(Link("/d/b", "/c"), Succeeds());
  EXPECT_EQ(Stat("/d/b").stx_nlink, 2u);
  EXPECT_EQ(At("/c").dentry()->inode(), At("/d/b").dentry()->inode());
  EXPECT_THAT(Remove(root, "/d/b"), Succeeds());
  EXPECT_EQ(Stat("/c").stx_nlink, 1u);
  EXPECT_EQ(ReadAll(*MustOpen("/c", O_RDWR)), "A");
  EXPECT_THAT(vfs::MakeSymlink(root, "c", root.cwd, "/link"), Succeeds());
  EXPECT_EQ(*vfs::Readlink(root, At("/link", false)), "c");
  EXPECT_EQ(Stat("/link").stx_ino, Stat("/c").stx_ino);
  tree.Write("unseen", "");
  EXPECT_THAT(Rename(root, "/c", "/e"), Succeeds());
  EXPECT_EQ(List(*MustOpen("/", O_RDONLY | O_DIRECTORY)).count("e"), 1u);
  EXPECT_THAT(vfs::RemoveDirectory(root, root.cwd, "/d"), Succeeds());
  EXPECT_FALSE(std::filesystem::exists(tree / "d"));
}

TEST_F(GoferFsTest, ExchangedNamesShowEachOther) {
  tree.Write("a", "A");
  tree.Mkdir("d");
  tree.Write("d/b", "B");
  Start();
  EXPECT_THAT(Rename(root, "/a", "/d/b", RENAME_EXCHANGE), Succeeds());
  EXPECT_EQ(ReadAll(*MustOpen("/a", O_RDONLY)), "B");
  EXPECT_EQ(ReadAll(*MustOpen("/d/b", O_RDONLY)), "A");
  EXPECT_EQ(OnHost("a"), "B");
}

TEST_F(GoferFsTest, AnUnlinkedFileLivesAsLongAsItIsOpen) {
  tree.Write("gone", "still here");
  Start();
  const auto file = MustOpen("/gone", O_RDWR);
  EXPECT_THAT(Remove(root, "/gone"), Succeeds());
  EXPECT_EQ(ReadAll(*file), "still here");
  EXPECT_EQ(Put(*file, "S"), 1u);
  EXPECT_EQ(file->inode()->GetAttr()->stx_nlink, 0u);
  vfs::AttrChange change;
  change.mode = 0600;
  EXPECT_THAT(file->inode()->SetAttr(change), Succeeds());
  // A new file of that name is another one.
  const auto other = MustOpen("/gone", O_RDWR | O_CREAT);
  EXPECT_NE(other->inode(), file->inode());
  EXPECT_EQ(ReadAll(*other), "");
}

TEST_F(GoferFsTest, ReadersOfADirectoryKeepTheirPlace) {
  for (int i = 0; i < 5000; ++i) tree.Write("n" + std::to_string(i), "");
  Start();
  const auto directory = MustOpen("/", O_RDONLY | O_DIRECTORY);
  std::multiset<std::string> seen;
  bool more = true;
  while (more) {
    int room = 100;
    more = false;
    std::string last;
    ASSERT_THAT(directory->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
      if (room-- == 0) return false;
      more = true;
      seen.emplace(entry.name);
      last = entry.name;
      return true;
    }),
                Succeeds());
    if (more && last[0] == 'n') {
      EXPECT_THAT(Remove(root, "/" + last), Succeeds());
    }
  }
  EXPECT_EQ(seen.size(), 5002u);
  for (int i = 0; i < 5000; ++i) EXPECT_EQ(seen.count("n" + std::to_string(i)), 1u);
}

TEST_F(GoferFsTest, InodeNumbersOfListingAndStatAgree) {
  tree.Write("f", "");
  Start();
  uint64_t listed = 0;
  const auto directory = MustOpen("/", O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(directory->AsDirectory()->ReadDir([&](const vfs::DirectoryFile::Entry& entry) {
    if (entry.name == "f") listed = entry.inode;
    return true;
  }),
              Succeeds());
  EXPECT_EQ(listed, Stat("/f").stx_ino);
}

TEST_F(GoferFsTest, MappingsAreOfTheHostsFile) {
  tree.Write("f", std::string(8192, 'f'));
  Start();
  const auto reader = MustOpen("/f", O_RDONLY);
  const auto writer = MustOpen("/f", O_RDWR);
  mm::Mappable& mappable = *writer->AsMappable();
  const auto shared = mappable.BackingFor(4096, 4096, true, true);
  ASSERT_THAT(shared, Succeeds());
  EXPECT_EQ(shared->offset, 4096u);
  void* const map = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, shared->host_fd, 4096);
  ASSERT_NE(map, MAP_FAILED);
  static_cast<char*>(map)[0] = 'M';
  EXPECT_EQ(OnHost("f")[4096], 'M');
  EXPECT_EQ(ReadAll(*reader)[4096], 'M');
  munmap(map, 4096);
  const auto before = reader->AsMappable()->BackingFor(0, 4096, false, true);
  EXPECT_THAT(before, Succeeds());
  EXPECT_EQ(reader->AsMappable()->identity().inode, mappable.identity().inode);
}

TEST_F(GoferFsTest, AReaderCannotMapForWriting) {
  tree.Write("f", "f");
  Start();
  const auto reader = MustOpen("/f", O_RDONLY);
  EXPECT_THAT(reader->AsMappable()->BackingFor(0, 4096, true, true), FailsWith(Errno::kAcces));
}

TEST_F(GoferFsTest, NodesAndDescriptorsAreBounded) {
  constexpr int kFiles = 400;
  for (int i = 0; i < kFiles; ++i) tree.Write("f" + std::to_string(i), std::to_string(i));
  Start(false, 256);
  const auto held = MustOpen("/f7", O_RDWR);
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kFiles; ++i) {
      const std::string name = "/f" + std::to_string(i);
      EXPECT_EQ(ReadAll(*MustOpen(name, O_RDONLY)), std::to_string(i)) << name;
    }
  }
  EXPECT_LT(server->table().size(), 256u);
  EXPECT_EQ(ReadAll(*held), "7");
  EXPECT_THAT(vfs::ChangeMode(root, At("/f3"), 0600), Succeeds());
  EXPECT_EQ(Stat("/f3").stx_mode & 07777, 0600);
}

TEST_F(GoferFsTest, ExtendedAttributes) {
  tree.Write("f", "");
  if (setxattr((tree / "f").c_str(), "user.host", "h", 1, 0) != 0) GTEST_SKIP() << "not on this file system";
  Start();
  EXPECT_EQ(*vfs::GetXattr(root, At("/f"), "user.host"), "h");
  EXPECT_THAT(vfs::SetXattr(root, At("/f"), "user.mine", "m", 0), Succeeds());
  EXPECT_EQ(vfs::ListXattr(root, At("/f"))->size(), 2u);
  EXPECT_THAT(vfs::RemoveXattr(root, At("/f"), "user.host"), Succeeds());
  EXPECT_THAT(vfs::GetXattr(root, At("/f"), "user.host"), FailsWith(Errno::kNoData));
}

TEST_F(GoferFsTest, SharedTreesShowWhatOthersDo) {
  tree.Write("f", "one");
  Start(/*shared=*/true);
  EXPECT_EQ(Stat("/f").stx_size, 3u);
  EXPECT_THAT(Find(root, "/later"), FailsWith(Errno::kNoEnt));
  tree.Write("f", "three");
  tree.Write("later", "");
  EXPECT_THAT(Find(root, "/later"), Succeeds());
  EXPECT_EQ(Stat("/f").stx_size, 5u);
  const auto directory = MustOpen("/", O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(List(*directory).count("later"), 1u);
  ASSERT_EQ(unlink((tree / "later").c_str()), 0);
  EXPECT_THAT(Find(root, "/later"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(List(*directory).count("later"), 0u);
  // Another file by the same name.
  tree.Write("other", "other");
  ASSERT_EQ(rename((tree / "other").c_str(), (tree / "f").c_str()), 0);
  EXPECT_EQ(ReadAll(*MustOpen("/f", O_RDONLY)), "other");
}

TEST_F(GoferFsTest, WhatIsDistrustedIsAskedForAgain) {
  tree.Write("file", "old");
  tree.Write("replaced", "old");
  Start();
  EXPECT_THAT(Find(root, "/late"), FailsWith(Errno::kNoEnt));
  EXPECT_EQ(ReadAll(*MustOpen("/file", O_RDONLY)), "old");
  EXPECT_EQ(ReadAll(*MustOpen("/replaced", O_RDONLY)), "old");
  tree.Write("late", "late");
  tree.Write("file", "longer");
  tree.Write("other", "another");
  ASSERT_EQ(rename((tree / "other").c_str(), (tree / "replaced").c_str()), 0);
  EXPECT_THAT(Find(root, "/late"), FailsWith(Errno::kNoEnt));
  GoferFs::Distrust();
  root.root.dentry()->ForgetChildren();
  EXPECT_EQ(ReadAll(*MustOpen("/late", O_RDONLY)), "late");
  EXPECT_EQ(Stat("/file").stx_size, 6u);
  EXPECT_EQ(ReadAll(*MustOpen("/replaced", O_RDONLY)), "another");
}

TEST_F(GoferFsTest, SharedFilesCanBeExecutedOnceTheWriterIsGone) {
  std::filesystem::copy_file("/bin/true", tree / "true");
  Start(/*shared=*/true);
  {
    const auto writer = MustOpen("/true", O_WRONLY | O_APPEND);
    EXPECT_EQ(Put(*writer, "x"), 1u);
  }
  // One more question: the gofer has let go of what it gave for the one before.
  EXPECT_THAT(Find(root, "/none"), FailsWith(Errno::kNoEnt));
  const std::string program = tree / "true";
  char* const argv[] = {const_cast<char*>(program.c_str()), nullptr};
  pid_t child = 0;
  ASSERT_EQ(posix_spawn(&child, program.c_str(), nullptr, nullptr, argv, nullptr), 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(GoferFsTest, OneFileFoundByManyThreadsIsOne) {
  tree.Write("f0", "");
  for (int i = 1; i < 64; ++i)
    ASSERT_EQ(link((tree / "f0").c_str(), (tree / ("f" + std::to_string(i))).c_str()), 0);
  Start();
  std::vector<std::thread> threads;
  std::vector<Ref<vfs::Inode>> found(64);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < 64; i += 4) {
        const auto path = vfs::Resolve(root, root.cwd, "/f" + std::to_string(i), {});
        if (path.ok()) found[static_cast<size_t>(i)] = path->dentry()->inode();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& inode : found) EXPECT_EQ(inode, found[0]);
}

// ---- A gofer gone bad ----

TEST_F(GoferFsTest, ErrnosOfTheSentrysOwnAreNotTaken) {
  tree.Write("f", "");
  Start();
  for (const int error : {-1, 134, 512, 513, 514, 516, 4095, 1 << 30}) {
    listener->Spoil([error](const Request&, Reply* reply, auto*) { reply->set_error(error); });
    EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kIo)) << error;
    listener->Spoil([error](const Request& request, Reply* reply, auto*) {
      if (!request.has_walk()) return;
      reply->mutable_walk()->Clear();
      reply->mutable_walk()->set_stopped(error);
    });
    EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kIo)) << error;
  }
}

TEST_F(GoferFsTest, NamesThatAreNoneAreNotListed) {
  Start();
  for (const std::string name : {"", ".", "..", "a/b", "../up"}) {
    listener->Spoil([&name](const Request& request, Reply* reply, auto*) {
      if (!request.has_read_dir()) return;
      reply->mutable_read_dir()->add_entries()->set_name(name);
    });
    const auto directory = MustOpen("/", O_RDONLY | O_DIRECTORY);
    EXPECT_THAT(directory->AsDirectory()->ReadDir([](const auto&) { return true; }), FailsWith(Errno::kIo));
  }
}

TEST_F(GoferFsTest, ADirectoryWithoutEndIsGivenUp) {
  tree.Write("f", "");
  Start();
  listener->Spoil([](const Request& request, Reply* reply, auto*) {
    if (request.has_read_dir()) reply->mutable_read_dir()->set_end(false);
  });
  const auto directory = MustOpen("/", O_RDONLY | O_DIRECTORY);
  EXPECT_THAT(directory->AsDirectory()->ReadDir([](const auto&) { return true; }), FailsWith(Errno::kIo));
}

TEST_F(GoferFsTest, OnlyTheFileThatWasNamedIsOpened) {
  tree.Write("f", "good");
  tree.Write("g", "evil");
  Start(/*shared=*/true);  // opens ask
  for (const char* other : {"g", ".", "/dev/null"}) {
    const std::string path = other[0] == '/' ? other : tree / other;
    listener->Spoil([&path](const Request& request, Reply*, std::vector<UniqueFd>* fds) {
      if (!request.has_open()) return;
      fds->clear();
      fds->emplace_back(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    });
    EXPECT_THAT(Open(root, "/f", O_RDONLY), FailsWith(Errno::kIo)) << path;
  }
  listener->Spoil([](const Request&, Reply*, std::vector<UniqueFd>* fds) { fds->clear(); });
  EXPECT_THAT(Open(root, "/f", O_RDONLY), FailsWith(Errno::kIo));
  listener->Spoil(nullptr);
  EXPECT_EQ(ReadAll(*MustOpen("/f", O_RDONLY)), "good");
}

// Replies with bits turned over. What it may do is anything but crash, hang or lie about a type.
TEST_F(GoferFsTest, SpoiledRepliesAreSurvived) {
  for (int i = 0; i < 20; ++i) tree.Write("f" + std::to_string(i), "text");
  tree.Mkdir("d/e");
  tree.Symlink("f1", "link");
  Start();
  std::mt19937 random(1);
  // Its own numbers: it runs on the listener's thread, and after this test's body too.
  listener->Spoil([random = std::mt19937(2)](const Request&, Reply* reply, auto*) mutable {
    if (random() % 3 != 0) return;
    std::string bytes = reply->SerializeAsString();
    if (bytes.empty()) return;
    for (unsigned i = 0; i <= random() % 4; ++i)
      bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    Reply spoiled;
    if (spoiled.ParseFromString(bytes)) reply->Swap(&spoiled);
  });
  for (unsigned i = 0; i < 3000; ++i) {
    const std::string name = "/f" + std::to_string(random() % 24);
    const std::string other = "/d/g" + std::to_string(random() % 8);
    if (const auto file = Open(root, name, random() % 2 ? O_RDONLY : O_RDWR | O_CREAT); file.ok()) {
      std::string text(64, '\0');
      auto buffer = usermem::UserBuffer::Kernel(std::as_writable_bytes(std::span(text)));
      static_cast<void>((*file)->ReadAt(buffer, 0).ok());
      static_cast<void>((*file)->inode()->GetAttr().ok());
    }
    static_cast<void>(Rename(root, name, other).ok());
    static_cast<void>(Rename(root, other, name).ok());
    static_cast<void>(vfs::MakeDirectory(root, root.cwd, other, 0755).ok());
    static_cast<void>(Remove(root, other).ok());
    static_cast<void>(vfs::RemoveDirectory(root, root.cwd, other).ok());
    static_cast<void>(Find(root, "/link").ok());
    if (const auto directory = Open(root, "/", O_RDONLY | O_DIRECTORY); directory.ok()) {
      if ((*directory)->AsDirectory() != nullptr)
        static_cast<void>((*directory)->AsDirectory()->ReadDir([](const auto&) { return true; }).ok());
    }
  }
  EXPECT_FALSE(lost);
}

TEST_F(GoferFsTest, ALostGoferIsToldOnceAndEveryCallFails) {
  tree.Write("f", "");
  Start();
  listener->Spoil([](const Request&, Reply* reply, std::vector<UniqueFd>*) {
    reply->mutable_walk()->add_nodes()->set_target(std::string(gofer::kWindowBytes + 1, 'x'));
  });
  EXPECT_THAT(Find(root, "/f"), FailsWith(Errno::kIo));
  EXPECT_TRUE(lost);
  EXPECT_THAT(Find(root, "/g"), FailsWith(Errno::kIo));
}

}  // namespace
}  // namespace cloister::goferfs
