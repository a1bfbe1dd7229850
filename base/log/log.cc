#include "base/log/log.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>

namespace cloister {
namespace {

// One write(2) a record, so that processes that share a log do not mix lines.
class FdSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FdSink(int fd) : fd_(fd) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    // A log that cannot be written is no reason to stop.
    [[maybe_unused]] const ssize_t written = write(fd_, line.data(), line.size());
  }
  void flush_() override {}

  const int fd_;
};

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::atomic<int> least_level{static_cast<int>(LogLevel::kError) + 1};
spdlog::logger* logger = nullptr;  // never freed: threads may log while the process ends

}  // namespace

void StartLog(int fd, LogLevel least, std::string_view process_name) {
  if (fd < 0) {
    least_level = static_cast<int>(LogLevel::kError) + 1;
    return;
  }
  tzset();  // reads its file now: a process that locks itself down could not later
  logger = new spdlog::logger(std::string(process_name), std::make_shared<FdSink>(fd));
  logger->set_level(ToSpdlog(least));
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%Y-%m-%dT%H:%M:%S.%fZ %n %L %v",
                                                                    spdlog::pattern_time_type::utc));
  least_level = static_cast<int>(least);
}

bool LogEnabled(LogLevel level) {
  return static_cast<int>(level) >= least_level.load(std::memory_order_relaxed);
}

void WriteLog(LogLevel level, std::string_view message) {
  if (LogEnabled(level)) logger->log(ToSpdlog(level), spdlog::string_view_t(message.data(), message.size()));
}

}  // namespace cloister
