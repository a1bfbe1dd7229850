#ifndef CLOISTER_RUNSC_SHIM_TTRPC_SERVER_H_
#define CLOISTER_RUNSC_SHIM_TTRPC_SERVER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/host/unique_fd.h"

namespace cloister::ttrpc {

// One client's socket. Shared by the thread that reads it and by all calls that are not answered yet.
class Connection {
 public:
  explicit Connection(UniqueFd socket) : socket_(std::move(socket)) {}

  int socket() const { return socket_.get(); }

  // Writes a response. A peer that has gone or does not read loses the connection. Thread-safe.
  void Send(uint32_t stream, const absl::StatusOr<std::string>& answer) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const UniqueFd socket_;
  absl::Mutex mu_;  // leaf; held while a frame is written, so that frames do not mix
};

// The right to answer one call, once: now, or later and from another thread. Copies answer the same call.
class Responder {
 public:
  Responder(std::shared_ptr<Connection> connection, uint32_t stream)
      : connection_(std::move(connection)), stream_(stream) {}

  // The answer's serialised message. An error goes out with its canonical code, which is gRPC's.
  void Send(const absl::StatusOr<std::string>& answer) const { connection_->Send(stream_, answer); }

 private:
  std::shared_ptr<Connection> connection_;
  uint32_t stream_;
};

// Serves unary calls. A thread for each connection, and one for each call while its handler runs, of which
// there are at most kMaxCalls; then connections wait. Hostile frames and messages are answered with an error
// or end their connection, nothing else.
class Server {
 public:
  static constexpr int kMaxCalls = 64;

  // payload: the request's serialised message, unchecked.
  using Handler = std::function<void(const std::string& payload, const Responder& responder)>;

  explicit Server(UniqueFd listener) : listener_(std::move(listener)) {}
  // Stop() must have been called if Serve() was. Waits until handlers have returned.
  ~Server() ABSL_LOCKS_EXCLUDED(mu_);

  // Before Serve().
  void Register(const std::string& service, const std::string& method, Handler handler);

  // Accepts connections until Stop().
  void Serve() ABSL_LOCKS_EXCLUDED(mu_);

  // Ends Serve() and all connections. Answers that were sent before still arrive.
  void Stop() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Start(std::shared_ptr<Connection> connection) ABSL_LOCKS_EXCLUDED(mu_);
  void Read(const std::shared_ptr<Connection>& connection);
  void Dispatch(const std::shared_ptr<Connection>& connection, uint32_t stream, const std::string& bytes);
  void BeginCall() ABSL_LOCKS_EXCLUDED(mu_);
  void EndCall() ABSL_LOCKS_EXCLUDED(mu_);

  const UniqueFd listener_;
  std::map<std::pair<std::string, std::string>, Handler> handlers_;  // fixed once Serve() runs  NOLINT
  std::set<std::string> services_;                                   // likewise  NOLINT

  absl::Mutex mu_;  // leaf
  std::set<std::shared_ptr<Connection>> connections_ ABSL_GUARDED_BY(mu_);
  int calls_ ABSL_GUARDED_BY(mu_) = 0;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace cloister::ttrpc

#endif  // CLOISTER_RUNSC_SHIM_TTRPC_SERVER_H_
