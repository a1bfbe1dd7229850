#include "sentry/fs/gofer/directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <utility>

#include "gofer/protocol/limits.h"
#include "sentry/fs/gofer/open_directory.h"

namespace cloister::goferfs {
namespace {

using gofer::Reply;
using gofer::Request;
using vfs::Inode;

// A directory of at most so many names is listed with the first question about one of them.
constexpr uint32_t kSmallDirectory = 64;
// After so many questions about single names all names are asked for; and all attributes once the
// questions have cost about as much.
constexpr size_t kQuestionsBeforeNames = 3;
constexpr size_t kQuestionsBeforeAttrs = 4;
constexpr size_t kNamesPerQuestion = 16;
constexpr size_t kMostNames = 1 << 20;

}  // namespace

ErrnoOr<Ref<vfs::FileDescription>> GoferDirectory::Open(const vfs::OpenRequest& request) {
  return MakeRef<GoferOpenDirectory>(request, Self());
}

void GoferDirectory::RenewLocked() {
  if (listed_in_ == GoferFs::distrusted()) return;
  listed_in_ = GoferFs::distrusted();
  listing_.Clear();
  listed_ = asked_small_ = attrs_asked_ = false;
  questions_ = 0;
}

ErrnoOr<Ref<Inode>> GoferDirectory::Lookup(std::string_view name) {
  absl::MutexLock lock(&mu_);
  RenewLocked();
  if (listed_) {
    if (Ref<Inode> known = TRY(FromListingLocked(name))) return known;
  }
  ErrnoOr<Ref<Inode>> found = AskLocked(name);
  ConsiderListingLocked();
  return found;
}

ErrnoOr<Ref<Inode>> GoferDirectory::FromListingLocked(std::string_view name) {
  Listing::Entry* const entry = listing_.Find(name);
  if (entry == nullptr) return Errno::kNoEnt;
  const std::unique_ptr<gofer::Node> node = std::move(entry->node);
  if (node == nullptr) return Ref<Inode>();
  // A file with further names may have been changed through them since.
  if (S_ISREG(node->attr().mode()) && node->attr().nlink() > 1) return Ref<Inode>();
  return fs_->Obtain(*node, Self(), name);
}

ErrnoOr<Ref<Inode>> GoferDirectory::AskLocked(std::string_view name) {
  Request request;
  Reply reply;
  UniqueFd fd;
  gofer::WalkRequest* walk = request.mutable_walk();
  walk->set_dir(TRY(remote().Id()));
  walk->add_names(name.data(), name.size());
  // Most files that are looked up are opened next.
  walk->set_open_last(!fs_->shared());
  walk->set_open_flags(O_RDONLY);
  if (!fs_->shared() && !asked_small_) walk->set_list_limit(kSmallDirectory);
  asked_small_ = true;
  TRY_VOID(fs_->client().Call(request, &reply, &fd));
  if (reply.walk().listed() && !fs_->shared() && !listed_) {
    listed_ = true;
    for (const gofer::Entry& entry : reply.walk().entries()) listed_ = listing_.Add(entry) && listed_;
    if (!listed_) listing_.Clear();
  }
  if (reply.walk().nodes_size() == 1) return fs_->Obtain(reply.walk().nodes(0), Self(), name, std::move(fd));
  return GoferClient::ErrnoOf(reply.walk().stopped());
}

void GoferDirectory::ConsiderListingLocked() {
  if (fs_->shared()) return;
  ++questions_;
  if (!listed_) {
    if (questions_ == kQuestionsBeforeNames) {
      Listing names;
      const ErrnoOr<bool> all = Fetch(&names, 0, /*all=*/false);
      if (all.ok() && *all) {
        listing_ = std::move(names);
        listed_ = true;
      }
    }
    return;
  }
  if (!attrs_asked_ && listing_.size() <= gofer::kMaxListEntries &&
      questions_ >= kQuestionsBeforeAttrs + listing_.size() / kNamesPerQuestion) {
    FetchAttrsLocked();
  }
}

ErrnoOr<bool> GoferDirectory::Fetch(Listing* listing, uint32_t attr_limit, bool all) {
  const uint64_t id = TRY(remote().Id());
  uint64_t cookie = 0;
  while (true) {
    Request request;
    Reply reply;
    request.mutable_read_dir()->set_dir(id);
    request.mutable_read_dir()->set_cookie(cookie);
    request.mutable_read_dir()->set_attr_limit(attr_limit);
    TRY_VOID(fs_->client().Call(request, &reply));
    const size_t before = listing->size();
    for (const gofer::Entry& entry : reply.read_dir().entries()) {
      if (!listing->Add(entry)) return Errno::kIo;
    }
    if (reply.read_dir().end()) return true;
    if (!all) return false;
    if (listing->size() == before) return Errno::kIo;  // a gofer that goes round in circles
    if (listing->size() > kMostNames) return Errno::kNoMem;
    cookie = reply.read_dir().next();
  }
}

ErrnoOrVoid GoferDirectory::FetchNamesLocked() {
  if (listed_) return {};
  Listing names;
  TRY_VOID(Fetch(&names, 0, /*all=*/true));
  listing_ = std::move(names);
  listed_ = true;
  return {};
}

void GoferDirectory::FetchAttrsLocked() {
  attrs_asked_ = true;
  Listing with_attrs;
  const ErrnoOr<bool> fetched = Fetch(&with_attrs, gofer::kMaxListEntries, /*all=*/false);
  if (fetched.ok()) listing_.TakeNodes(&with_attrs);
}

ErrnoOrVoid GoferDirectory::Emit(int64_t from,
                                 absl::FunctionRef<bool(const vfs::DirectoryFile::Entry&)> emit) {
  absl::MutexLock lock(&mu_);
  RenewLocked();
  TRY_VOID(FetchNamesLocked());
  listing_.Emit(from, remote().device_bits(), emit);
  return {};
}

ErrnoOrVoid GoferDirectory::Snapshot(Listing* listing) {
  TRY_VOID(Fetch(listing, 0, /*all=*/true));
  return {};
}

ErrnoOrVoid GoferDirectory::Sync() {
  Request request;
  Reply reply;
  request.mutable_fsync_dir()->set_node(TRY(remote().Id()));
  return fs_->client().Call(request, &reply);
}

}  // namespace cloister::goferfs
