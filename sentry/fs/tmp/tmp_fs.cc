#include "sentry/fs/tmp/tmp_fs.h"

#include <linux/magic.h>
#include <sys/stat.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sentry/fs/tmp/memory_budget.h"
#include "sentry/fs/tmp/tmp_directory.h"

namespace cloister::tmp {
namespace {

// Digits in base (8 or 10) and nothing else.
std::optional<uint64_t> ParseNumber(absl::string_view text, unsigned base) {
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    const unsigned digit = static_cast<unsigned>(c - '0');
    if (digit >= base || __builtin_mul_overflow(value, uint64_t{base}, &value) ||
        __builtin_add_overflow(value, uint64_t{digit}, &value)) {
      return std::nullopt;
    }
  }
  return value;
}

// "64m", as Linux' memparse.
std::optional<uint64_t> ParseSize(absl::string_view text) {
  int shift = 0;
  if (!text.empty()) {
    switch (text.back() | 0x20) {
      case 'k':
        shift = 10;
        break;
      case 'm':
        shift = 20;
        break;
      case 'g':
        shift = 30;
        break;
      case 't':
        shift = 40;
        break;
      default:
        break;
    }
  }
  if (shift != 0) text.remove_suffix(1);
  const std::optional<uint64_t> number = ParseNumber(text, 10);
  if (!number || *number > (~uint64_t{0} >> shift)) return std::nullopt;
  return *number << shift;
}

bool Assign(std::optional<uint64_t> value, uint64_t max, auto& field) {
  if (!value || *value > max) return false;
  field = static_cast<std::remove_reference_t<decltype(field)>>(*value);
  return true;
}

// size=N%, of all memory: the default is half of it.
bool AssignShare(absl::string_view text, TmpOptions& options) {
  const std::optional<uint64_t> percent = ParseNumber(text, 10);
  if (!percent || *percent > 100) return false;
  options.max_bytes = options.default_bytes / 50 * *percent;
  return true;
}

// Options that say how to place memory: accepted, the host decides.
bool IsIgnored(absl::string_view key) {
  return key == "huge" || key == "mpol" || key == "noswap" || key == "inode64" || key == "inode32" ||
         key == "swap";
}

bool ParseOption(absl::string_view key, absl::string_view value, TmpOptions& options) {
  if (key == "size") {
    if (absl::EndsWith(value, "%")) return AssignShare(absl::StripSuffix(value, "%"), options);
    return Assign(ParseSize(value), ~uint64_t{0}, options.max_bytes);
  }
  if (key == "nr_blocks")
    return Assign(ParseSize(value), ~uint64_t{0} / kPageSize, options.max_bytes) &&
           ((options.max_bytes *= kPageSize), true);
  if (key == "nr_inodes") return Assign(ParseSize(value), ~uint64_t{0}, options.max_inodes);
  if (key == "mode") return Assign(ParseNumber(value, 8), 07777, options.mode);
  if (key == "uid") return Assign(ParseNumber(value, 10), ~uint32_t{0} - 1, options.uid);
  if (key == "gid") return Assign(ParseNumber(value, 10), ~uint32_t{0} - 1, options.gid);
  return IsIgnored(key);
}

}  // namespace

ErrnoOr<TmpOptions> ParseTmpOptions(std::string_view text, const TmpOptions& defaults) {
  TmpOptions options = defaults;
  for (const absl::string_view option :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(option, absl::MaxSplits('=', 1));
    if (!ParseOption(pair.first, pair.second, options)) return Errno::kInval;
  }
  return options;
}

ErrnoOr<struct statfs> TmpFs::StatFs() {
  struct statfs result = {};
  result.f_type = TMPFS_MAGIC;
  result.f_bsize = result.f_frsize = kPageSize;
  result.f_namelen = 255;
  result.f_fsid.__val[0] = static_cast<int>(device());
  const auto left = [](uint64_t max, uint64_t used) { return max > used ? max - used : 0; };
  if (options_.max_bytes != 0) {
    result.f_blocks = PagesOf(options_.max_bytes);
    result.f_bfree = result.f_bavail = left(result.f_blocks, pages_.load(std::memory_order_relaxed));
  }
  if (options_.max_inodes != 0) {
    result.f_files = options_.max_inodes;
    const uint64_t used = inode_space_.load(std::memory_order_relaxed);
    result.f_ffree = left(result.f_files, used / kInodeSpace + (used % kInodeSpace != 0));
  }
  return result;
}

std::string TmpFs::OptionsText() const {
  std::vector<std::string> parts;
  if (options_.max_bytes != options_.default_bytes)
    parts.push_back(absl::StrCat("size=", options_.max_bytes / 1024, "k"));
  if (options_.max_inodes != options_.default_inodes)
    parts.push_back(absl::StrCat("nr_inodes=", options_.max_inodes));
  if (options_.mode != 01777) parts.push_back(absl::StrFormat("mode=%03o", options_.mode));
  if (options_.uid != 0) parts.push_back(absl::StrCat("uid=", options_.uid));
  if (options_.gid != 0) parts.push_back(absl::StrCat("gid=", options_.gid));
  return absl::StrJoin(parts, ",");
}

uint64_t TmpFs::TakePages(uint64_t pages) {
  const uint64_t max = options_.max_bytes == 0 ? ~uint64_t{0} : PagesOf(options_.max_bytes);
  uint64_t used = pages_.load(std::memory_order_relaxed);
  uint64_t taken;
  do {
    taken = std::min(pages, max > used ? max - used : 0);
    if (taken == 0) return 0;
  } while (!pages_.compare_exchange_weak(used, used + taken, std::memory_order_relaxed));
  const uint64_t got = MemoryBudget::Get().Take(taken);
  pages_.fetch_sub(taken - got, std::memory_order_relaxed);
  return got;
}

void TmpFs::GivePages(uint64_t pages) {
  pages_.fetch_sub(pages, std::memory_order_relaxed);
  MemoryBudget::Get().Give(pages);
}

void TmpFs::ForcePages(uint64_t pages) {
  pages_.fetch_add(pages, std::memory_order_relaxed);
  MemoryBudget::Get().Force(pages);
}

bool TmpFs::TakeInodeSpace(uint64_t bytes) {
  const uint64_t used = inode_space_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  if (options_.max_inodes == 0 || used / kInodeSpace + (used % kInodeSpace != 0) <= options_.max_inodes)
    return true;
  GiveInodeSpace(bytes);
  return false;
}

Ref<vfs::Mount> MountTmp(const TmpOptions& options, uint64_t flags, std::string source) {
  Ref<TmpFs> fs = MakeRef<TmpFs>(options);
  static_cast<void>(fs->TakeInode());
  const vfs::NewNode node{S_IFDIR | (options.mode & 07777), options.uid, options.gid, 0};
  Ref<vfs::Dentry> root = vfs::Dentry::MakeRoot(MakeRef<TmpDirectory>(fs, node));
  return MakeRef<vfs::Mount>(std::move(fs), std::move(root), flags, std::move(source));
}

}  // namespace cloister::tmp
