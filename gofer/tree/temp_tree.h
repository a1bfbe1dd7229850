#ifndef CLOISTER_GOFER_TREE_TEMP_TREE_H_
#define CLOISTER_GOFER_TREE_TEMP_TREE_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace cloister::gofer {

// For tests: an own directory of the host, removed with everything in it.
class TempTree {
 public:
  TempTree() {
    const char* base = getenv("TEST_TMPDIR");
    path_ = std::string(base != nullptr ? base : "/tmp") + "/gofer-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) abort();
  }
  ~TempTree() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempTree(const TempTree&) = delete;
  TempTree& operator=(const TempTree&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(*this / name) << text; }
  void Mkdir(const std::string& name) const { std::filesystem::create_directories(*this / name); }
  void Symlink(const std::string& target, const std::string& name) const {
    std::filesystem::create_symlink(target, *this / name);
  }

 private:
  std::string path_;
};

}  // namespace cloister::gofer

#endif  // CLOISTER_GOFER_TREE_TEMP_TREE_H_
