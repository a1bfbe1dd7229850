#include "tests/util/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "gtest/gtest.h"
#include "tests/util/test_fd.h"

namespace cloister::tests {

TempDir::TempDir() {
  char name[] = "/tmp/cloister.XXXXXX";
  EXPECT_NE(mkdtemp(name), nullptr) << "mkdtemp, errno " << errno;
  path_ = name;
  EXPECT_EQ(chmod(name, 0755), 0);
}

TempDir::~TempDir() { RemoveTree(path_); }

std::string TempDir::WithFile(std::string_view name, std::string_view contents, mode_t mode) const {
  const std::string path = File(name);
  const TestFd fd = Open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  EXPECT_TRUE(WriteAll(fd.get(), contents));
  EXPECT_EQ(fchmod(fd.get(), mode), 0);
  return path;
}

std::string TempDir::WithDirectory(std::string_view name, mode_t mode) const {
  const std::string path = File(name);
  EXPECT_EQ(mkdir(path.c_str(), mode), 0);
  EXPECT_EQ(chmod(path.c_str(), mode), 0);
  return path;
}

void RemoveTree(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0) return;
  if (!S_ISDIR(info.st_mode)) {
    unlink(path.c_str());
    return;
  }
  for (const std::string& name : List(path)) RemoveTree(path + "/" + name);
  rmdir(path.c_str());
}

std::string ReadAll(int fd) {
  std::string all;
  char chunk[65536];
  for (;;) {
    const ssize_t got = read(fd, chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    EXPECT_GE(got, 0) << "read, errno " << errno;
    if (got <= 0) return all;
    all.append(chunk, static_cast<size_t>(got));
  }
}

std::string ReadFile(const std::string& path) { return ReadAll(Open(path, O_RDONLY | O_CLOEXEC).get()); }

bool WriteAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t put = write(fd, data.data(), data.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    data.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

bool WriteFile(const std::string& path, std::string_view data) {
  const TestFd fd = Open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
  return WriteAll(fd.get(), data);
}

bool Exists(const std::string& path) {
  struct stat info;
  return lstat(path.c_str(), &info) == 0;
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::vector<std::string> List(const std::string& path) {
  std::vector<std::string> names;
  DIR* directory = opendir(path.c_str());
  if (directory == nullptr) return names;
  while (const dirent* entry = readdir(directory)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cloister::tests
