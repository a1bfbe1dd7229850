// The gofer as it runs in a sandbox: a process of its own, started over inherited descriptors,
// with its filter, its empty root and without the rights of the one who started it.

#include "gofer/server/gofer_main.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "gofer/protocol/config.h"
#include "gofer/protocol/doorbell_fixture.h"
#include "gofer/server/filter.h"
#include "gofer/server/peer.h"
#include "gofer/tree/temp_tree.h"

namespace cloister::gofer {
namespace {

constexpr int kChannel = 4, kLog = 5, kFirstAttach = 6;

class GoferProcess : public testing::Test {
 protected:
  void Start(FilterMode filter) {
    GoferConfig config;
    config.set_channel_fd(kChannel);
    config.set_log_fd(kLog);
    config.set_log_level("debug");
    config.set_filter(filter);
    for (int i = 0; i < 2; ++i) {
      AttachPoint* point = config.add_attach();
      point->set_fd(kFirstAttach + i);
      point->set_readonly(i == 1);
    }
    auto config_fd = MakeConfigFd(config);
    ASSERT_TRUE(config_fd.ok()) << config_fd.status();
    auto attach = OpenAttachPoint(tree / "root");
    ASSERT_TRUE(attach.ok()) << attach.status();
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const UniqueFd log(open((tree / "log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    child = Spawn({config_fd->get(), pair[1], log.get(), attach->get(), attach->get()});
    close(pair[1]);
    peer = Peer::Open(UniqueFd(pair[0]));
    ASSERT_NE(peer, nullptr) << Log();
  }
  // Starts this test's program again as the gofer, with fds as 3, 4, ….
  static pid_t Spawn(const std::vector<int>& fds) {
    std::vector<UniqueFd> high;
    for (const int fd : fds) high.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 100));
    const pid_t pid = fork();
    if (pid != 0) return pid;
    for (size_t i = 0; i < fds.size(); ++i) dup2(high[i].get(), kGoferConfigFd + static_cast<int>(i));
    execl("/proc/self/exe", "runsc-gofer", nullptr);
    _exit(127);
  }
  int Wait(int options = 0) {
    int status = -1;
    if (child > 0) {
      EXPECT_EQ(waitpid(child, &status, options), child);
    }
    if (!WIFSTOPPED(status)) child = -1;
    return status;
  }
  static Request AttachZero() {
    Request request;
    request.mutable_attach();
    return request;
  }
  void TearDown() override {
    peer.reset();
    if (child > 0) kill(child, SIGKILL);
    Wait();
  }
  std::string Log() const {
    std::ifstream file(tree / "log");
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::string Status(const std::string& field) const {
    std::ifstream file("/proc/" + std::to_string(child) + "/status");
    std::string line;
    while (std::getline(file, line)) {
      if (line.rfind(field + ":", 0) == 0) return line.substr(field.size() + 2);
    }
    return "";
  }

  GoferProcess() {
    if (geteuid() != 0) return;
    tree.Mkdir("root/dir");
    tree.Write("root/dir/file", "text");
  }
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  TempTree tree;
  std::unique_ptr<Peer> peer;
  pid_t child = -1;
};

// The calling thread's calls by this connection are made by the doorbell from now on.
void TakeUpDoorbell(Peer& peer) {
  const UniqueFd listener = InstallDoorbell();
  Request request;
  request.mutable_listen();
  ASSERT_EQ(peer.Call(request, listener.get()).error(), 0);
  peer.channel().UseDoorbell();
}

// Every kind of request once, with the results checked.
struct Everything {
  Peer& peer;
  const uint64_t root;
  const std::string tag;
  Request request = {};
  uint64_t file = 0, dir = 0;

  static void SetOwner(Owner* to) {
    to->set_mode(04755);
    to->set_uid(4321);
    to->set_gid(8765);
  }

  void CreateFile() {
    request.mutable_create()->set_dir(root);
    request.mutable_create()->set_name("f" + tag);
    request.mutable_create()->set_flags(O_RDWR);
    SetOwner(request.mutable_create()->mutable_owner());
    const Reply reply = peer.Call(request);
    ASSERT_EQ(reply.error(), 0);
    file = reply.node().node().id();
    EXPECT_EQ(reply.node().node().attr().uid(), 4321u);
    EXPECT_EQ(reply.node().node().attr().gid(), 8765u);
    EXPECT_EQ(reply.node().node().attr().mode(), S_IFREG | 04755u);
    ASSERT_EQ(peer.fds.size(), 1u);
    EXPECT_EQ(write(peer.fds[0].get(), "x", 1), 1);
    request.mutable_create()->set_name("");
    EXPECT_EQ(peer.Call(request).error(), 0);
  }

  void MakeDirectory() {
    request.mutable_mkdir()->set_dir(root);
    request.mutable_mkdir()->set_name("d" + tag);
    SetOwner(request.mutable_mkdir()->mutable_owner());
    Reply reply = peer.Call(request);
    ASSERT_EQ(reply.error(), 0);
    dir = reply.node().node().id();
    EXPECT_EQ(reply.node().node().attr().mode() & 07777u, 04755u);
  }

  void FillDirectory() {
    request.mutable_symlink()->set_dir(dir);
    request.mutable_symlink()->set_name("l");
    request.mutable_symlink()->set_target("/etc/passwd");
    SetOwner(request.mutable_symlink()->mutable_owner());
    Reply reply = peer.Call(request);
    ASSERT_EQ(reply.error(), 0);
    EXPECT_EQ(reply.node().node().attr().uid(), 4321u);
    request.mutable_readlink()->set_node(reply.node().node().id());
    EXPECT_EQ(peer.Call(request).readlink().target(), "/etc/passwd");

    request.mutable_mknod()->set_dir(dir);
    request.mutable_mknod()->set_name("p");
    request.mutable_mknod()->set_type(S_IFSOCK);
    SetOwner(request.mutable_mknod()->mutable_owner());
    EXPECT_EQ(peer.Call(request).error(), 0);

    request.mutable_link()->set_node(file);
    request.mutable_link()->set_dir(dir);
    request.mutable_link()->set_name("h");
    EXPECT_EQ(peer.Call(request).error(), 0);
  }

  void LookAndChange() {
    SetAttrRequest* set = request.mutable_set_attr();
    set->set_node(file);
    set->set_mask(SetAttrRequest::MODE | SetAttrRequest::UID | SetAttrRequest::SIZE | SetAttrRequest::ATIME);
    set->set_mode(02600);
    set->set_uid(99);
    set->set_size(100);
    Reply reply = peer.Call(request);
    ASSERT_EQ(reply.error(), 0);
    EXPECT_EQ(reply.attr().attr().mode(), S_IFREG | 02600u);
    EXPECT_EQ(reply.attr().attr().uid(), 99u);
    EXPECT_EQ(reply.attr().attr().size(), 100u);

    request.mutable_get_attr()->set_node(file);
    EXPECT_EQ(peer.Call(request).attr().attr().nlink(), 2u);
    request.mutable_open()->set_node(file);
    request.mutable_open()->set_flags(O_RDWR);
    EXPECT_EQ(peer.Call(request).error(), 0);
    request.mutable_read_dir()->set_dir(dir);
    request.mutable_read_dir()->set_attr_limit(10);
    EXPECT_EQ(peer.Call(request).read_dir().entries_size(), 3);
  }

  void ExtendedAttributes() {
    request.mutable_set_xattr()->set_node(file);
    request.mutable_set_xattr()->set_name("trusted.a");
    EXPECT_NE(peer.Call(request).error(), 0);  // no CAP_SYS_ADMIN
    request.mutable_set_xattr()->set_name("user.a");
    request.mutable_set_xattr()->set_value("1");
    const int xattrs = peer.Call(request).error();
    EXPECT_TRUE(xattrs == 0 || xattrs == EOPNOTSUPP);
    request.mutable_get_xattr()->set_node(file);
    request.mutable_get_xattr()->set_name("user.a");
    EXPECT_EQ(peer.Call(request).error(), xattrs);
    request.mutable_list_xattr()->set_node(file);
    EXPECT_EQ(peer.Call(request).error(), 0);
    request.mutable_remove_xattr()->set_node(file);
    request.mutable_remove_xattr()->set_name("user.a");
    EXPECT_EQ(peer.Call(request).error(), xattrs);
    request.mutable_stat_fs()->set_node(dir);
    EXPECT_EQ(peer.Call(request).error(), 0);
    request.mutable_fsync_dir()->set_node(dir);
    EXPECT_EQ(peer.Call(request).error(), 0);
  }

  void RenameAndRemove() {
    request.mutable_rename()->set_from_dir(dir);
    request.mutable_rename()->set_from("h");
    request.mutable_rename()->set_to_dir(root);
    request.mutable_rename()->set_to("r" + tag);
    EXPECT_EQ(peer.Call(request).error(), 0);
    for (const std::string& name : {"r" + tag, "f" + tag}) {
      request.mutable_unlink()->set_dir(root);
      request.mutable_unlink()->set_name(name);
      EXPECT_EQ(peer.Call(request).error(), 0);
    }
    request.Clear();
    request.add_forget(file);
    EXPECT_EQ(peer.Call(request).error(), 0);
  }
};

void DoEverything(Peer& peer, uint64_t root, const std::string& tag) {
  Everything all{peer, root, tag};
  ASSERT_NO_FATAL_FAILURE(all.CreateFile());
  ASSERT_NO_FATAL_FAILURE(all.MakeDirectory());
  ASSERT_NO_FATAL_FAILURE(all.FillDirectory());
  ASSERT_NO_FATAL_FAILURE(all.LookAndChange());
  all.ExtendedAttributes();
  all.RenameAndRemove();
}

TEST_F(GoferProcess, DoesEverythingInsideItsFilter) {
  Start(FILTER_KILL);
  const uint64_t root = peer->Attach();
  ASSERT_NE(root, 0u) << Log();
  DoEverything(*peer, root, "0");
  // All connections at once: contended locks, further malloc arenas; one of them by the doorbell.
  std::vector<std::thread> threads;
  for (auto& other : peer->others) {
    const bool rings = other == peer->others.back();
    threads.emplace_back([root, rings, other = other.get(), n = threads.size()] {
      if (rings) TakeUpDoorbell(*other);
      const std::string tag = std::to_string(n + 1);
      for (int i = 0; i < 100; ++i) DoEverything(*other, root, tag + "-" + std::to_string(i));
    });
  }
  for (int i = 0; i < 100; ++i) DoEverything(*peer, root, "0-" + std::to_string(i));
  for (std::thread& thread : threads) thread.join();
  peer.reset();
  const int status = Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << " " << Log();
}

TEST_F(GoferProcess, TheDoorbellFailsWhenItEnds) {
  Start(FILTER_KILL);
  std::thread caller([this] {
    Peer& doorbell = *peer->others.back();
    TakeUpDoorbell(doorbell);
    ASSERT_NE(doorbell.Attach(), 0u);
    kill(child, SIGSTOP);  // so that the next call cannot be answered any more
    Wait(WUNTRACED);
    std::thread killer([this] { kill(child, SIGKILL); });
    EXPECT_TRUE(doorbell.IsRefused(AttachZero()));
    EXPECT_TRUE(doorbell.IsRefused(AttachZero()));
    killer.join();
  });
  caller.join();
}

TEST_F(GoferProcess, EndsWithACallerThatRings) {
  Start(FILTER_KILL);
  std::thread caller([this] {
    TakeUpDoorbell(*peer->others.back());
    ASSERT_NE(peer->others.back()->Attach(), 0u);
  });
  caller.join();
  peer.reset();
  const int status = Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << " " << Log();
}

TEST_F(GoferProcess, ARingOfNonsenseEndsTheDoorbell) {
  Start(FILTER_KILL);
  std::thread caller([this] {
    Peer& doorbell = *peer->others.back();
    TakeUpDoorbell(doorbell);
    ASSERT_NE(doorbell.Attach(), 0u);
    EXPECT_EQ(syscall(kDoorbellNr, ~uint64_t{0}, 1000), -1);
    EXPECT_EQ(errno, ENOSYS);
    EXPECT_TRUE(doorbell.IsRefused(AttachZero()));
  });
  caller.join();
  EXPECT_NE(peer->Attach(), 0u) << "the other connections go on";
  EXPECT_NE(Log().find("longer than its window"), std::string::npos) << Log();
}

TEST_F(GoferProcess, IsLockedDown) {
  Start(FILTER_KILL);
  ASSERT_NE(peer->Attach(), 0u) << Log();
  EXPECT_EQ(Status("NoNewPrivs"), "1");
  EXPECT_EQ(Status("Seccomp"), "2");
  EXPECT_EQ(Status("CapBnd"), "0000000000000000");
  EXPECT_EQ(Status("CapInh"), "0000000000000000");
  EXPECT_EQ(Status("CapAmb"), "0000000000000000");
  EXPECT_EQ(Status("CapEff"),
            "00000000800000df");  // chown, the dac pair, fowner, fsetid, setgid, setuid, setfcap
  EXPECT_EQ(Status("CapPrm"), Status("CapEff"));
  struct stat root, host;
  const std::string proc = "/proc/" + std::to_string(child);
  ASSERT_EQ(stat((proc + "/root").c_str(), &root), 0);
  ASSERT_EQ(stat("/", &host), 0);
  EXPECT_NE(root.st_dev, host.st_dev);
  size_t names = 0;
  for (const auto& entry : std::filesystem::directory_iterator(proc + "/root"))
    names += !entry.path().empty();
  EXPECT_EQ(names, 0u);
  std::ifstream mounts(proc + "/mounts");
  const std::string table{std::istreambuf_iterator<char>(mounts), {}};
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 1) << table;
  for (const char* ns : {"mnt", "net", "ipc", "uts"}) {
    EXPECT_NE(std::filesystem::read_symlink(proc + "/ns/" + ns),
              std::filesystem::read_symlink(std::string("/proc/self/ns/") + ns));
  }
}

TEST_F(GoferProcess, ReadOnlyIsKeptByTheKernelToo) {
  Start(FILTER_KILL);
  const uint64_t dir = peer->Attach(1);
  const Reply reply = peer->Walk(dir, {"dir", "file"}, true, O_RDONLY);
  ASSERT_TRUE(reply.walk().opened()) << Log();
  EXPECT_EQ(futimens(peer->fds[0].get(), nullptr), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(GoferProcess, RefusesABadStart) {
  child = Spawn({});
  const int status = Wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1);
}

TEST(GoferFilter, IsShortAndEveryEntrySaysWhy) {
  EXPECT_LE(GoferSyscalls().size(), 45u);
  for (const AllowedSyscall& allowed : GoferSyscalls()) {
    EXPECT_GE(allowed.number, 0) << allowed.name;
    EXPECT_FALSE(allowed.reason.empty()) << allowed.name;
  }
}

}  // namespace
}  // namespace cloister::gofer

int main(int argc, char** argv) {
  if (strcmp(argv[0], "runsc-gofer") == 0) return cloister::gofer::GoferMain(argc, argv);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
