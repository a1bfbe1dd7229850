#include "sentry/fs/dev/memory_devices.h"

#include <linux/random.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <string>

#include "platform/inproc/space.h"
#include "sentry/fs/tmp/vfs_fixture.h"

namespace cloister::dev {
namespace {

using tmp::FailsWith;
using tmp::Succeeds;
using usermem::UserBuffer;

bool signal_waits = false;

class MemoryDevicesTest : public tmp::VfsTest {
 protected:
  MemoryDevicesTest() {
    signal_waits = false;
    root.umask = 0;
    RegisterMemoryDevices([] { return signal_waits; });
    const std::pair<const char*, unsigned> nodes[] = {{"null", 3},   {"mem", 1},     {"zero", 5}, {"full", 7},
                                                      {"random", 8}, {"urandom", 9}, {"kmsg", 11}};
    for (const auto& [name, minor] : nodes)
      EXPECT_THAT(vfs::MakeNode(root, root.cwd, name, S_IFCHR | 0666, makedev(1, minor)), Succeeds());
    EXPECT_EQ(space_->Run(platform::HostOp::Mmap(kPlace, kRoom, PROT_READ | PROT_WRITE,
                                                 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)),
              static_cast<int64_t>(kPlace));
  }

  Ref<vfs::FileDescription> OpenDevice(const char* name, int flags = O_RDWR) {
    return Open(root, name, flags).value();
  }
  UserBuffer Guest(uint64_t addr, uint64_t size) { return UserBuffer(*space_, addr, size); }
  ErrnoOr<int64_t> Ioctl(vfs::FileDescription& file, const vfs::Caller& caller, uint32_t command) {
    return file.Ioctl({command, kPlace, *space_, caller});
  }

  static constexpr uint64_t kPlace = 0x100000;
  static constexpr uint64_t kRoom = 4 << 20;
  const Ref<inproc::Space> space_ = MakeRef<inproc::Space>();
};

TEST_F(MemoryDevicesTest, NullIsEmptyAndTakesAll) {
  const auto file = OpenDevice("null");
  UserBuffer none = Guest(1, 8);  // nothing is mapped there
  EXPECT_EQ(file->Write(none).value(), 8u);
  UserBuffer dst = Guest(kPlace, 8);
  EXPECT_EQ(file->Read(dst).value(), 0u);
  EXPECT_EQ(file->Seek(1000, SEEK_SET).value(), 0);
  EXPECT_EQ(file->AsMappable(), nullptr);
  EXPECT_EQ(file->wait_queue(), nullptr);
  EXPECT_THAT(file->Sync(false), FailsWith(Errno::kInval));
  EXPECT_THAT(Open(root, "null", O_RDWR | O_DIRECT), FailsWith(Errno::kInval));
}

TEST_F(MemoryDevicesTest, ZeroFillsUpToTheFirstBadPage) {
  const auto file = OpenDevice("zero");
  const std::string dirt(kRoom, 'x');
  ASSERT_EQ(space_->Write(kPlace, std::as_bytes(std::span(dirt))), kRoom);
  UserBuffer most = Guest(kPlace, kRoom - 1);
  EXPECT_EQ(file->Read(most).value(), kRoom - 1);
  std::string got(kRoom, 'y');
  ASSERT_EQ(space_->Read(kPlace, std::as_writable_bytes(std::span(got))), kRoom);
  EXPECT_EQ(got.find_first_not_of('\0'), kRoom - 1);
  UserBuffer beyond = Guest(kPlace, 2 * kRoom);
  EXPECT_EQ(file->ReadAt(beyond, 12345).value(), kRoom);
  EXPECT_THAT(file->Read(beyond), FailsWith(Errno::kFault));
}

TEST_F(MemoryDevicesTest, LongReadsEndAtASignal) {
  for (const char* name : {"zero", "full", "urandom"}) {
    const auto file = OpenDevice(name);
    signal_waits = true;
    UserBuffer cut = Guest(kPlace, kRoom);
    const size_t got = file->Read(cut).value();
    EXPECT_GT(got, 0u) << name;
    EXPECT_LT(got, kRoom) << name;
    signal_waits = false;
    UserBuffer whole = Guest(kPlace, kRoom);
    EXPECT_EQ(file->Read(whole).value(), kRoom) << name;
  }
}

TEST_F(MemoryDevicesTest, ZeroMapsAsMemory) {
  const auto file = OpenDevice("zero");
  ASSERT_NE(file->AsMappable(), nullptr);
  EXPECT_EQ(file->AsMappable()->BackingFor(8192, 4096, true, true)->host_fd, -1);
  EXPECT_EQ(file->AsMappable()->MappedName(), "/zero");
  EXPECT_NE(file->AsMappable()->identity().inode, 0u);
}

TEST_F(MemoryDevicesTest, FullHasNoRoom) {
  const auto file = OpenDevice("full");
  EXPECT_THAT(Write(*file, "x"), FailsWith(Errno::kNoSpc));
  EXPECT_THAT(Write(*file, ""), FailsWith(Errno::kNoSpc));
  EXPECT_EQ(file->AsMappable(), nullptr);
}

TEST_F(MemoryDevicesTest, RandomBytesDiffer) {
  for (const char* name : {"random", "urandom"}) {
    const auto file = OpenDevice(name);
    std::string first(64, '\0'), second(64, '\0');
    for (std::string* text : {&first, &second}) {
      UserBuffer dst = UserBuffer::Kernel(std::as_writable_bytes(std::span(*text)));
      EXPECT_EQ(file->Read(dst).value(), 64u);
    }
    EXPECT_NE(first, second);
    EXPECT_EQ(Write(*file, "seed").value(), 4u);
    UserBuffer bad = Guest(1, 8);
    EXPECT_THAT(file->Write(bad), FailsWith(Errno::kFault));
    EXPECT_THAT(file->Read(bad), FailsWith(Errno::kFault));
    EXPECT_TRUE(file->Ready() == (wait::Poll::kIn | wait::Poll::kOut));
  }
  EXPECT_NE(OpenDevice("random")->wait_queue(), nullptr);
  EXPECT_EQ(OpenDevice("urandom")->wait_queue(), nullptr);
}

TEST_F(MemoryDevicesTest, RandomControls) {
  const auto file = OpenDevice("urandom");
  EXPECT_EQ(Ioctl(*file, user, RNDGETENTCNT).value(), 0);
  int bits = 0;
  ASSERT_EQ(space_->Read(kPlace, std::as_writable_bytes(std::span(&bits, 1))), sizeof bits);
  EXPECT_EQ(bits, 256);
  EXPECT_THAT(Ioctl(*file, user, RNDCLEARPOOL), FailsWith(Errno::kPerm));
  EXPECT_THAT(Ioctl(*file, root, RNDCLEARPOOL), Succeeds());
  EXPECT_THAT(Ioctl(*file, root, 0x5401 /* TCGETS */), FailsWith(Errno::kInval));
  const int header[2] = {8, 1 << 30};  // bytes that are not there
  ASSERT_EQ(space_->Write(kPlace, std::as_bytes(std::span(header))), sizeof header);
  EXPECT_THAT(Ioctl(*file, root, RNDADDENTROPY), FailsWith(Errno::kFault));
  const int negative[2] = {8, -1};
  ASSERT_EQ(space_->Write(kPlace, std::as_bytes(std::span(negative))), sizeof negative);
  EXPECT_THAT(Ioctl(*file, root, RNDADDENTROPY), FailsWith(Errno::kInval));
}

TEST_F(MemoryDevicesTest, KernelLogIsForThePrivileged) {
  EXPECT_THAT(Open(user, "kmsg", O_RDONLY), FailsWith(Errno::kPerm));
  const auto writer = Open(user, "kmsg", O_WRONLY);
  ASSERT_THAT(writer, Succeeds());
  EXPECT_EQ(Write(**writer, "<6>hello").value(), 8u);
  EXPECT_THAT(Write(**writer, std::string(1025, 'x')), FailsWith(Errno::kInval));
  const auto reader = OpenDevice("kmsg", O_RDONLY);
  UserBuffer dst = Guest(kPlace, 8);
  EXPECT_THAT(reader->Read(dst), FailsWith(Errno::kAgain));
  EXPECT_TRUE(reader->Ready() == wait::Poll::kNone);
  EXPECT_THAT(reader->Seek(0, SEEK_END), Succeeds());
  EXPECT_THAT(reader->Seek(0, SEEK_CUR), FailsWith(Errno::kInval));
}

TEST_F(MemoryDevicesTest, NobodyServesTheRest) {
  EXPECT_THAT(Open(root, "mem", O_RDONLY), FailsWith(Errno::kNxIo));
}

}  // namespace
}  // namespace cloister::dev
