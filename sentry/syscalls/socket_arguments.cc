#include "sentry/syscalls/socket_arguments.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "sentry/syscalls/time_arguments.h"
#include "sentry/usermem/user_ptr.h"

namespace cloister::syscalls {
namespace {

using net::Control;
using net::ControlItem;
using net::SocketAddress;
using task::Task;
using usermem::UserPtr;

constexpr size_t kMaxControl = 20480;  // net.core.optmem_max

// One control message in the guest's buffer.
struct RawControl {
  int level;
  int type;
  std::span<const std::byte> data;
};

// Linux: __scm_send. pid must be one's own, ids one of one's three, or the capability is needed.
ErrnoOrVoid CheckCredentials(const Task& task, const ucred& claimed) {
  const auth::Credentials& cred = *task.cred();
  const bool pid_ok = claimed.pid == task.pid() || cred.Has(CAP_SYS_ADMIN);
  const bool uid_ok =
      claimed.uid == cred.uid || claimed.uid == cred.euid || claimed.uid == cred.suid || cred.Has(CAP_SETUID);
  const bool gid_ok =
      claimed.gid == cred.gid || claimed.gid == cred.egid || claimed.gid == cred.sgid || cred.Has(CAP_SETGID);
  if (pid_ok && uid_ok && gid_ok) return {};
  return Errno::kPerm;
}

ErrnoOrVoid AddFiles(Task& task, std::span<const std::byte> data, Control* control) {
  const size_t count = data.size() / sizeof(int);
  if (control->files.size() + count > net::kMaxPassedFiles) return Errno::kInval;
  for (size_t i = 0; i < count; ++i) {
    int fd;
    memcpy(&fd, data.data() + i * sizeof(int), sizeof fd);
    control->files.push_back(TRY(task.GetAnyFile(fd)));
  }
  return {};
}

ErrnoOrVoid AddUnix(Task& task, const RawControl& raw, Control* control) {
  if (raw.level != SOL_SOCKET) return {};
  switch (raw.type) {
    case SCM_RIGHTS:
      return AddFiles(task, raw.data, control);
    case SCM_CREDENTIALS: {
      if (raw.data.size() != sizeof(ucred)) return Errno::kInval;
      ucred claimed;
      memcpy(&claimed, raw.data.data(), sizeof claimed);
      TRY_VOID(CheckCredentials(task, claimed));
      control->credentials = claimed;
      return {};
    }
    default:
      return Errno::kInval;
  }
}

// Appends one control message as put_cmsg in Linux does: cut short where there is no room.
void Put(int level, int type, std::span<const std::byte> data, size_t room, BuiltControl* out) {
  const size_t left = room - out->bytes.size();
  if (left < sizeof(cmsghdr)) {
    out->truncated = true;
    return;
  }
  const size_t whole = CMSG_LEN(data.size());
  const size_t length = std::min(whole, left);
  out->truncated |= length < whole;
  cmsghdr header = {};
  header.cmsg_len = length;
  header.cmsg_level = level;
  header.cmsg_type = type;
  const size_t start = out->bytes.size();
  out->bytes.resize(start + std::min(CMSG_ALIGN(length), left));
  memcpy(out->bytes.data() + start, &header, sizeof header);
  memcpy(out->bytes.data() + start + sizeof header, data.data(), length - sizeof header);
}

// Installs as many files as there is room for. Linux: scm_detach_fds.
void PutFiles(Task& task, std::vector<Ref<vfs::FileDescription>> files, size_t room, bool cloexec,
              BuiltControl* out) {
  const size_t left = room - out->bytes.size();
  const size_t most = left < sizeof(cmsghdr) ? 0 : (left - sizeof(cmsghdr)) / sizeof(int);
  std::vector<int> fds;
  for (Ref<vfs::FileDescription>& file : files) {
    if (fds.size() == most) break;
    const ErrnoOr<int> fd = task.InstallFile(std::move(file), cloexec);
    if (!fd.ok()) break;
    fds.push_back(*fd);
  }
  out->truncated |= fds.size() < files.size();
  if (!fds.empty()) Put(SOL_SOCKET, SCM_RIGHTS, std::as_bytes(std::span(fds)), room, out);
}

}  // namespace

ErrnoOr<SocketRef> GetSocket(Task& task, int fd) {
  Ref<vfs::FileDescription> file = TRY(task.GetFile(fd));
  if (file->AsSocket() == nullptr) return Errno::kNotSock;
  return SocketRef{std::move(file)};
}

ucred OwnCredentials(const Task& task) { return {task.pid(), task.cred()->euid, task.cred()->egid}; }

ErrnoOr<SocketAddress> CopyInAddress(Task& task, uint64_t addr, int size) {
  if (size < 0 || static_cast<size_t>(size) > SocketAddress::kMaxSize) return Errno::kInval;
  std::byte bytes[SocketAddress::kMaxSize];
  const std::span<std::byte> used(bytes, static_cast<size_t>(size));
  if (size > 0) TRY_VOID(usermem::CopyInBytes(task.space(), addr, used));
  return SocketAddress::From(used);
}

ErrnoOrVoid CopyOutAddressBytes(Task& task, const SocketAddress& address, uint64_t addr, int room) {
  if (room < 0) return Errno::kInval;
  const size_t size = std::min(address.size(), static_cast<size_t>(room));
  if (size == 0) return {};
  return usermem::CopyOutBytes(task.space(), addr, address.bytes().first(size));
}

ErrnoOrVoid CopyOutAddress(Task& task, const SocketAddress& address, uint64_t addr, uint64_t size_addr) {
  if (addr == 0) return {};
  const int room = TRY(task.CopyIn(UserPtr<const int>(size_addr)));
  TRY_VOID(CopyOutAddressBytes(task, address, addr, room));
  return task.CopyOut(UserPtr<int>(size_addr), static_cast<int>(address.size()));
}

ErrnoOr<Control> ParseControl(Task& task, const net::Socket& socket, uint64_t addr, size_t size) {
  Control control;
  if (addr == 0 || size == 0) return control;
  if (size > kMaxControl) return Errno::kNoBufs;
  std::vector<std::byte> bytes(size);
  TRY_VOID(usermem::CopyInBytes(task.space(), addr, bytes));
  std::span<const std::byte> rest = bytes;
  while (rest.size() >= sizeof(cmsghdr)) {
    cmsghdr header;
    memcpy(&header, rest.data(), sizeof header);
    if (header.cmsg_len < sizeof header || header.cmsg_len > rest.size()) return Errno::kInval;
    const RawControl raw = {header.cmsg_level, header.cmsg_type,
                            rest.subspan(sizeof header, header.cmsg_len - sizeof header)};
    if (socket.domain() == AF_UNIX) {
      TRY_VOID(AddUnix(task, raw, &control));
    } else {
      ControlItem item = {raw.level, raw.type, {}};
      item.data.assign(raw.data.begin(), raw.data.end());
      control.items.push_back(std::move(item));
    }
    rest = rest.subspan(std::min(CMSG_ALIGN(header.cmsg_len), rest.size()));
  }
  return control;
}

BuiltControl BuildControl(Task& task, Control control, size_t room, bool cloexec) {
  BuiltControl out;
  for (const ControlItem& item : control.items) Put(item.level, item.type, item.data, room, &out);
  if (control.credentials) {
    Put(SOL_SOCKET, SCM_CREDENTIALS, std::as_bytes(std::span(&*control.credentials, 1)), room, &out);
  }
  if (!control.files.empty()) PutFiles(task, std::move(control.files), room, cloexec, &out);
  return out;
}

SocketWait SocketWait::For(const net::Socket& socket, int flags, int64_t timeout_ns) {
  SocketWait wait;
  wait.may_block = !socket.nonblocking() && !(flags & MSG_DONTWAIT);
  if (wait.may_block && timeout_ns > 0) wait.until = DeadlineAfter(timeout_ns);
  return wait;
}

task::Outcome SocketWait::BlockOn(wait::WaitOn on, size_t done) const {
  task::Block block;
  block.on.push_back(std::move(on));
  block.until = until;
  // socket(7): with a timeout set, a signal's handler always ends the call.
  block.at_deadline = Errno::kAgain;
  block.at_signal = until == wait::kNever ? wait::Answer(wait::Restart::kSys) : wait::Answer(Errno::kIntr);
  if (done > 0) block.at_deadline = block.at_signal = static_cast<int64_t>(done);
  return block;
}

}  // namespace cloister::syscalls
