#include "sentry/fs/dev/random_file.h"

#include <linux/random.h>
#include <sys/random.h>

#include <cerrno>
#include <span>

#include "sentry/usermem/user_ptr.h"
#include "sentry/vfs/caller.h"

namespace cloister::dev {
namespace {

constexpr int kPoolBits = 256;  // Linux: POOL_BITS, what a seeded pool always claims to hold

ErrnoOr<size_t> FillRandom(std::span<std::byte> space) {
  size_t filled = 0;
  while (filled < space.size()) {
    const ssize_t got = getrandom(space.data() + filled, space.size() - filled, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FromHostErrno(errno);
    filled += static_cast<size_t>(got);
  }
  return filled;
}

ErrnoOr<size_t> TakeAll(std::span<const std::byte> bytes) { return bytes.size(); }

// RNDADDENTROPY: the header is checked, and that the bytes are there.
ErrnoOr<int64_t> AddEntropy(const vfs::IoctlRequest& request) {
  struct Header {
    int entropy_bits;
    int size;
  };
  const Header header = TRY(usermem::CopyIn(request.space, usermem::UserPtr<const Header>(request.arg)));
  if (header.entropy_bits < 0 || header.size < 0) return Errno::kInval;
  UserBuffer bytes(request.space, request.arg + sizeof header, static_cast<uint64_t>(header.size));
  const size_t wanted = bytes.size();
  if (TRY(bytes.DrainTo(TakeAll)) < wanted) return Errno::kFault;
  return 0;
}

}  // namespace

ErrnoOr<size_t> RandomFile::Read(UserBuffer& dst) {
  return InPieces(dst, [](UserBuffer& piece) { return piece.FillFrom(FillRandom); });
}

// Linux: random_write_iter, which reads all of it.
ErrnoOr<size_t> RandomFile::Write(UserBuffer& src) {
  return InPieces(src, [](UserBuffer& piece) { return piece.DrainTo(TakeAll); });
}

// Looks for signals between the pieces of a long transfer.
ErrnoOr<size_t> RandomFile::InPieces(UserBuffer& buffer,
                                     absl::FunctionRef<ErrnoOr<size_t>(UserBuffer&)> transfer) {
  constexpr size_t kPiece = 1 << 20;
  size_t total = 0;
  while (!buffer.empty()) {
    UserBuffer piece = buffer;
    piece.Truncate(kPiece);
    const size_t want = piece.size();
    const ErrnoOr<size_t> done = transfer(piece);
    if (!done.ok()) {
      if (total > 0) return total;
      return done.error();
    }
    buffer.Skip(*done);
    total += *done;
    if (*done < want || (interrupted_ != nullptr && interrupted_())) break;
  }
  return total;
}

// Linux: random_ioctl, which knows no ENOTTY.
ErrnoOr<int64_t> RandomFile::Ioctl(const vfs::IoctlRequest& request) {
  if (request.command == RNDGETENTCNT) {
    TRY_VOID(usermem::CopyOut(request.space, usermem::UserPtr<int>(request.arg), kPoolBits));
    return 0;
  }
  const bool known = request.command == RNDADDTOENTCNT || request.command == RNDADDENTROPY ||
                     request.command == RNDZAPENTCNT || request.command == RNDCLEARPOOL ||
                     request.command == RNDRESEEDCRNG;
  if (!known) return Errno::kInval;
  if (!request.caller.cred->Has(CAP_SYS_ADMIN)) return Errno::kPerm;
  if (request.command == RNDADDENTROPY) return AddEntropy(request);
  if (request.command == RNDADDTOENTCNT) {
    const int bits = TRY(usermem::CopyIn(request.space, usermem::UserPtr<const int>(request.arg)));
    if (bits < 0) return Errno::kInval;
  }
  return 0;
}

}  // namespace cloister::dev
