#ifndef CLOISTER_TESTS_UTIL_FILES_H_
#define CLOISTER_TESTS_UTIL_FILES_H_

#include <string>
#include <string_view>
#include <vector>

namespace cloister::tests {

// A directory of the test's own below /tmp (short enough for a socket's name), mode 0755, removed with all it
// holds.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  const std::string& path() const { return path_; }
  // Name of a thing inside; nothing is made.
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Makes a file with these contents and answers its name.
  std::string WithFile(std::string_view name, std::string_view contents = "", mode_t mode = 0644) const;
  std::string WithDirectory(std::string_view name, mode_t mode = 0755) const;

 private:
  std::string path_;
};

// Removes a tree; symbolic links are not followed.
void RemoveTree(const std::string& path);

// To end of file; fails the test on an error.
std::string ReadAll(int fd);
std::string ReadFile(const std::string& path);
// False where not everything could be written.
bool WriteAll(int fd, std::string_view data);
bool WriteFile(const std::string& path, std::string_view data);
bool Exists(const std::string& path);

std::vector<std::string> Split(std::string_view text, char separator);
// Names in a directory without "." and "..", sorted.
std::vector<std::string> List(const std::string& path);

}  // namespace cloister::tests

#endif  // CLOISTER_TESTS_UTIL_FILES_H_
