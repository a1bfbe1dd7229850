#include "sentry/loader/stack.h"

#include <elf.h>

#include <cstring>
#include <string_view>
#include <utility>

#include "sentry/mm/random.h"

namespace cloister::loader {
namespace {

constexpr std::string_view kPlatform = "x86_64";

uint64_t BytesOf(const std::vector<std::string>& strings) {
  uint64_t bytes = 0;
  for (const std::string& text : strings) bytes += text.size() + 1;
  return bytes;
}

}  // namespace

ErrnoOrVoid StackBuilder::Build(const Contents& contents, Aux aux, uint64_t size) {
  // From the top downwards: 8 zero bytes, path, environment, arguments.
  const uint64_t path_at = top_ - sizeof(uint64_t) - (contents.exec_path.size() + 1);
  env_end_ = path_at;
  arg_end_ = env_end_ - BytesOf(contents.envp);
  arg_start_ = arg_end_ - BytesOf(contents.argv);
  // Linux: arch_align_stack, so that stacks of one program do not share cache lines' places.
  uint64_t at = (arg_start_ - mm::RandomBelow(8192)) & ~uint64_t{15};
  const uint64_t platform_at = at -= 16;
  const uint64_t random_at = at -= contents.random.size();

  aux.emplace_back(AT_RANDOM, random_at);
  aux.emplace_back(AT_EXECFN, path_at);
  aux.emplace_back(AT_PLATFORM, platform_at);
  aux.emplace_back(AT_NULL, 0);
  const uint64_t words = 1 + contents.argv.size() + 1 + contents.envp.size() + 1 + 2 * aux.size();
  pointer_ = (at - words * sizeof(uint64_t)) & ~uint64_t{15};
  if (pointer_ > top_ || top_ - pointer_ > size) return Errno::kNoMem;

  bytes_.assign(top_ - pointer_, std::byte{0});
  const auto put = [this](uint64_t addr, const void* data, size_t n) {
    memcpy(bytes_.data() + (addr - pointer_), data, n);
  };
  put(path_at, contents.exec_path.data(), contents.exec_path.size());
  put(platform_at, kPlatform.data(), kPlatform.size());
  put(random_at, contents.random.data(), contents.random.size());
  uint64_t word_at = pointer_;
  const auto push = [&](uint64_t word) {
    put(word_at, &word, sizeof(word));
    word_at += sizeof(word);
  };
  push(contents.argv.size());
  uint64_t text_at = arg_start_;
  for (const auto* strings : {&contents.argv, &contents.envp}) {
    for (const std::string& text : *strings) {
      put(text_at, text.data(), text.size());
      push(text_at);
      text_at += text.size() + 1;
    }
    push(0);
  }
  for (const auto& [type, value] : aux) {
    push(type);
    push(value);
    auxv_.push_back(type);
    auxv_.push_back(value);
  }
  return {};
}

void StackBuilder::Describe(mm::MemoryManager::Layout* layout) const {
  layout->start_stack = pointer_;
  layout->arg_start = arg_start_;
  layout->arg_end = layout->env_start = arg_end_;
  layout->env_end = env_end_;
  layout->auxv = auxv_;
}

}  // namespace cloister::loader
